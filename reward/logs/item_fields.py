"""Context of the items: every column of the logs that is not part of the schema.

A log has the context on every row. For each item the most frequent value of a column counts (ties: the smallest).
A column that differs within most items (user, session, device) describes the impression, not the item: it is left
out and reported. Customary marks of missing values (N/A, null: `reward.items.MISSING`) are no values. All of it is
aggregated in DuckDB; only one row an item reaches Python.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from ..items import flatten_fields
from .grouped import grouped
from .leaks import leaking
from .source import quote
from .text_files import NUMBER, is_nested
from .typed_rows import WHOLE_TYPES, TypedRows

MAX_VARYING_SHARE = 0.5
"""A column with more than one value in a larger share of items is not context of the item."""
ALWAYS_KEPT = 256
MAX_VALUES = 5_000_000
"""More than `ALWAYS_KEPT` columns become fields as long as all items have at most this many values, about 1 GB."""
MIN_VARYING_SHARE = 0.01
"""A column with more than one value, or a missing one, in fewer items says nothing of the impressions."""
OF_IMPRESSION = "differs within most items, so it describes the impression"
"""Reason for leaving such a column out."""
NO_VALUES = "no values"
_FETCH = 10_000
_AT_ONCE = 32  # columns that the engine aggregates together: its memory would grow with the width


@dataclass(frozen=True)
class ItemFields:
    """Fields of the items, and the columns that were left out.

    Parameters
    ----------
    fields
        Item id -> field name -> values (see `reward.items.Item`).
    columns
        Columns that became fields.
    dropped
        Column -> why it is no context of the item, in plain words.
    differing
        Columns that differ within items, or are missing in some of their rows, so that titles may have been shown at
        different values: first those that are no context for it, then those that differ within fewer items.
    """

    fields: Mapping[str, Mapping[str, tuple[str, ...]]]
    columns: tuple[str, ...]
    dropped: Mapping[str, str]
    differing: tuple[str, ...] = ()


def read_context(rows: TypedRows, some: TypedRows) -> ItemFields:
    """Aggregate the context columns of ``rows`` by item, each row by its impressions.

    Parameters
    ----------
    rows
        Valid rows (`reward.logs.validate`), added up (the table ``arms`` of `reward.logs.aggregate`).
    some
        Those of some items (`reward.logs.some_items`), which tell what kind of column each is.
    """
    weight, where = "impressions", "impressions > 0"
    dropped = {c: "binary data" for c in rows.context_columns if rows.source.columns[c] == "BLOB"}
    candidates = [c for c in rows.context_columns if c not in dropped]
    if rows.has("title", "clicks"):
        dropped |= leaking(some, candidates)
        candidates = [c for c in candidates if c not in dropped]
    varies = varying(some, candidates, weight, where)
    empty = [c for c, why in varies.no_context.items() if why == NO_VALUES]
    if empty and some is not rows:  # other items may have some
        varies = varies.joined(varying(rows, empty, weight, where))
    dropped |= varies.no_context
    dropped |= _too_many(rows, [c for c in candidates if c not in dropped], where)
    columns = [c for c in candidates if c not in dropped]
    fields = _fields(rows, columns, weight, where) if columns else {}
    return ItemFields(fields, tuple(columns), dropped, varies.differing)


def context_sql(rows: TypedRows, column: str, name: str | None = None) -> str:
    """SQL of a context column's value as it goes to `flatten_fields`: numbers as they are, nested types as JSON.

    ``name`` is what the query calls the column where that is not its own name.
    """
    kind = NUMBER if column in rows.source.numbers else rows.source.columns[column]
    name = name or quote(column)
    if is_nested(kind):
        return f"CAST(to_json({name}) AS VARCHAR)"
    if marks := _numeric_marks(rows.missing) if kind in {"FLOAT", "DOUBLE", *WHOLE_TYPES} else "":
        return f"CASE WHEN {name} NOT IN ({marks}) THEN {_number_sql(kind, name)} END"
    if kind == NUMBER or kind in {"FLOAT", "DOUBLE", *WHOLE_TYPES}:
        return _number_sql(kind, name)
    return _known_sql(f"trim(CAST({name} AS VARCHAR))", rows.missing)


def _number_sql(kind: str, name: str) -> str:
    if kind == "FLOAT":
        # By way of text: 0.1 stays 0.1 instead of the nearest 64-bit number of a 32-bit one.
        return f"CAST(CASE WHEN isnan({name}) THEN NULL ELSE CAST({name} AS VARCHAR) END AS DOUBLE)"
    if kind == "DOUBLE":
        return f"CASE WHEN isnan({name}) THEN NULL ELSE {name} END"
    if kind == NUMBER:
        real = f"TRY_CAST({name} AS DOUBLE)"
        spelt = f"CASE WHEN {real} IS NULL THEN {name} WHEN NOT isnan({real}) THEN format('{{:.15g}}', {real}) END"
        return f"CASE WHEN regexp_full_match({name}, '-?[0-9]+') THEN {name} ELSE {spelt} END"
    return name


def _numeric_marks(missing: frozenset[str]) -> str:
    """The marks that are numbers, such as -1, as SQL."""
    return ", ".join(sorted(mark for mark in missing if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", mark)))


def _known_sql(text: str, missing: frozenset[str]) -> str:
    """SQL of a text, NULL where it is one of the marks ``missing``, with blanks around it or not.

    Tested is what is short and begins like a mark, or has a blank at an end: to test all costs as much as to read them.
    """
    pattern, letters, longest = _pattern(missing)
    mark = f"regexp_full_match({text}, '{pattern}')"
    # A list of constants would be a vector each, in every column: memory for wide files.
    short = f"strlen({text}) <= {longest} AND contains('{letters}', left({text}, 1))"
    short = f"{short} OR starts_with({text}, ' ') OR ends_with({text}, ' ')"
    return f"CASE WHEN {short} THEN CASE WHEN NOT {mark} THEN {text} END ELSE {text} END"


@lru_cache
def _pattern(missing: frozenset[str]) -> tuple[str, str, int]:
    """Patterns of all marks, for SQL: a regular expression, their first letters, the bytes of the longest one."""
    marks = "|".join(re.escape(mark) for mark in sorted(missing)).replace("'", "''")
    letters = "".join(sorted({first for mark in missing if mark for first in (mark[0], *mark[0].upper())}))
    longest = max(len(form.encode()) for mark in missing for form in (mark, mark.upper()))
    return rf"(?i)\s*({marks})\s*", letters.replace("'", "''"), longest


def _compared_sql(rows: TypedRows, column: str) -> str:
    """SQL of a value that tells equal from different, cheaper than `context_sql`."""
    kind = rows.source.columns[column]
    if kind == "VARCHAR" and column not in rows.source.numbers:
        return _known_sql(quote(column), rows.missing)
    return quote(column) if is_nested(kind) else context_sql(rows, column)


@dataclass(frozen=True)
class Varying:
    """Variation of columns within items.

    Parameters
    ----------
    no_context
        Columns without a value, and columns that differ within most of the items -> which of the two.
    differing
        As of `ItemFields`.
    """

    no_context: Mapping[str, str]
    differing: tuple[str, ...]

    def joined(self, other: "Varying") -> "Varying":
        """Both, where ``other`` is of the columns that have no values here."""
        no_context = {column: why for column, why in self.no_context.items() if why != NO_VALUES}
        return Varying({**no_context, **other.no_context}, (*self.differing, *other.differing))


def varying(rows: TypedRows, columns: list[str], weight: str, where: str) -> Varying:
    """Compare the rows of each item that has two impressions or more."""
    no_context, some = dict[str, str](), list[str]()
    for block in batched(columns, _AT_ONCE):
        for column, counts in zip(block, _counts_of_items(rows, block, weight, where), strict=True):
            filled, several, differing, differing_or_missing = counts
            if not filled:
                no_context[column] = NO_VALUES
            elif differing > MAX_VARYING_SHARE * several:
                no_context[column] = OF_IMPRESSION
            elif differing_or_missing > MIN_VARYING_SHARE * several:
                some.append(column)
    most = (column for column, why in no_context.items() if why == OF_IMPRESSION)
    return Varying(no_context, (*most, *some))


def _too_many(rows: TypedRows, columns: list[str], where: str) -> dict[str, str]:
    """Columns that would fill the memory with fields: of very wide logs, the last ones, and numbers before texts."""
    if len(columns) <= ALWAYS_KEPT:
        return {}
    table = rows.select("item_id", "impressions", where=where)
    n_items = rows.source.query(f"SELECT count(DISTINCT item_id) FROM {table}", rows.parameters).fetchall()[0][0]
    room = max(ALWAYS_KEPT, MAX_VALUES // max(n_items, 1))
    numbers = {"FLOAT", "DOUBLE", NUMBER, *WHOLE_TYPES}
    ordered = sorted(columns, key=lambda column: rows.source.columns[column] in numbers)  # stable: the file's order
    why = f"one of {len(columns):,} columns, of which {room:,} fit in memory for {n_items:,} items: texts first"
    return dict.fromkeys(ordered[room:], why)


def batched(values: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    """Tuples of ``size`` values, the last one shorter."""
    left = iter(values)
    while part := tuple(islice(left, size)):
        yield part


def _counts_of_items(
    rows: TypedRows, columns: Sequence[str], weight: str, where: str
) -> Iterator[tuple[int, int, int, int]]:
    """Items with a value of each column; of these, with two impressions; and which differ, or differ or miss some."""
    # Two hashes an item and column: memory does not grow with the width of the values.
    values = (_compared_sql(rows, column) for column in columns)
    hashes = {f"h{i}": f"CASE WHEN {value} IS NOT NULL THEN hash({value}) END" for i, value in enumerate(values)}
    table = rows.select("item_id", "impressions", where=where, extra=hashes)
    ends = {f"{end}_{h}": f"{how}({h})" for h in hashes for end, how in (("lo", "min"), ("hi", "max"))}
    filled = {f"with_{h}": f"count({h})" for h in hashes}
    sums = {"n": f"sum({weight})", "rows": "count(*)", **ends, **filled}
    by_item, parameters = grouped(rows, ("item_id",), sums, table, rows.parameters)
    counts = ", ".join(
        f"count(lo_{h}), count(lo_{h}) FILTER (n >= 2), count(lo_{h}) FILTER (n >= 2 AND lo_{h} <> hi_{h}), "
        f"count(lo_{h}) FILTER (n >= 2 AND (lo_{h} <> hi_{h} OR with_{h} < rows))"
        for h in hashes
    )
    found = rows.source.query(f"SELECT {counts} FROM {by_item}", parameters).fetchall()[0]
    return batched(found, 4)


def _fields(rows: TypedRows, columns: list[str], weight: str, where: str) -> dict[str, dict[str, tuple[str, ...]]]:
    """Fields of each item; a field that several columns name has the values of all, in their order."""
    out: dict[str, dict[str, tuple[str, ...]]] = {}
    for block in batched(columns, _AT_ONCE):
        for item_id, row in _most_frequent(rows, block, weight, where):
            fields = out.setdefault(item_id, {})
            for name, values in flatten_fields(row, rows.missing).items():
                before = fields.get(name)
                fields[name] = values if before is None else tuple(dict.fromkeys((*before, *values)))
    return out


def _most_frequent(
    rows: TypedRows, columns: Sequence[str], weight: str, where: str
) -> Iterator[tuple[str, dict[str, object]]]:
    """Item ids with the value of each column that counts."""
    keys = [f"c{i}" for i in range(len(columns))]
    names = dict(zip(keys, (field_name(rows, column) for column in columns), strict=True))
    # The distinct combinations are few, and grouping keys spill to disk where the states of aggregates would not.
    # Texts are grouped as they stand and cleaned afterwards: trimming every row is slow.
    raw = {key: _grouped_sql(rows, column) for key, column in zip(keys, columns, strict=True)}
    table = rows.select("item_id", "impressions", where=where, extra=raw)
    cleaned = ", ".join(
        f"{context_sql(rows, column, key) if raw[key] == quote(column) else key} AS {key}"
        for key, column in zip(keys, columns, strict=True)
    )
    query = rows.source.query
    by_value, parameters = grouped(rows, ("item_id", *keys), {"n": f"sum({weight})"}, table, rows.parameters)
    query(
        f"CREATE TEMP TABLE context AS SELECT item_id, {cleaned}, sum(n) AS n FROM {by_value} GROUP BY ALL",
        parameters,
    )
    query("CREATE TEMP TABLE several AS SELECT item_id FROM context GROUP BY item_id HAVING count(*) > 1")
    single = query(f"SELECT item_id, {', '.join(keys)} FROM context ANTI JOIN several USING (item_id)")
    while batch := single.fetchmany(_FETCH):
        for item_id, *row in batch:
            yield item_id, dict(zip(names.values(), row, strict=True))
    mixed: dict[str, dict[str, object]] = {}
    for key, name in names.items():
        weighed = (
            f"SELECT item_id, {key} AS value, sum(n) AS n FROM context SEMI JOIN several USING (item_id) "
            f"WHERE {key} IS NOT NULL GROUP BY ALL"
        )
        first = "row_number() OVER (PARTITION BY item_id ORDER BY n DESC, value) = 1"
        found = query(f"SELECT item_id, value FROM ({weighed}) QUALIFY {first}")
        while batch := found.fetchmany(_FETCH):
            for item_id, value in batch:
                mixed.setdefault(item_id, {})[name] = value
    yield from mixed.items()
    query("DROP TABLE context")
    query("DROP TABLE several")


def _grouped_sql(rows: TypedRows, column: str) -> str:
    """SQL of the value that rows are grouped by: a text as it stands, anything else as `context_sql`."""
    return quote(column) if rows.source.columns[column] == "VARCHAR" else context_sql(rows, column)


def field_name(rows: TypedRows, column: str) -> str:
    """The canonical name of surface and locale, the column's own name otherwise."""
    return next((name for name, sources in rows.sources.items() if sources == (column,)), column)
