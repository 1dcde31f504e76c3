"""The arms' counts by levels of the columns that describe the impression."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import FloatArray, IntArray
from .aggregate import counted
from .balance import LevelCells
from .grouped import grouped
from .impression_columns import AT_ONCE, ImpressionColumn
from .item_fields import batched
from .standardised import StratumCells
from .typed_rows import TypedRows
from .weighting import Weighting, exact_sum, in_units

_SUMS = {
    "clicks": "clicks * counts",
    "exposure": "impressions * exposed",
    "shown": "impressions * counts",
    "squared": "impressions * counts * counts",
}
_CONVERSIONS = {"conversions": "coalesce(conversions, 0) * counts"}


def level_cells(rows: TypedRows, columns: Sequence[ImpressionColumn], weighting: Weighting) -> dict[str, LevelCells]:
    """Counts of arms by the levels of each column, from one pass over the rows."""
    if not columns:
        return {}
    names = [f"x{i}" for i in range(len(columns))]
    sets = ", ".join(f"(item_id, title, {name})" for name in names)
    found = _grouped(rows, columns, weighting, f"GROUPING SETS ({sets})")
    out = {}
    for name, column in zip(names, columns, strict=True):
        mine = ~np.isnan(found[name])  # the others of a row are missing: it is grouped by this one alone
        out[column.name] = LevelCells(
            compact(found["item"][mine]),
            compact(found["arm"][mine]),
            compact(found[name][mine]),
            *(found[key][mine] for key in (*_SUMS, *_CONVERSIONS) if key in found),
        )
    return out


@dataclass(frozen=True)
class JointCells:
    """Counts of the arms by several columns together, see `LevelCells`: levels of shape (n, n_columns), others (n,)."""

    item: IntArray
    arm: IntArray
    levels: IntArray
    clicks: FloatArray
    exposure: FloatArray
    shown: FloatArray
    squared: FloatArray
    conversions: FloatArray | None = None


def joint_cells(rows: TypedRows, columns: Sequence[ImpressionColumn], weighting: Weighting) -> JointCells:
    """Counts of arms by all columns together."""
    ((_, cells),) = _cells_of_sets(rows, [tuple(columns)], weighting)
    return cells


def pair_cells(
    rows: TypedRows, pairs: Sequence[tuple[ImpressionColumn, ...]], weighting: Weighting
) -> Iterator[tuple[tuple[ImpressionColumn, ...], JointCells]]:
    """Counts of arms by each pair of columns, in their order, some from one pass."""
    for part in batched(pairs, AT_ONCE):
        yield from _cells_of_sets(rows, part, weighting)


def _cells_of_sets(
    rows: TypedRows, sets: Sequence[tuple[ImpressionColumn, ...]], weighting: Weighting
) -> Iterator[tuple[tuple[ImpressionColumn, ...], JointCells]]:
    columns = list({column.name: column for columns in sets for column in columns}.values())
    key = {column.name: f"x{i}" for i, column in enumerate(columns)}
    named = [[key[column.name] for column in columns] for columns in sets]
    groups = (", ".join(("item_id", "title", *own)) for own in named)
    found = _grouped(rows, columns, weighting, f"GROUPING SETS ({', '.join(f'({group})' for group in groups)})")
    there = np.stack([~np.isnan(found[f"x{i}"]) for i in range(len(columns))])
    for own, names in zip(sets, named, strict=True):
        inside = np.array([f"x{i}" in names for i in range(len(columns))])
        mine = np.all(there == inside[:, None], axis=0)  # a row is grouped by the columns that are not missing
        levels = np.stack([found[name][mine].astype(np.int64) for name in names], axis=1)
        counts = {name: found[name][mine] for name in (*_SUMS, *_CONVERSIONS) if name in found}
        yield own, JointCells(compact(found["item"][mine]), compact(found["arm"][mine]), levels, **counts)


def stratum_cells(rows: TypedRows, weighting: Weighting, window_hours: float | None) -> StratumCells:
    """Counts of arms by the strata of all that is taken off, together; ``arm`` is that of the table ``arms``."""
    parameters, strata = weighting.parameters(rows), dict[str, str]()
    amounts = {name: sql for name, sql in counted(rows, window_hours).items() if rows.has(name)}
    needed = [name for name in (*amounts, "conversion_delay_hours") if amounts and rows.has(name)]
    if window_hours is not None and "conversion_delay_hours" in needed:
        parameters["window"] = window_hours
    for i, effect in enumerate(weighting.effects):
        strata[f"x{i}"] = f"list_element($strata{i}, {effect.column.level_sql(f'stratum{i}')} + 1)"
        parameters |= effect.column.parameters(f"stratum{i}") | {f"strata{i}": effect.stratum.tolist()}
    values = {"clicks": _SUMS["clicks"], "exposure": _SUMS["exposure"], **amounts}
    sums = {f"w_{name}": exact_sum(sql) for name, sql in values.items()}
    keys = ("item_id", "title", *strata)
    source = weighting.table(rows, strata, *needed)
    by_stratum, parameters = grouped(rows, keys, sums, source, parameters, joined=weighting.tables)
    back = ", ".join(f"{in_units(f'w_{name}')} AS {name}" for name in values)
    query = (
        f"SELECT item, arm, dense_rank() OVER (ORDER BY {', '.join(strata)}) - 1 AS stratum, {back} FROM {by_stratum} "
        "JOIN (SELECT arm, item, item_id, title FROM arms) USING (item_id, title) ORDER BY arm, stratum"
    )
    table = rows.source.table(query, parameters)
    item, arm, stratum = (floats(table.column(name)).astype(np.int64) for name in ("item", "arm", "stratum"))
    return StratumCells(item, arm, stratum, **{name: floats(table.column(name)) for name in values})


def _grouped(
    rows: TypedRows, columns: Sequence[ImpressionColumn], weighting: Weighting, grouping: str
) -> Mapping[str, FloatArray]:
    names = {f"x{i}": column.level_sql(f"column{i}") for i, column in enumerate(columns)}
    parameters = weighting.parameters(rows)
    for i, column in enumerate(columns):
        parameters |= column.parameters(f"column{i}")
    logged = [name for name in _CONVERSIONS if rows.has(name)]
    sums = _SUMS | {name: _CONVERSIONS[name] for name in logged}
    by_level, parameters = grouped(
        rows,
        ("item_id", "title", *names),
        {f"w_{name}": exact_sum(sql) for name, sql in sums.items()},
        weighting.table(rows, names, *logged),
        parameters,
        grouping=grouping,
        joined=(*weighting.tables, *(table for column in columns for table in column.tables)),
    )
    back = ", ".join(f"{in_units(f'w_{name}')} AS {name}" for name in sums)
    joined = f"SELECT item, arm, {', '.join(names)}, {back} FROM {by_level} "
    joined += "JOIN (SELECT arm, item, item_id, title FROM arms) USING (item_id, title) ORDER BY ALL"
    table = rows.source.table(joined, parameters)
    return {name: floats(table.column(name)) for name in table.column_names}


def floats(column: Any) -> FloatArray:
    """Numbers, NaN where missing."""
    return np.asarray(column.cast("float64").to_numpy(zero_copy_only=False), dtype=np.float64)


def compact(values: FloatArray) -> IntArray:
    """Numbers from 0 in the order of ``values``."""
    return np.unique(values, return_inverse=True)[1].astype(np.int64)
