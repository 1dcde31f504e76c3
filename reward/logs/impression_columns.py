"""Columns that describe the impression (hour, weekday, surface ...), and the levels by which they are compared."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import numpy as np

from ..arrays import FloatArray, IntArray
from .item_fields import batched, context_sql
from .of_item import place_in_item, relative_number
from .schema import WHERE_SHOWN
from .text_files import Parameters, is_nested
from .typed_rows import WHOLE_TYPES, TypedRows

MAX_LEVELS = 50
"""Values of a column that count one by one; of more values, those with like click rates share a level."""
MAX_POINTS = 5
"""Values of a number that count one by one, even if each item has some of its own."""
MIN_CLICKS = 20.0
"""Clicks expected at a value, of a column with more, under which its own click rate tells nothing."""
MAX_VALUES = 1_000
"""A column with more values names people, sessions or queries: see `reward.logs.people`."""
MAX_COLUMNS = 40
"""Columns that are compared: of a log with hundreds of measurements an impression, the first ones."""
AT_ONCE = 4
"""Columns that one pass compares, so that memory does not grow with their number."""
_BINS = 10
_HOURS = (1, 2, 3, 4, 6, 8, 12)
_MOST_TIMES, _CLICKS_OF_A_TIME = 500, 30
_SHOWN_ON_A_DATE = 20
_NUMBERS = WHOLE_TYPES | {"FLOAT", "DOUBLE"}
HOUR, WEEKDAY, DATE, TIME = "hour of day", "weekday", "calendar date", "time of the log"
POSITION = "position"
MISSING = "\x1fmissing"
"""Stands for a missing value, which may go with clicks like any other: traffic of the app that names no surface."""


@dataclass(frozen=True)
class ImpressionColumn:
    """One column that describes the impression.

    Parameters
    ----------
    name
        The user's column, or `HOUR`, `WEEKDAY`, `DATE` or `TIME` of the timestamps (UTC), or `POSITION`.
    sql
        Its value in a source row: a text, or a number where there are ``edges``.
    values
        Values with a level of their own, `MISSING` among them; all others are one more level.
    level_of
        Level of each of these values.
    edges
        Of numbers with more values: upper limits of the ranges that count as levels; else empty. Missing ones are one
        more level.
    pooled
        Share of the impressions at other values, which cannot be compared at equal levels.
    names_people
        True for texts and whole numbers of more than `MAX_VALUES` values; texts then have no levels.
    of_item
        True if levels are places among the item's own values, which mean nothing over all items.
    tables
        Temporary tables that ``sql`` names.
    """

    name: str
    sql: str
    values: tuple[str, ...] = ()
    level_of: tuple[int, ...] = ()
    edges: tuple[float, ...] = ()
    pooled: float = 0.0
    names_people: bool = False
    of_item: bool = False
    tables: tuple[str, ...] = ()

    @property
    def n_levels(self) -> int:
        """Levels, with that of all others, or of numbers those above all edges and missing ones."""
        return len(self.edges) + 2 if self.edges else max(self.level_of, default=-1) + 2

    @property
    def grouped(self) -> bool:
        """True if values share levels."""
        return not self.edges and max(self.level_of, default=-1) + 1 < len(self.values)

    @property
    def by_value(self) -> "ImpressionColumn":
        """The column with a level of its own for each value that has one."""
        return replace(self, level_of=tuple(range(len(self.values))))

    @property
    def level_of_value(self) -> IntArray:
        """Level of each level of `by_value`, the last being that of all others."""
        if self.edges:
            return np.arange(self.n_levels)
        return np.array([*self.level_of, self.n_levels - 1], dtype=np.int64)

    def level_sql(self, parameter: str) -> str:
        """SQL of the level's number in a source row; takes ``$parameter``, see `parameters`."""
        if self.edges:
            cases = " ".join(f"WHEN {self.sql} <= {edge!r} THEN {i}" for i, edge in enumerate(self.edges))
            return f"CASE {cases} WHEN {self.sql} IS NULL THEN {len(self.edges) + 1} ELSE {len(self.edges)} END"
        return f"coalesce(${parameter}_level[list_position(${parameter}, {self.sql})], {self.n_levels - 1})"

    def parameters(self, parameter: str) -> Parameters:
        """Parameters of `level_sql`."""
        return {} if self.edges else {parameter: list(self.values), f"{parameter}_level": list(self.level_of)}


