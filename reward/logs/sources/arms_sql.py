"""The query that adds impressions up to arms in the user's own engine, which then reads as any other log.

Written once in BigQuery's SQL, and transpiled by sqlglot. Every column that is no count is a key, so that arms,
positions, days, propensities and fields are those that `reward.logs.read.read_logs` finds in the raw rows.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from ...errors import LogError
from ..schema import KEY_SEPARATOR, ColumnMapping
from .local import needs

Dialect = Literal["bigquery", "snowflake", "spark", "clickhouse", "postgres", "duckdb"]
Template = Literal["impressions", "ga4", "search-console"]
DIALECTS: tuple[str, ...] = get_args(Dialect)
TEMPLATES: tuple[str, ...] = get_args(Template)
_COUNTS = ("impressions", "clicks", "conversions", "revenue")
_TABLES = {"impressions": "impressions", "ga4": "events", "search-console": "searchdata_url_impression"}
_WRITTEN = "bigquery"
_PLAIN = re.compile(r"[A-Za-z_]\w*")
_OPENS_LISTS = ("bigquery", "duckdb", "spark")
_PART = r"""[\w$*-]+|"[^"]+"|`[^`]+`"""
_PLACE = re.compile(rf"(?:{_PART})(?:\.(?:{_PART}))*")


def arms_query(
    dialect: Dialect,
    template: Template = "impressions",
    *,
    table: str | None = None,
    titles: str | None = None,
    mapping: ColumnMapping | None = None,
    context: Sequence[str] = (),
) -> str:
    """SQL that gives one row an arm, day, position and field value.

    Parameters
    ----------
    dialect
        Dialect of the SQL.
    template
        Kind of the rows: ``impressions`` (or counts of a title), GA4's export of events to BigQuery (lists that were
        seen and items that were selected), or Search Console's bulk export joined with a table of titles.
    table
        Table of the rows.
    titles
        For Search Console: a table with url, title, first_day and last_day.
    mapping
        For ``impressions``: canonical columns that the rows have, with the user's names. item_id, title and clicks are
        there in any case.
    context
        Further columns that describe the item.

    Raises
    ------
    LogError
        If a column cannot be added up, an option does not suit the template, or sqlglot is not installed.
    """
    try:
        import sqlglot
    except ImportError as error:
        raise needs("sqlglot", "sql", "rlopt logs-sql") from error
    if template != "impressions" and (mapping and mapping.columns):
        raise LogError(f"The {template} template has columns of its own: leave --columns out.")
    if titles is not None and template != "search-console":
        raise LogError("--titles belongs to --template search-console: GA4 and impressions name the title themselves.")
    if template == "ga4" and dialect not in _OPENS_LISTS:
        raise LogError(
            f"GA4 exports to BigQuery: --dialect bigquery, or {' or '.join(_OPENS_LISTS[1:])} for a copy. For "
            f"{dialect} make a view with one row per item of an event, and take --template impressions."
        )
    if template == "impressions":
        text = _impressions(mapping or ColumnMapping(), context)
    elif template == "ga4":
        text = _ga4(context)
    else:
        text = _search_console(context)
    for place in (table, titles):
        if place is not None and not _PLACE.fullmatch(place):
            raise LogError(f"{place!r:.60} is no name of a table.")
    query: Any = sqlglot.parse_one(text, read=_WRITTEN)
    names = {"rows_table": table or _TABLES[template], "titles_table": titles or "titles"}
    try:
        places = {name: sqlglot.exp.to_table(place, dialect=dialect) for name, place in names.items()}
    except sqlglot.errors.SqlglotError as error:
        raise LogError(f"{table or titles!r} is no name of a table in {dialect}.") from error
    for found in list(query.find_all(sqlglot.exp.Table)):
        if found.name in places:
            named = places[found.name].copy()
            named.set("alias", found.args.get("alias"))
            found.replace(named)
    if dialect == "snowflake":  # keeps unquoted names in capitals
        for name in query.find_all(sqlglot.exp.Identifier):
            name.set("quoted", bool(name.args.get("quoted")) and not _PLAIN.fullmatch(name.name))
    sql: str = query.sql(dialect=dialect, pretty=True, identify=dialect != "snowflake")
    return sql


