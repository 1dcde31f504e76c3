"""Columns that describe the impression (hour, weekday, surface ...), and the levels by which they are compared."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import prod
from typing import Any

from .item_fields import context_sql
from .schema import WHERE_SHOWN
from .text_files import Parameters, is_nested
from .typed_rows import WHOLE_TYPES, TypedRows

MAX_LEVELS = 50
"""Values of a column that count one by one, the most frequent ones; the others are one level."""
MAX_VALUES = 1_000
"""A text column with more values names users or sessions, and says nothing that impressions have in common."""
MAX_COLUMNS = 40
"""Columns that are compared: of a log with hundreds of measurements an impression, the first ones."""
AT_ONCE = 4
"""Columns that one pass compares, so that memory does not grow with their number."""
SAMPLE_ROWS = 20_000_000
"""Rows that the tests read about: of longer logs, those of every k-th item."""
_BINS = 10
_NUMBERS = WHOLE_TYPES | {"FLOAT", "DOUBLE"}
HOUR, WEEKDAY = "hour of day", "weekday"


@dataclass(frozen=True)
class ImpressionColumn:
    """One column that describes the impression.

    Parameters
    ----------
    name
        The user's column, or `HOUR` or `WEEKDAY` of the timestamps (UTC).
    sql
        Its value in a source row: a text, or a number where there are ``edges``.
    levels
        Values that count one by one, most frequent first; all others, and missing ones, are one more level.
    edges
        Of numbers with more values: upper limits of the ranges that count as levels; else empty.
    """

    name: str
    sql: str
    levels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    @property
    def n_levels(self) -> int:
        """Levels, with that of all others."""
        return max(len(self.levels), len(self.edges)) + 1

    def level_sql(self, parameter: str) -> str:
        """SQL of the level's number in a source row; takes ``$parameter``, see `parameters`."""
        if self.edges:
            cases = " ".join(f"WHEN {self.sql} <= {edge!r} THEN {i}" for i, edge in enumerate(self.edges))
            return f"CASE {cases} ELSE {len(self.edges)} END"
        return f"coalesce(list_position(${parameter}, {self.sql}) - 1, {len(self.levels)})"

    def parameters(self, parameter: str) -> Parameters:
        """What `level_sql` takes."""
        return {} if self.edges else {parameter: list(self.levels)}


@dataclass(frozen=True)
class Crossed:
    """The combinations of several columns' levels, as one column."""

    columns: tuple[ImpressionColumn, ...]

    @property
    def n_levels(self) -> int:
        """Combinations."""
        return prod(column.n_levels for column in self.columns)

    def level_sql(self, parameter: str) -> str:
        """As of one column; the last column's levels change fastest."""
        out = "0"
        for i, column in enumerate(self.columns):
            out = f"(({out}) * {column.n_levels} + {column.level_sql(f'{parameter}_{i}')})"
        return out

    def parameters(self, parameter: str) -> Parameters:
        """What `level_sql` takes."""
        parts = (column.parameters(f"{parameter}_{i}") for i, column in enumerate(self.columns))
        return {name: value for part in parts for name, value in part.items()}


def impression_columns(rows: TypedRows, left_out: Iterable[str]) -> list[ImpressionColumn]:
    """The columns of these logs that describe the impression and have few values enough to compare.

    Parameters
    ----------
    rows
        Valid rows.
    left_out
        Columns that are no context of the item because they differ within items.
    """
    own = {rows.location(name) for name in WHERE_SHOWN if rows.has(name)}
    names = [*sorted(own), *(c for c in left_out if c not in own and c in rows.source.columns)][:MAX_COLUMNS]
    kinds = {name: rows.source.columns[name] for name in names if not is_nested(rows.source.columns[name])}
    values = {name: context_sql(rows, name) for name in kinds}
    if rows.has("timestamp"):
        time = rows.expression("timestamp")
        values[HOUR] = f"CAST(floor({time} / 3600) AS BIGINT) % 24"
        values[WEEKDAY] = f"(CAST(floor({time} / 86400) AS BIGINT) + 4) % 7"  # Sunday is 0
    if not values:
        return []
    found = [n for part in batched(values.values(), AT_ONCE) for n in _distinct(rows, part)]
    out = [
        _column(rows, name, sql, kinds.get(name, "VARCHAR"), n)
        for (name, sql), n in zip(values.items(), found, strict=True)
    ]
    return [column for column in out if column.n_levels > 2]


def batched(values: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    """Tuples of ``size`` values, the last one shorter."""
    left = iter(values)
    while part := tuple(islice(left, size)):
        yield part


def _distinct(rows: TypedRows, values: Sequence[str]) -> tuple[int, ...]:
    """About how many different values these expressions have."""
    keys = [f"v{i}" for i in range(len(values))]
    counts = ", ".join(f"approx_count_distinct({key})" for key in keys)
    table = _sample(rows, dict(zip(keys, values, strict=True)))
    found: tuple[int, ...] = rows.source.query(f"SELECT {counts} FROM {table}", rows.parameters).fetchall()[0]
    return found


def sampled(rows: TypedRows) -> str:
    """SQL condition on source rows that keeps those of every k-th item where there are many rows."""
    counted = rows.source.query(f"SELECT count(*) FROM {rows.source.relation}", rows.source.parameters)
    step = -(-int(counted.fetchall()[0][0]) // SAMPLE_ROWS)
    return "true" if step <= 1 else f"hash({rows.expression('item_id')}) % {step} = 0"


def _sample(rows: TypedRows, values: Mapping[str, str]) -> str:
    return rows.select("impressions", extra={"kept": sampled(rows), **values}, where="impressions > 0 AND kept")


def _column(rows: TypedRows, name: str, sql: str, kind: str, n_values: int) -> ImpressionColumn:
    """The column with its levels; with none where they are too many to compare."""
    query = rows.source.query
    if n_values > MAX_LEVELS and kind in _NUMBERS:
        shares = [(i + 1) / _BINS for i in range(_BINS - 1)]
        table = _sample(rows, {"v": sql})
        edges = query(f"SELECT quantile_disc(v, {shares}) FROM {table}", rows.parameters).fetchall()[0][0]
        return ImpressionColumn(name, sql, edges=tuple(sorted({float(edge) for edge in edges or ()})))
    if n_values > MAX_VALUES:
        return ImpressionColumn(name, sql)
    text = f"CAST({sql} AS VARCHAR)"
    counted = f"SELECT v, sum(impressions) AS n FROM {_sample(rows, {'v': text})} WHERE v IS NOT NULL GROUP BY v"
    found = query(f"SELECT v FROM ({counted}) ORDER BY n DESC, v LIMIT {MAX_LEVELS}", rows.parameters)
    return ImpressionColumn(name, text, levels=tuple(value for (value,) in found.fetchall()))
