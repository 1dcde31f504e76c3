"""Circumstances in which titles were shown: tests of what the logs record of them, and corrections where they matter.

Titles of an item are comparable where they were shown in similar circumstances. Logs record three kinds of difference:
propensities that differ between the rows of one arm (each row then counts 1 / propensity), positions (corrected for by
examination), and every column that describes the impression (clicks are compared at equal levels where titles
have different levels and clicks depend on the level). Unlogged circumstances cannot be separated from the titles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from ..arrays import FloatArray
from .aggregate import Columns, inverse_sums
from .balance import MIN_TIED, Balance, LevelCells, balance_of, level_effects
from .impression_columns import AT_ONCE, DATE, Crossed, ImpressionColumn, impression_columns
from .item_fields import batched
from .level_counts import joint_cells, level_cells
from .people import people_balance
from .position import PositionBias
from .some_items import some_items
from .standardised import MAX_STRATA, strata_of
from .typed_rows import TypedRows
from .weighting import LevelEffect, Weighting

LEVEL = 0.01
"""False-discovery rate at which titles count as shown under unlike circumstances."""
CLICK_LEVEL = 0.1
"""p value of clicks by level under which an unbalanced column is taken off; taking off a useless one costs little."""
_ROWS_FOR_EFFECTS = 20_000_000  # what is taken off has to be known better than that it matters
MAX_JOINT_LEVELS = 100
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
    cells: dict[str, LevelCells] = {}
    for part in batched(columns, AT_ONCE):
        cells |= level_cells(some, part, weighting)
    found = [balance_of(column.name, cells[column.name]) for column in columns]
    names = {balance.column for balance in unlike(found) if balance.click_p_value < CLICK_LEVEL}
    taken = [column for column in columns if column.name in names and not (replaced and column.name == DATE)]
    balances = tuple(
        replace(balance, adjusted=balance.column in names, pooled=column.pooled)
        for balance, column in zip(found, columns, strict=True)
    )
    # Titles at levels of their own cannot be compared, which is a doubt: their counts stay as they are.
    shared = all(balance.tied_share >= MIN_TIED for balance in found if balance.column in names)
    if taken:
        effects = _effects(some_items(rows, _ROWS_FOR_EFFECTS), taken, weighting, MAX_STRATA if shared else 1)
        weighting = replace(weighting, effects=effects)
    people = [column for column in every if column.names_people and column.name not in names]
    tested = (people_balance(rows, column.name, column.sql, weighting, by_day=replaced) for column in people)
    return Circumstances(
        (*balances, *(balance for balance in tested if balance is not None)), weighting, shared and DATE in names
    )


def unlike(balances: Sequence[Balance]) -> list[Balance]:
    """Balances that show different circumstances for an item's titles, at the false-discovery rate `LEVEL`."""
    if not balances:
        return []
    rejected = stats.false_discovery_control([balance.p_value for balance in balances]) <= LEVEL
    return [balance for balance, unbalanced in zip(balances, rejected, strict=True) if unbalanced]


def propensities_differ(sums: Columns) -> bool:
    """True if rows of one arm have different propensities."""
    return "least_propensity" in sums and bool(np.any(sums["least_propensity"] < sums["most_propensity"]))


def _effects(
    rows: TypedRows, columns: Sequence[ImpressionColumn], weighting: Weighting, most_strata: int
) -> tuple[LevelEffect, ...]:
    """Relative click rates at the columns' levels, and their strata; of few combinations those of each combination."""
    cells = joint_cells(rows, columns, weighting)
    taken: Sequence[ImpressionColumn | Crossed] = columns
    levels = cells.levels
    if len(columns) > 1 and int(np.prod([column.n_levels for column in columns])) <= MAX_JOINT_LEVELS:
        taken = [Crossed(tuple(columns))]
        levels = np.ravel_multi_index(tuple(levels.T), [column.n_levels for column in columns])[:, None]
    theta = level_effects(cells.arm, levels, cells.clicks, cells.exposure, tuple(column.n_levels for column in taken))
    most = 1 if most_strata == 1 else max(2, round(most_strata ** (1 / len(taken))))
    return tuple(
        LevelEffect(column, own, strata_of(cells.item, cells.arm, level, cells.exposure, column.n_levels, most))
        for column, own, level in zip(taken, theta, levels.T, strict=True)
    )


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
