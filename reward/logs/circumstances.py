"""Circumstances in which titles were shown: tests of what the logs record of them, and corrections where they matter.

Titles of an item are comparable where they were shown in similar circumstances. Logs record three kinds of difference:
propensities that differ between the rows of one arm (each row then counts 1 / propensity), positions (corrected for by
examination), and every column that describes the impression (clicks are compared at equal levels where titles
have different levels and clicks depend on the level). Unlogged circumstances cannot be separated from the titles.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from scipy import stats

from ..arrays import FloatArray, IntArray
from .aggregate import Columns, inverse_sums
from .balance import MIN_TIED, Balance, balance_of, level_effects, totals
from .combinations import MIN_BIAS, combination_balances, linked, pairs_of
from .impression_columns import AT_ONCE, DATE, TIME, Crossed, ImpressionColumn, impression_columns, levels_of_like_rates
from .item_fields import batched
from .level_counts import JointCells, joint_cells, level_cells
from .people import people_balance
from .position import PositionBias
from .some_items import some_items
from .standardised import MAX_STRATA, strata_of
from .typed_rows import TypedRows
from .weighting import LevelEffect, Weighting

LEVEL = 0.01
"""False-discovery rate at which titles count as shown under unlike circumstances."""
_ROWS_AND_ITEMS_FOR_COMBINATIONS = 500_000, 100  # many pairs of columns, and all items tell their factors together
_ROWS_FOR_EFFECTS = 20_000_000  # what is taken off has to be known better than that it matters
MAX_JOINT_LEVELS = 200
"""Columns with no more combinations than this are taken off together, interactions included."""


@dataclass(frozen=True)
class Circumstances:
    """Circumstances that were found, and the weight they give a row.

    Parameters
    ----------
    balances
        The test of each column that describes the impression.
    weighting
        Weights of impressions, for every later sum.
    dates_differ
        True if an item's titles were shown at different dates, and many of them at several.
    """

    balances: tuple[Balance, ...]
    weighting: Weighting
    dates_differ: bool


def circumstances(
    rows: TypedRows,
    some: TypedRows,
    sums: Columns,
    bias: PositionBias | None,
    differing: Sequence[str],
    *,
    replaced: bool,
) -> Circumstances:
    """Test every column that describes the impression, and take off those that titles and clicks both go with.

    Parameters
    ----------
    rows, some, sums
        Valid rows, those of some items (`reward.logs.some_items`), which are tested, and the arms' sums
        (`reward.logs.aggregate.aggregate`).
    bias
        Examination by position, None where no position is logged.
    differing
        Columns that differ within items, see `reward.logs.item_fields.ItemFields`.
    replaced
        True if an item's titles may have been shown at different times, which `reward.logs.periods` takes off.
    """
    weighting = Weighting(propensities_differ(sums), bias)
    every = impression_columns(some, differing, timed=not replaced)
    columns = [column for column in every if column.n_levels > 2]
    found = [*_balances(some, columns, weighting)]
    few = some_items(some, *_ROWS_AND_ITEMS_FOR_COMBINATIONS)
    found += combination_balances(few, pairs_of(columns, dates=not replaced), weighting)
    # Whether revenue differs by a column is not tested: it may.
    matter = [balance for balance in unlike(found) if balance.outcomes or rows.has("revenue")]
    sets, names = linked(
        [balance for balance in matter if balance.columns], {column.name: column.n_levels for column in columns}
    )
    names |= {balance.column for balance in matter if not balance.columns}
    balances = tuple(replace(balance, adjusted=balance.column in names) for balance in found)
    # Titles at levels of their own cannot be compared, which is a doubt: their counts stay as they are.
    shared = all(balance.tied_share >= MIN_TIED for balance in matter)
    left_out = {DATE} if replaced else set()
    if taken := _taken(columns, sets, names - left_out):
        effects = _effects(some_items(rows, _ROWS_FOR_EFFECTS), taken, weighting, MAX_STRATA if shared else 1)
        weighting = replace(weighting, effects=effects)
    people = [column for column in every if column.names_people and column.name not in names]
    tested = (people_balance(rows, column.name, column.sql, weighting, by_day=replaced) for column in people)
    return Circumstances(
        (*balances, *(balance for balance in tested if balance is not None)), weighting, shared and DATE in names
    )


def unlike(balances: Sequence[Balance]) -> list[Balance]:
    """Balances that show different circumstances for an item's titles, at the false-discovery rate `LEVEL`.

    Columns are one family of tests, their combinations another; of these, differences that cannot matter are left out.
    """
    out = []
    for family in ([b for b in balances if not b.columns], [b for b in balances if b.columns]):
        if family:
            rejected = stats.false_discovery_control([balance.p_value for balance in family]) <= LEVEL
            out += [balance for balance, unbalanced in zip(family, rejected, strict=True) if unbalanced]
    return [balance for balance in out if not balance.columns or balance.imbalance >= MIN_BIAS]


def propensities_differ(sums: Columns) -> bool:
    """True if rows of one arm have different propensities."""
    return "least_propensity" in sums and bool(np.any(sums["least_propensity"] < sums["most_propensity"]))


def _balances(rows: TypedRows, columns: Sequence[ImpressionColumn], weighting: Weighting) -> Iterator[Balance]:
    for part in batched(columns, AT_ONCE):
        cells = level_cells(rows, part, weighting)
        for column in part:
            own = cells[column.name]
            if column.name in (DATE, TIME):  # later conversions are still to come
                own = replace(own, conversions=None)
            yield replace(balance_of(column.name, own), pooled=column.pooled)


def _taken(
    columns: Sequence[ImpressionColumn], sets: Sequence[tuple[str, ...]], names: set[str]
) -> list[tuple[ImpressionColumn, ...]]:
    """Columns that are taken off, those of which combinations matter together; all together if that is few levels."""
    by_name = {column.name: column for column in columns}
    apart = [(column.name,) for column in columns if column.name in names and not any(column.name in s for s in sets)]
    taken = [tuple(by_name[name] for name in own) for own in (*sets, *apart)]
    every = tuple(column for own in taken for column in own)
    return [every] if every and prod(column.n_levels for column in every) <= MAX_JOINT_LEVELS else taken


def _effects(
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


@dataclass(frozen=True)
class InverseWeighted:
    """Counts of arms whose rows have unlike propensities, shape (n_arms,) each.

    Rates are those of rows weighted by 1 / propensity; the counts are as many as would have their variance (Kish's
    effective sample size, and that of the clicks themselves where there are enough of them). Arms of one propensity
    keep their own counts.

    Parameters
    ----------
    clicks, exposure, conversions, revenue, matured_clicks
        Effective counts.
    shown, shown_squared
        Sums of 1 / propensity and of its square over the impressions: an item's impressions are what the first
        estimates.
    """

    clicks: FloatArray
    exposure: FloatArray
    conversions: FloatArray
    revenue: FloatArray
    matured_clicks: FloatArray
    shown: FloatArray
    shown_squared: FloatArray

    @classmethod
    def of(
        cls,
        rows: TypedRows,
        sums: Columns,
        exposure: FloatArray,
        matured: FloatArray | None,
        window_hours: float | None,
    ) -> "InverseWeighted":
        """From the arms' sums; ``exposure`` and ``matured`` are weighted by 1 / propensity already."""
        weighted = inverse_sums(rows, window_hours)
        impressions = sums["propensity_impressions"].astype(np.float64)
        shown, squared = weighted["shown"], weighted["squared"]
        mean = shown / impressions
        by_impressions = squared * impressions / shown**2
        clicks = weighted["clicks"] / mean
        design = weighted["clicks_squared"] / mean**2 + _SURE_CLICKS * by_impressions
        design = np.maximum(design / (clicks + _SURE_CLICKS), 1.0)
        constant = sums["least_propensity"] == sums["most_propensity"]
        scale = np.where(constant, 1.0 / mean, 1.0 / mean / design)
        whole = {"clicks": sums["clicks"], "conversions": sums.get("conversions"), "revenue": sums.get("revenue")}
        counts = {
            name: np.where(constant, 0.0 if value is None else value.astype(np.float64), weighted[name] * scale)
            for name, value in whole.items()
        }
        matured = weighted["clicks"] if matured is None else matured
        return cls(
            **counts, exposure=exposure * scale, matured_clicks=matured * scale, shown=shown, shown_squared=squared
        )


_SURE_CLICKS = 20.0