@dataclass(frozen=True)
class Crossed:
    """The combinations of several columns' levels, as one column; the last column's levels change fastest."""

    columns: tuple[ImpressionColumn, ...]

    @property
    def n_levels(self) -> int:
        """Combinations."""
        return prod(column.n_levels for column in self.columns)

    @property
    def tables(self) -> tuple[str, ...]:
        """Temporary tables that the SQL names."""
        return tuple(table for column in self.columns for table in column.tables)

    def level_sql(self, parameter: str) -> str:
        """SQL of the level's number in a source row; takes ``$parameter``, see `parameters`."""
        out = "0"
        for i, column in enumerate(self.columns):
            out = f"(({out}) * {column.n_levels} + {column.level_sql(f'{parameter}_{i}')})"
        return out

    def parameters(self, parameter: str) -> Parameters:
        """Parameters of `level_sql`."""
        parts = (column.parameters(f"{parameter}_{i}") for i, column in enumerate(self.columns))
        return {name: value for part in parts for name, value in part.items()}


@dataclass(frozen=True)
class Days:
    """Periods of days, as a column.

    Parameters
    ----------
    time
        SQL of a source row's time in seconds.
    first
        First day since 1970.
    period
        Period of that day and of each day after it, shape (n_days,).
    """

    time: str
    first: int
    period: tuple[int, ...]
    tables: ClassVar[tuple[str, ...]] = ()

    @property
    def n_levels(self) -> int:
        """Periods."""
        return max(self.period) + 1

    def level_sql(self, parameter: str) -> str:
        """SQL of the period of a source row; takes ``$parameter``, see `parameters`."""
        return f"list_element(${parameter}, CAST(floor({self.time} / 86400) AS BIGINT) - {self.first - 1})"

    def parameters(self, parameter: str) -> Parameters:
        """Parameters of `level_sql`."""
        return {parameter: list(self.period)}


def impression_columns(
    every: TypedRows, rows: TypedRows, differing: Iterable[str], *, timed: bool
) -> list[ImpressionColumn]:
    """The columns of these logs that describe the impression; those of one value are left out.

    Parameters
    ----------
    every, rows
        Valid rows, and those of some items, by which levels are found.
    differing
        Columns that differ within items, see `reward.logs.item_fields.ItemFields`.
    timed
        True if times are told apart within days, too.
    """
    own = {rows.location(name) for name in WHERE_SHOWN if rows.has(name)}
    names = [*sorted(own), *(c for c in differing if c not in own and c in rows.source.columns)][:MAX_COLUMNS]
    kinds = {name: rows.source.columns[name] for name in names if not is_nested(rows.source.columns[name])}
    values = {name: context_sql(rows, name) for name in kinds}
    if rows.has("timestamp"):
        time = rows.expression("timestamp")
        values[HOUR] = f"CAST(floor({time} / 3600) AS BIGINT) % 24"
        values[WEEKDAY] = f"(CAST(floor({time} / 86400) AS BIGINT) + 4) % 7"  # Sunday is 0
        values[DATE] = f"CAST(floor({time} / {_days(rows) * 86_400}) AS BIGINT)"
        if timed and (width := _width(rows)):
            values[TIME] = f"CAST(floor({time} / {width}) AS BIGINT)"
    if rows.has("position"):  # examination is taken off before; it may differ from item to item
        values[POSITION] = f"CAST(round({rows.expression('position')}) AS BIGINT)"
        kinds[POSITION] = "BIGINT"
    if not values:
        return []
    counts = (n for part in batched(values.values(), AT_ONCE) for n in _distinct(rows, part))
    found = dict(zip(values, counts, strict=True))
    if TIME in values and found[TIME] <= found[DATE]:  # times are days
        del values[TIME]
    out = [
        _column(every, rows, name, sql, kinds.get(name, "VARCHAR"), found[name], f"of_item_{i}")
        for i, (name, sql) in enumerate(values.items())
    ]
    return [column for column in out if column.n_levels > 2 or column.names_people]


