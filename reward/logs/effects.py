"""Effects of the columns that are taken off: relative click rates at their levels, and strata of these levels."""

from collections.abc import Sequence
from math import prod

import numpy as np

from ..arrays import IntArray
from .balance import level_effects, totals
from .impression_columns import Crossed, ImpressionColumn, levels_of_like_rates
from .level_counts import JointCells, joint_cells
from .standardised import strata_of
from .typed_rows import TypedRows
from .weighting import LevelEffect, Weighting

MAX_JOINT_LEVELS = 200
"""Columns with no more combinations than this are taken off together, interactions included."""


def taken_together(
    columns: Sequence[ImpressionColumn], sets: Sequence[tuple[str, ...]], names: set[str]
) -> list[tuple[ImpressionColumn, ...]]:
    """Columns that are taken off, those of which combinations matter together; all together if that is few levels."""
    by_name = {column.name: column for column in columns}
    apart = [(column.name,) for column in columns if column.name in names and not any(column.name in s for s in sets)]
    taken = [tuple(by_name[name] for name in own) for own in (*sets, *apart)]
    every = tuple(column for own in taken for column in own)
    return [every] if every and prod(column.n_levels for column in every) <= MAX_JOINT_LEVELS else taken


def taken_effects(
    rows: TypedRows, taken: Sequence[tuple[ImpressionColumn, ...]], weighting: Weighting, most_strata: int
) -> tuple[LevelEffect, ...]:
    """Relative click rates at the levels of the columns, or of their combinations, and the strata of these levels."""
    cells = joint_cells(rows, [column for own in taken for column in own], weighting)
    units, levels, first = list[ImpressionColumn | Crossed](), list[IntArray](), 0
    for own in taken:
        unit, level = _unit(own, cells.levels[:, first : first + len(own)], cells)
        units.append(unit)
        levels.append(level)
        first += len(own)
    n_levels = tuple(unit.n_levels for unit in units)
    theta = level_effects(cells.arm, np.stack(levels, axis=1), cells.clicks, cells.exposure, n_levels)
    most = 1 if most_strata == 1 else max(2, round(most_strata ** (1 / len(units))))
    return tuple(
        LevelEffect(unit, own, strata_of(cells.item, cells.arm, level, cells.exposure, unit.n_levels, most))
        for unit, own, level in zip(units, theta, levels, strict=True)
    )


def _unit(
    columns: tuple[ImpressionColumn, ...], levels: IntArray, cells: JointCells
) -> tuple[ImpressionColumn | Crossed, IntArray]:
    """One column, or the combinations of several, and its level in each cell; many combinations are parted by rate."""
    if len(columns) == 1:
        return columns[0], levels[:, 0]
    crossed = Crossed(columns)
    n = crossed.n_combinations
    both = np.ravel_multi_index(tuple(levels.T), [column.n_levels for column in columns])
    if n <= MAX_JOINT_LEVELS:
        return crossed, both
    (theta,) = level_effects(cells.arm, both[:, None], cells.clicks, cells.exposure, (n,))
    level_of = levels_of_like_rates(theta, totals(both, cells.exposure, n))
    return Crossed(columns, tuple(level_of.tolist())), level_of[both]
