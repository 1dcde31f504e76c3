"""Direct standardisation: what an item's titles would earn if all were shown in the same circumstances.

A level's relative click rate (`reward.logs.balance.level_effects`) is that of all items and titles together. If
evenings are good for shoes and bad for bags, or good for titles with a promise, that is not enough. Where an item's
titles were shown at different levels, each title's rate is therefore taken in a few strata of levels, and averaged with
the item's shares of its traffic: no factor is assumed to be the same for all. The price is variance: a title that was
hardly shown in the evening hardly says what it earns there, and counts as fewer clicks.

Strata hold levels that show titles alike: it is between those that titles' circumstances differ (propensity strata;
five leave about a tenth of the bias, Cochran 1968). Within a stratum exposure is weighted by the levels' rates.
"""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from ..arrays import FloatArray, IntArray
from .balance import ratio

MAX_STRATA = 5
PRIOR_CLICKS = 1.0
"""Expected clicks in a stratum at which a title's own rate there weighs as much as what the item's titles tell."""
_ROUNDS = 50
_MOST_ARMS, _MOST_CELLS = 20_000, 5_000_000  # from which strata are found


@dataclass(frozen=True)
class StratumCells:
    """Counts of arms by stratum; shape (n_cells,) each, the pairs (arm, stratum) distinct.

    Parameters
    ----------
    item, arm, stratum
        Numbers from 0.
    clicks
        Clicks.
    exposure
        Impressions, weighted by all that is taken off.
    conversions, revenue
        None where they are not logged.
    """

    item: IntArray
    arm: IntArray
    stratum: IntArray
    clicks: FloatArray
    exposure: FloatArray
    conversions: FloatArray | None = None
    revenue: FloatArray | None = None

    @property
    def spread(self) -> float:
        """Share of the exposure of arms that are in several strata."""
        several = (np.bincount(self.arm) >= 2)[self.arm]
        return float(self.exposure[several].sum() / max(self.exposure.sum(), 1e-300))


def strata_of(
    item: IntArray, arm: IntArray, level: IntArray, shown: FloatArray, n_levels: int, most: int = MAX_STRATA
) -> IntArray:
    """Stratum of each level, shape (n_levels,): levels with like shares of the titles are one (Ward 1963).

    Parameters
    ----------
    item, arm, level
        Numbers from 0 of the arms' counts by level, shape (n_cells,) each.
    shown
        Impressions of each.
    n_levels
        Number of levels.
    most
        Strata at most.
    """
    if most == 1:
        return np.zeros(n_levels, dtype=np.int64)
    if n_levels <= most:
        return np.arange(n_levels)
    n_arms = int(arm.max()) + 1
    step = -(-n_arms // min(_MOST_ARMS, _MOST_CELLS // n_levels))
    kept = item % step == 0
    item, arm, level, shown = (x[kept] for x in (item, arm, level, shown))
    arm = np.unique(arm, return_inverse=True)[1]
    table = np.zeros((n_levels, int(arm.max()) + 1))
    table[level, arm] = shown
    item_of = np.zeros(table.shape[1], dtype=np.int64)
    item_of[arm] = item
    of_item = np.zeros((n_levels, int(item.max()) + 1))
    np.add.at(of_item, (level, item), shown)
    share = np.divide(table, of_item[:, item_of], out=np.zeros_like(table), where=of_item[:, item_of] > 0)
    usual = table.sum(axis=0) / np.maximum(of_item.sum(axis=0), 1e-300)[item_of]
    gap = np.where(of_item[:, item_of] > 0, share - usual, 0.0) * np.sqrt(of_item.sum(axis=0))[item_of]
    return np.asarray(fcluster(linkage(gap, "ward"), most, "maxclust"), dtype=np.int64) - 1


@dataclass(frozen=True)
class Standardised:
    """Counts of arms at their items' mix of strata, shape (n_arms,) each.

    Parameters
    ----------
    clicks, exposure
        Effective counts: their ratio is the standardised rate, and the clicks expected of the exposure at the arm's own
        rate are as many as would have the variance of that.
    conversions, revenue
        Those of the effective exposure; None where they are not logged.
    plain
        Exposure before that: the sum over strata.
    """

    clicks: FloatArray
    exposure: FloatArray
    plain: FloatArray
    conversions: FloatArray | None = None
    revenue: FloatArray | None = None

    @classmethod
    def of(cls, cells: StratumCells, n_arms: int) -> "Standardised":
        """From the arms' counts by stratum."""

        def table(values: FloatArray) -> FloatArray:
            out = np.zeros((n_arms, int(cells.stratum.max(initial=0)) + 1))
            out[cells.arm, cells.stratum] = values
            return out

        clicks, exposure = table(cells.clicks), table(cells.exposure)
        item = np.zeros(n_arms, dtype=np.int64)
        item[cells.arm] = cells.item
        of_item = _by_item(exposure, item)
        share = ratio(of_item, of_item.sum(axis=1, keepdims=True))[item]
        item_rate = ratio(_by_item(clicks, item).sum(axis=1), of_item.sum(axis=1))[item]
        shown, seen = exposure.sum(axis=1), clicks.sum(axis=1)
        # What rate to expect of an arm of few clicks: one click more, at its item's rate.
        likely = ratio(seen + 1.0, shown + ratio(np.ones(n_arms), item_rate))
        prior = ratio(np.full(n_arms, PRIOR_CLICKS), likely)[:, None]
        variance = np.sum(share**2 * ratio(np.ones_like(exposure), exposure + prior / 2), axis=1)
        told = (variance > 0) & (item_rate > 0) & (shown > 0)
        effective = np.where(told, np.minimum(ratio(np.ones(n_arms), variance), shown), shown)

        def standardised(values: FloatArray) -> FloatArray:
            unit = float(values.sum() / max(seen.sum(), 1e-300)) or 1.0  # one click's worth of them
            own = prior * _rates(values / unit, exposure, item) * unit
            rate = np.sum(share * ratio(values + own, exposure + prior), axis=1)
            return np.asarray(np.where(told, rate * effective, values.sum(axis=1)))

        conversions, revenue = (
            None if x is None else standardised(table(x)) for x in (cells.conversions, cells.revenue)
        )
        return cls(standardised(clicks), effective, shown, conversions, revenue)


def _rates(clicks: FloatArray, exposure: FloatArray, item: IntArray) -> FloatArray:
    """Rates of arms in strata if each is the arm's times that of its item's stratum, shape (n_arms, n_strata)."""
    seen = _by_item(clicks, item)
    of_stratum = np.ones_like(seen)
    for _ in range(_ROUNDS):
        of_arm = ratio(clicks.sum(axis=1), np.sum(exposure * of_stratum[item], axis=1))
        expected = _by_item(exposure * of_arm[:, None], item)
        of_stratum = (seen + PRIOR_CLICKS) / (expected + PRIOR_CLICKS)
    return of_arm[:, None] * of_stratum[item]


def _by_item(table: FloatArray, item: IntArray) -> FloatArray:
    """Sums over the arms of each item, shape (n_items, n_strata)."""
    n_items = int(item.max(initial=0)) + 1
    return np.stack([np.bincount(item, column, minlength=n_items) for column in table.T], axis=1)