def _days(rows: TypedRows) -> int:
    """Days that are one date: as few as leave 50 dates at most, and some impressions of a title on each."""
    span = "SELECT (max(last_seen) - min(first_seen)) / 86400, sum(impressions) / count(*) FROM arms"
    days, shown = rows.source.query(span).fetchall()[0]
    dates = min(MAX_LEVELS - 1.0, max(2.0, float(shown) / _SHOWN_ON_A_DATE))
    return max(1, math.ceil(float(days or 0.0) / dates))


def _width(rows: TypedRows) -> int | None:
    """Seconds of the times that are told apart within days, None if a day is too short to know its level."""
    span = "SELECT min(first_seen), max(last_seen), sum(clicks) FROM arms"
    first, last, clicks = rows.source.query(span).fetchall()[0]
    if first is None or last <= first:
        return None
    blocks = min(_MOST_TIMES, clicks / _CLICKS_OF_A_TIME)
    return next((hours * 3600 for hours in _HOURS if last - first <= blocks * hours * 3600), None)


def _distinct(rows: TypedRows, values: Sequence[str]) -> tuple[int, ...]:
    """About how many different values these expressions have."""
    keys = [f"v{i}" for i in range(len(values))]
    counts = ", ".join(f"approx_count_distinct({key})" for key in keys)
    table = _shown(rows, dict(zip(keys, values, strict=True)))
    found: tuple[int, ...] = rows.source.query(f"SELECT {counts} FROM {table}", rows.parameters).fetchall()[0]
    return found


def _shown(rows: TypedRows, values: Mapping[str, str], *names: str) -> str:
    return rows.select("impressions", *names, extra=values, where="impressions > 0")


def _column(
    every: TypedRows, rows: TypedRows, name: str, sql: str, kind: str, n_values: int, table: str
) -> ImpressionColumn:
    """The column with its levels; with none where they are too many to compare."""
    many = n_values > MAX_VALUES
    if kind in _NUMBERS and n_values > MAX_POINTS:
        column = ImpressionColumn(name, sql, edges=_edges(rows, sql), names_people=many and kind in WHOLE_TYPES)
        parted = bool(column.edges) and name != POSITION
        own = relative_number(every, rows, sql, column.level_sql(""), table) if parted else None
        if own is not None:
            return replace(column, sql=own.sql, edges=_edges(rows, own.sql), tables=(own.table,))
        if n_values > MAX_LEVELS:
            return column
    text = f"CAST({sql} AS VARCHAR)"
    own = place_in_item(every, rows, text, table) if n_values > MAX_LEVELS and name in rows.source.columns else None
    if many and own is None:
        return ImpressionColumn(name, sql, names_people=True)
    text = f"coalesce({own.sql if own else text}, '{MISSING}')"
    counted = f"SELECT v, sum(impressions) AS n FROM {_shown(rows, {'v': text})} GROUP BY v"
    ordered = f"SELECT v FROM ({counted}) ORDER BY n DESC, v LIMIT {MAX_LEVELS + 1}"
    found = tuple(value for (value,) in rows.source.query(ordered, rows.parameters).fetchall())
    if own is not None:
        places = found[:MAX_LEVELS]
        return ImpressionColumn(name, text, places, tuple(range(len(places))), of_item=True, tables=(own.table,))
    if len(found) > MAX_LEVELS:
        return _grouped_values(rows, name, text)
    return ImpressionColumn(name, text, found, tuple(range(len(found))))


