"""Checks every value of the logs in one pass of SQL; the first wrong value is named with its file and row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import LogError
from . import times
from .grouped import grouped
from .schema import CANONICAL, looks_like
from .times import FIRST_YEAR, last_year
from .trim_sql import blank
from .typed_rows import PLACE, TypedRows

MAX_TITLE_CHARACTERS = 5_000
"""Longer titles are refused: no surface shows them, and one of them would fill every batch with padding."""
MAX_COUNT = 10**12
"""Largest count in one row; sums then stay exact in 64-bit floats."""
MIN_PROPENSITY = 1e-9
"""Smallest propensity: an importance weight above a billion means nothing."""
MAX_AMOUNT = 1e15
_MAX_POSITION = 10**6
_WHOLE = f"a whole number from 0 to {MAX_COUNT:,}"


@dataclass(frozen=True)
class LogTotals:
    """Counts from one pass over the kept rows.

    ``rows`` includes ``empty_rows``, those with zero impressions; ``*_impressions`` are the impressions with a value
    in that column; timestamps are seconds since 1970.
    """

    rows: int
    empty_rows: int
    impressions: int
    clicks: int
    conversions: int
    propensity_impressions: int
    position_impressions: int
    timestamp_impressions: int
    first_timestamp: float | None
    last_timestamp: float | None


@dataclass(frozen=True)
class _Check:
    column: str
    wrong: str
    must: str
    shown: str | None = None


def _text_checks(rows: TypedRows, names: Sequence[str]) -> Iterator[_Check]:
    if "item_id" in names:
        must = "have all its digits, and floats do not keep more than 15 of them: write ids as whole numbers or texts"
        yield _Check("item_id", "given_item_id AND item_id IS NULL", must)
    for name in ("item_id", "title"):
        if name in names:
            yield _Check(name, blank(name), "not be empty")
    if "title" in names:
        must = f"have at most {MAX_TITLE_CHARACTERS:,} characters"
        # Bytes are known and at least as many as characters, which would have to be counted in every title.
        long = f"strlen(title) > {MAX_TITLE_CHARACTERS}"
        wrong = f"CASE WHEN {long} THEN length(title) > {MAX_TITLE_CHARACTERS} ELSE false END"
        yield _Check("title", wrong, must)


def _number_checks(rows: TypedRows) -> Iterator[_Check]:
    for name in ("impressions", "clicks", "conversions"):
        if rows.has(name):
            # A missing conversion means none was seen; a missing click or impression means nothing and is refused.
            missing = f"given_{name} AND {name} IS NULL" if name == "conversions" else f"{name} IS NULL"
            wrong = f"{missing} OR isnan({name}) OR {name} < 0 OR {name} > {MAX_COUNT} OR {name} <> floor({name})"
            yield _Check(name, wrong, f"be {_WHOLE}")
    if rows.has("clicks"):
        must = "not exceed the row's impressions"
        if not rows.has("impressions"):
            usual = [column for column in rows.source.columns if looks_like(column) == "impressions"]
            names = usual[0] if usual else "COLUMN"
            must += f", which are 1 a row where no column counts them (--columns impressions={names} names one)"
        yield _Check("clicks", "clicks > impressions", must, _pair("clicks", "impressions"))
    if rows.has("clicks", "conversions"):
        must = "not exceed the row's clicks (count at most one conversion per click)"
        yield _Check("conversions", "conversions > clicks", must, _pair("conversions", "clicks"))
    first, end = times.limits()
    limits = {
        "revenue": (f"isnan(revenue) OR abs(revenue) > {MAX_AMOUNT}", "be a finite number"),
        "propensity": (
            f"isnan(propensity) OR propensity < {MIN_PROPENSITY} OR propensity > 1",
            f"be in (0, 1] (at least {MIN_PROPENSITY:g})",
        ),
        "position": (
            f"isnan(position) OR position < 0 OR position > {_MAX_POSITION}",
            f"be a number from 0 to {_MAX_POSITION:,}",
        ),
        "conversion_delay_hours": (
            "isnan(conversion_delay_hours) OR conversion_delay_hours < 0 OR conversion_delay_hours > 1e7",
            "be hours from 0 to 10,000,000",
        ),
        "timestamp": (
            f"isnan(timestamp) OR timestamp < {first} OR timestamp >= {end}",
            f"be a time from {FIRST_YEAR} to {last_year()}, written as {rows.time.name}",
        ),
    }
    for name, (wrong, must) in limits.items():
        if rows.has(name):
            yield _Check(name, f"(given_{name} AND {name} IS NULL) OR {wrong}", must)


def _pair(name: str, limit: str) -> str:
    return f"format('{{:d}} {name} and {{:d}} {limit}', CAST({name} AS BIGINT), CAST({limit} AS BIGINT))"


def check_rows(rows: TypedRows) -> LogTotals:
    """Validate all kept rows and count them.

    Raises
    ------
    LogError
        For the first kind of wrong value: the rule, the value found, its row (counted from 1, without a CSV's header)
        and file, how many rows are wrong, and the way out. Also where no row is left.
    """
    names = [name for name in CANONICAL if rows.has(name) and CANONICAL[name].kind != "context"]
    found = _count(rows, [*_text_checks(rows, names), *_number_checks(rows)], names, _totals(rows))
    if found["impressions"] == 0:
        raise LogError(f"{rows.source.where} has no impressions: the column is 0 in all {found['rows']:,} rows.")
    return LogTotals(**{name: value if name in _TIMES else int(value) for name, value in found.items()})


def check_texts(rows: TypedRows, *names: str) -> int:
    """Validate item_id or title alone (a catalogue, titles to score); returns the number of rows.

    Raises
    ------
    LogError
        As `check_rows`.
    """
    return int(_count(rows, list(_text_checks(rows, names)), names, {"rows": "count(*)"})["rows"])


_TIMES = ("first_timestamp", "last_timestamp")


def _count(
    rows: TypedRows, checks: Sequence[_Check], names: Sequence[str], totals: Mapping[str, str]
) -> dict[str, Any]:
    """Values of ``totals`` where no check finds a wrong row and there is a row at all."""
    given = {f"given_{name}": rows.given(name) for name in names}
    table = rows.select(*dict.fromkeys([*names, "impressions"]), extra=given)
    numbers = {**totals, **{f"wrong_{i}": f"count(*) FILTER ({c.wrong})" for i, c in enumerate(checks)}}
    sql, parameters = grouped(rows, (), numbers, table, rows.parameters)
    counted = rows.source.query(f"SELECT {', '.join(numbers)} FROM {sql}", parameters)
    found = dict(zip(numbers, counted.fetchall()[0], strict=True))
    for i, check in enumerate(checks):
        if found[f"wrong_{i}"]:
            raise LogError(_message(rows, check, int(found[f"wrong_{i}"]), names, given))
    if found["rows"] == 0:
        left = " (all of them are left out by exclude)" if rows.exclude and _any_row(rows) else ""
        raise LogError(f"{rows.source.where} has no rows{left}.")
    return {name: found[name] for name in totals}


def _totals(rows: TypedRows) -> dict[str, str]:
    """SQL of the fields of `LogTotals`; counts are capped here since the checks of the same pass are not read yet."""

    def total(name: str, condition: str = "true") -> str:
        return f"coalesce(sum(least(greatest({name}, 0), {MAX_COUNT})) FILTER ({condition}), 0)"

    def covered(name: str) -> str:
        return total("impressions", f"{name} IS NOT NULL" if rows.has(name) else "false")

    return {
        "rows": "count(*)",
        "empty_rows": "count(*) FILTER (impressions = 0)",
        "impressions": total("impressions"),
        "clicks": total("clicks"),
        "conversions": total("conversions") if rows.has("conversions") else "0",
        "propensity_impressions": covered("propensity"),
        "position_impressions": covered("position"),
        "timestamp_impressions": covered("timestamp"),
        "first_timestamp": "min(timestamp)" if rows.has("timestamp") else "CAST(NULL AS DOUBLE)",
        "last_timestamp": "max(timestamp)" if rows.has("timestamp") else "CAST(NULL AS DOUBLE)",
    }


def _any_row(rows: TypedRows) -> bool:
    source = rows.source
    return bool(source.query(f"SELECT 1 FROM {source.relation} LIMIT 1", source.parameters).fetchall())


def _message(rows: TypedRows, check: _Check, count: int, names: Sequence[str], given: Mapping[str, str]) -> str:
    name = check.column
    extra = {**given, **PLACE, "raw": rows.expression(name) if CANONICAL[name].kind == "key" else rows.raw(name)}
    table = rows.select(*dict.fromkeys([*names, "impressions"]), where=check.wrong, extra=extra)
    query = f"SELECT {check.shown or 'raw'}, file, row FROM {table} ORDER BY file, row LIMIT 1"
    value, file, row = rows.source.query(query, rows.parameters).fetchall()[0]
    more = f" {count:,} rows are wrong." if count > 1 else ""
    column = rows.location(name)
    named = name if column == name else f"{name} (column '{column}')"
    return (
        f"{named} must {check.must}. Got {_shown(value)} in row {row + 1:,} of {rows.source.file_name(file)}.{more} "
        f"Correct or remove such rows, or map another column with --columns {name}=COLUMN{_or_none(rows, name)}"
    )


def _or_none(rows: TypedRows, name: str) -> str:
    """The way out for columns that logs may lack; impressions are more than a column: without it each row is one."""
    optional = not CANONICAL[name].required and name != "impressions" and rows.location(name) == name
    return f", or leave the column out with --columns {name}=" if optional else ""


def _shown(value: str | None) -> str:
    if value is None:
        return "no value"
    if len(value) > 60:
        return f"{len(value):,} characters ({value[:40]!r}...)"
    return repr(value)