def _impressions(mapping: ColumnMapping, context: Sequence[str]) -> str:
    given = {name: column for name, column in mapping.columns.items() if column}
    if "conversion_delay_hours" in given:
        raise LogError("Delays of conversions are no sum: leave conversion_delay_hours out of --columns.")
    names = {"item_id": "item_id", "title": "title", "clicks": "clicks", **given}
    keys = {"item_id": _key(names["item_id"]), "title": f"CAST({_quoted(names['title'])} AS STRING)"}
    for name, column in names.items():
        if name not in (*_COUNTS, *keys):
            keys[name] = f"CAST({_quoted(column)} AS DATE)" if name == "timestamp" else _quoted(column)
    keys |= {column: _quoted(column) for column in context}
    sums = {"impressions": f"SUM({_quoted(names['impressions'])})" if "impressions" in names else "COUNT(*)"}
    sums["clicks"] = f"SUM(CAST({_quoted(names['clicks'])} AS INT))"
    if "conversions" in names:
        sums["conversions"] = f"SUM(CAST({_quoted(names['conversions'])} AS INT))"
    if "revenue" in names:
        sums["revenue"] = f"SUM({_quoted(names['revenue'])})"
    return _select(keys, sums, "rows_table")


def _ga4(context: Sequence[str]) -> str:
    keys = {
        "item_id": "item.item_id",
        "title": "item.item_name",
        "timestamp": "event_date",
        **{column: f"item.{_quoted(column)}" for column in context},
    }
    seen, selected = "event_name = 'view_item_list'", "event_name = 'select_item'"
    # A selection without a list that was seen (another device, a lost event) has no impression of its own.
    sums = {
        "impressions": f"CASE WHEN {_number_of(seen)} > {_number_of(selected)} THEN {_number_of(seen)} "
        f"ELSE {_number_of(selected)} END",
        "clicks": _number_of(selected),
    }
    wanted = "event_name IN ('view_item_list', 'select_item') AND NOT item.item_id IS NULL"
    return _select(keys, sums, "rows_table CROSS JOIN UNNEST(items) AS item", wanted)


def _search_console(context: Sequence[str]) -> str:
    keys = {
        "item_id": "found.url",
        "title": "known.title",
        "timestamp": "found.data_date",
        **{column: f"known.{_quoted(column)}" for column in context},
    }
    sums = {
        "impressions": "SUM(found.impressions)",
        "clicks": "SUM(found.clicks)",
        "position": "1 + SUM(found.sum_position) / SUM(found.impressions)",
    }
    joined = "rows_table AS found JOIN titles_table AS known ON found.url = known.url"
    return _select(keys, sums, joined, "found.data_date BETWEEN known.first_day AND known.last_day")


def _select(keys: Mapping[str, str], sums: Mapping[str, str], table: str, where: str = "") -> str:
    columns = ", ".join(f"{sql} AS {_quoted(name)}" for name, sql in {**keys, **sums}.items())
    condition = f" WHERE {where}" if where else ""
    return f"SELECT {columns} FROM {table}{condition} GROUP BY {', '.join(keys.values())}"


def _number_of(condition: str) -> str:
    return f"SUM(CASE WHEN {condition} THEN 1 ELSE 0 END)"


def _key(column: str) -> str:
    """The id, of one column or of several, as `reward.logs.typed_rows` joins them."""
    parts = [f"CAST({_quoted(part.strip())} AS STRING)" for part in column.split(KEY_SEPARATOR)]
    if len(parts) == 1:
        return parts[0]
    return f" || '{KEY_SEPARATOR}' || ".join(f"COALESCE({part}, '')" for part in parts)


def _quoted(name: str) -> str:
    if "`" in name or "\\" in name:
        raise LogError(f"The column name {name!r:.60} cannot be written in every dialect. Rename it in a view.")
    return f"`{name}`"