def _edges(rows: TypedRows, sql: str) -> tuple[float, ...]:
    """Limits of the ranges of a number: deciles; where one value has most of them, also quartiles beside it."""
    table = f"(SELECT * FROM {_shown(rows, {'v': sql})} WHERE v IS NOT NULL)"

    def quantiles(shares: Sequence[float], where: str = "true") -> set[float]:
        asked = f"SELECT quantile_disc(v, {[*shares]}) FROM {table} WHERE {where}"
        return {float(edge) for edge in rows.source.query(asked, rows.parameters).fetchall()[0][0] or ()}

    found = quantiles([i / _BINS for i in range(1, _BINS)])
    if not found or len(found) > _BINS // 2:
        return tuple(sorted(found))
    most_frequent = f"SELECT v FROM {table} GROUP BY v ORDER BY count(*) DESC, v LIMIT 1"
    usual = float(rows.source.query(most_frequent, rows.parameters).fetchall()[0][0])
    below, above = (quantiles([0.25, 0.5, 0.75, 1.0], f"v {side} {usual!r}") for side in "<>")
    edges = sorted({usual, *found, *below, *above})
    return tuple(edges[:-1] or edges)  # none is above the last


def _grouped_values(rows: TypedRows, name: str, text: str) -> ImpressionColumn:
    """A column of more than `MAX_LEVELS` values, parted by `_alike`."""
    # Clicks that a value would have if it did not matter, by the rates of its titles in whole billionths: exact sums.
    rate = "CAST(round(1e9 * arms.clicks / arms.impressions) AS HUGEINT)"
    sums = f"sum(r.impressions) AS n, sum(r.clicks) AS seen, sum(CAST(r.impressions AS HUGEINT) * {rate}) AS expected"
    table = _shown(rows, {"v": text}, "item_id", "title", "clicks")
    counted = f"SELECT v, {sums} FROM {table} AS r JOIN arms USING (item_id, title) GROUP BY v"
    ordered = f"SELECT v, n, seen, expected / 1e9 FROM ({counted}) ORDER BY n DESC, v LIMIT {MAX_VALUES}"
    values, *counts = zip(*rows.source.query(ordered, rows.parameters).fetchall(), strict=True)
    level, pooled = _alike(*(np.asarray(part, dtype=np.float64) for part in counts))
    kept = level >= 0
    parted = (value for value, told in zip(values, kept, strict=True) if told)
    return ImpressionColumn(name, text, tuple(parted), tuple(level[kept].tolist()), pooled=pooled)


def _alike(shown: FloatArray, clicks: FloatArray, expected: FloatArray) -> tuple[IntArray, float]:
    """Level of each value, shape (n_values,), -1 without one; and the share of the impressions at those.

    Values are sorted by their clicks over those expected by title, and parted into `MAX_LEVELS` of similar traffic.
    Titles that were shown at equal levels of such a prognostic score are compared as well as at equal values (Hansen
    2008), and each value's share of the titles does not enter it. Where no click rates are known, the most frequent
    values are levels of their own.
    """
    told = np.flatnonzero(expected >= MIN_CLICKS)
    if len(told) < 2:
        level = np.where(np.arange(len(shown)) < MAX_LEVELS, np.arange(len(shown)), -1)
        return level, float(shown[MAX_LEVELS:].sum() / shown.sum())
    level = np.full(len(shown), -1, dtype=np.int64)
    level[told] = levels_of_like_rates(clicks[told] / expected[told], shown[told])
    return level, float(1 - shown[told].sum() / shown.sum())


def levels_of_like_rates(rate: FloatArray, shown: FloatArray) -> IntArray:
    """Level of each value, shape (n_values,): sorted by rate, and parted into `MAX_LEVELS` of similar traffic."""
    order = np.argsort(np.round(rate, 9), kind="stable")
    before = np.cumsum(shown[order]) - shown[order] / 2
    parts = np.floor(MAX_LEVELS * before / shown.sum()).astype(np.int64)
    level = np.zeros(len(shown), dtype=np.int64)
    level[order] = np.unique(parts, return_inverse=True)[1]
    return level
