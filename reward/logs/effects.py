"""Effects of the columns that are taken off: relative click rates at their levels, and strata of these levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ..arrays import BoolArray, IntArray
from .balance import LevelCells, level_effects, totals, unlike_shares
from .impression_columns import Crossed, ImpressionColumn, levels_of_like_rates
from .level_counts import JointCells, joint_cells
from .standardised import strata_of
from .typed_rows import TypedRows
from .weighting import LevelEffect, Weighting

MAX_JOINT_LEVELS = 200
"""Columns with no more combinations than this are taken off together, interactions included."""
MAX_PARTED = 2_000
"""Levels from which strata are found one by one; of more, those of one click rate are in one stratum."""


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
    cells = joint_cells(rows, [column.by_value for own in taken for column in own], weighting)
    units, first = list[_Unit](), 0
    for own in taken:
        units.append(_unit(own, cells.levels[:, first : first + len(own)], cells))
        first += len(own)
    levels = np.stack([unit.of_rate[unit.level] for unit in units], axis=1)
    n_levels = tuple(int(unit.of_rate.max()) + 1 for unit in units)
    theta = level_effects(cells.arm, levels, cells.clicks, cells.exposure, n_levels)
    most = 1 if most_strata == 1 else max(2, round(most_strata ** (1 / len(units))))
    return tuple(
        LevelEffect(unit.column, rate[unit.of_rate], _strata(unit, cells, most))
        for unit, rate in zip(units, theta, strict=True)
    )


@dataclass(frozen=True)
class _Unit:
    """A column that is taken off: its level in each cell, and of each level that of its click rate."""

    column: ImpressionColumn | Crossed
    level: IntArray
    of_rate: IntArray


def _unit(columns: tuple[ImpressionColumn, ...], values: IntArray, cells: JointCells) -> _Unit:
    """One column, or the combinations of several; many values or combinations share click rates."""
    shared = [column.level_of_value for column in columns]
    if len(columns) == 1:
        return _Unit(columns[0].by_value, values[:, 0], shared[0])
    levels = tuple(of_value[value] for of_value, value in zip(shared, values.T, strict=True))
    crossed = Crossed(columns)
    n = crossed.n_levels
    both = np.ravel_multi_index(levels, [column.n_levels for column in columns])
    if n <= MAX_JOINT_LEVELS:
        return _Unit(crossed, both, np.arange(n))
    (theta,) = level_effects(cells.arm, both[:, None], cells.clicks, cells.exposure, (n,))
    return _Unit(crossed, both, levels_of_like_rates(theta, totals(both, cells.exposure, n)))


def _strata(unit: _Unit, cells: JointCells, most: int) -> IntArray:
    """Stratum of each level: levels that show titles alike, or those of one rate that do.

    Many values hardly show how each of them shows titles: what is found with half of the items counts by what it tells
    of the others.
    """
    rates, n_levels = unit.of_rate[unit.level], len(unit.of_rate)

    def found(half: BoolArray, level: IntArray, n: int) -> IntArray:
        return strata_of(cells.item[half], cells.arm[half], level[half], cells.exposure[half], n, most)

    every = np.ones(len(cells.item), dtype=bool)
    n_rates = int(unit.of_rate.max()) + 1
    if n_rates == n_levels or most == 1:
        return found(every, unit.level, n_levels)
    if n_levels > MAX_PARTED:
        return found(every, rates, n_rates)[unit.of_rate]
    told = {"levels": 0.0, "rates": 0.0}
    for half in (cells.item % 2 == 0, cells.item % 2 == 1):
        told["levels"] += _unlike(cells, ~half, found(half, unit.level, n_levels)[unit.level])
        told["rates"] += _unlike(cells, ~half, found(half, rates, n_rates)[rates])
    if told["levels"] > told["rates"]:
        return found(every, unit.level, n_levels)
    return found(every, rates, n_rates)[unit.of_rate]


def _unlike(cells: JointCells, rows: BoolArray, stratum: IntArray) -> float:
    """Difference between the strata in how they show the titles of these cells: chi-square less its freedom."""
    item, arm = (np.unique(x[rows], return_inverse=True)[1] for x in (cells.item, cells.arm))
    n_strata = int(stratum.max()) + 1
    pair, place = np.unique(arm * n_strata + stratum[rows], return_inverse=True)
    counts = (totals(place, x[rows]) for x in (cells.clicks, cells.exposure, cells.shown, cells.squared))
    of_pair = np.unique(place, return_index=True)[1]
    statistic, freedom, _ = unlike_shares(LevelCells(item[of_pair], arm[of_pair], pair % n_strata, *counts))
    return statistic - freedom
