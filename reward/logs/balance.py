"""Balance tests: were an item's titles shown under comparable circumstances, and what to correct where they were not.

Two tests over all items, for one column that describes the impression (hour, surface, ...): do the titles of an item
have the same shares of its levels (Pearson's chi-square, summed over items), and do clicks depend on the levels within
titles. If shares differ and clicks depend on levels, clicks are compared at equal levels: clicks of arm a at level k
are Poisson with mean exposure * alpha_a * theta_k, as examination is modelled by position (`reward.logs.position`), and
exposure is weighted by theta. Only titles shown at several levels identify theta, so good titles at good hours do not.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from ..arrays import FloatArray, IntArray
from .position import linked_groups

MIN_TIED = 0.9
"""Share of the impressions at levels that titles tie together, under which a column cannot be taken off."""
OUTCOME_LEVEL = 0.1
"""p value of clicks by level under which an unbalanced column is taken off; taking off a useless one costs little."""
PRIOR_CLICKS = 20.0
"""Expected clicks at which a level's own data weigh as much as the guess that it is like all others."""
_MIN_EXPECTED = 5.0
_ROUNDS, _TOLERANCE = 200, 1e-8


@dataclass(frozen=True)
class LevelCells:
    """Counts of arms by the level of a column; shape (n_cells,) each, the pairs (arm, level) distinct.

    Parameters
    ----------
    item, arm, level
        Numbers from 0.
    clicks
        Clicks, each counted ``weight`` times.
    exposure
        Impressions, each counted ``weight`` times, and by the examination of its position where that is known.
    shown, shown_squared
        Sums of ``weight`` and of its square over the impressions; without row propensities both are the impressions.
    conversions
        Conversions, each counted ``weight`` times; None where they are not logged.
    """

    item: IntArray
    arm: IntArray
    level: IntArray
    clicks: FloatArray
    exposure: FloatArray
    shown: FloatArray
    shown_squared: FloatArray
    conversions: FloatArray | None = None


@dataclass(frozen=True)
class Balance:
    """Balance of one column that describes the impression, as the logs show it.

    Parameters
    ----------
    column
        Its name; "hour of day" and "weekday" are read from the timestamps.
    levels
        Number of values.
    p_value
        Probability of shares as different as these if an item's titles had been shown under comparable circumstances.
    imbalance
        Cramer's V of titles and levels within items beyond chance, 0 (alike) to 1 (each title at levels of its own).
        Of people a correlation, of combinations a standard deviation: see the modules that test them.
    click_p_value
        Probability of click rates as different as these between levels, within titles and over all items or within
        each, if the levels did not matter.
    click_ratio
        Click rate at the best level over that at the worst, among levels with at least 50 expected clicks.
    tied_share
        Share of the impressions at levels that titles shown at several of them tie together.
    adjusted
        True if clicks are compared at equal levels.
    pooled
        Share of the impressions at values too rare to be compared at equal levels; they are one level together.
    people
        True if the values name people (`reward.logs.people`): too many to be levels.
    columns
        The two columns of a test of combinations (`reward.logs.combinations`), else empty.
    conversion_p_value
        As ``click_p_value``, of conversions per click; 1 where they are not logged or cannot be compared.
    title_p_value
        Probability of click rates as different as these between titles if the values that they hold did not matter
        (`reward.logs.held`); None where clicks within titles tell.
    held
        True if that shows a difference, of which titles or values may be the cause.
    """

    column: str
    levels: int
    p_value: float
    imbalance: float
    click_p_value: float
    click_ratio: float
    tied_share: float
    adjusted: bool = False
    pooled: float = 0.0
    people: bool = False
    columns: tuple[str, ...] = ()
    conversion_p_value: float = 1.0
    title_p_value: float | None = None
    held: bool = False

    @property
    def outcomes(self) -> str:
        """Outcome that differs between levels: "clicks", "conversions", or empty."""
        named = {"clicks": self.click_p_value, "conversions": self.conversion_p_value}
        return next((name for name, p_value in named.items() if p_value < OUTCOME_LEVEL), "")


def balance_of(column: str, cells: LevelCells) -> Balance:
    """Test one column; a column of one level is balanced."""
    n_levels = int(cells.level.max()) + 1 if len(cells.level) else 0
    if n_levels < 2:
        return Balance(column, n_levels, 1.0, 0.0, 1.0, 1.0, 1.0)
    statistic, freedom, size = unlike_shares(cells)
    click_p, ratio = _unlike_clicks(cells, n_levels)
    groups = linked_groups(cells.arm, cells.level, n_levels)
    shown = np.bincount(cells.level, cells.shown, minlength=n_levels)
    tied = float(np.bincount(groups, shown).max() / max(float(shown.sum()), 1e-300))
    excess = max(0.0, statistic - freedom)
    conversion_p = 1.0
    if cells.conversions is not None:
        of_clicks = replace(cells, clicks=cells.conversions, exposure=cells.clicks)
        conversion_p = _unlike_clicks(of_clicks, n_levels)[0]
    return Balance(
        column,
        n_levels,
        float(stats.chi2.sf(statistic, freedom)) if freedom > 0 else 1.0,
        float(np.sqrt(excess / size)) if size > 0 else 0.0,
        click_p,
        ratio,
        tied,
        conversion_p_value=conversion_p,
    )


def unlike_shares(cells: LevelCells) -> tuple[float, float, float]:
    """Pearson's statistic of arm by level summed over items, its degrees of freedom, and what V divides it by.

    With weights a cell's variance is that of weighted counts: the statistic is divided by the arm's mean square weight
    over its mean weight (Rao and Scott 1981, first order). Cells with fewer than 5 expected impressions are left out.
    """
    n_items, n_arms = int(cells.item.max()) + 1, int(cells.arm.max()) + 1
    n_levels = int(cells.level.max()) + 1
    of_arm = np.bincount(cells.arm, cells.shown, minlength=n_arms)
    squared = np.bincount(cells.arm, cells.shown_squared, minlength=n_arms)
    design = np.divide(squared, of_arm, out=np.ones(n_arms), where=of_arm > 0)
    item_of = np.zeros(n_arms, dtype=np.int64)
    item_of[cells.arm] = cells.item
    by_level = np.bincount(cells.item * n_levels + cells.level, cells.shown, minlength=n_items * n_levels)
    by_level = by_level.reshape(n_items, n_levels)
    share = by_level / np.maximum(by_level.sum(axis=1, keepdims=True), 1e-300)
    table = np.zeros((n_arms, n_levels))
    table[cells.arm, cells.level] = cells.shown
    expected = of_arm[:, None] * share[item_of]
    kept = expected >= _MIN_EXPECTED * design[:, None]
    arms, levels = (np.bincount(item_of, minlength=n_items), np.count_nonzero(by_level > 0, axis=1))
    parted = ((arms >= 2) & (levels >= 2))[item_of]
    kept &= parted[:, None]
    gap = np.divide((table - expected) ** 2, expected * design[:, None], out=np.zeros_like(expected), where=kept)
    usable = np.maximum((arms * levels)[item_of], 1)
    freedom = float(np.sum(kept.sum(axis=1) * ((arms - 1) * (levels - 1))[item_of] / usable))
    size = float(np.sum((of_arm / design * (np.minimum(arms, levels) - 1)[item_of])[parted]))
    return float(gap.sum()), freedom, size


def _unlike_clicks(cells: LevelCells, n_levels: int) -> tuple[float, float]:
    """P value of clicks by level given each arm's clicks, and the ratio of the best to the worst level.

    Levels may differ over all items, or within items, where they do not over all: the better of the two tests tells.
    """
    n_arms = int(cells.arm.max()) + 1
    of_arm = np.bincount(cells.arm, cells.clicks, minlength=n_arms)
    exposed = np.bincount(cells.arm, cells.exposure, minlength=n_arms)
    rate = np.divide(of_arm, exposed, out=np.zeros(n_arms), where=exposed > 0)
    expected = np.bincount(cells.level, cells.exposure * rate[cells.arm], minlength=n_levels)
    seen = np.bincount(cells.level, cells.clicks, minlength=n_levels)
    weight = np.bincount(cells.level, cells.shown_squared, minlength=n_levels)
    design = np.divide(
        weight, np.bincount(cells.level, cells.shown, minlength=n_levels), out=np.ones(n_levels), where=weight > 0
    )
    told = expected >= _MIN_EXPECTED * design
    if np.count_nonzero(told) < 2:
        return 1.0, 1.0
    statistic = float(np.sum((seen - expected)[told] ** 2 / (expected * design)[told]))
    (theta,) = level_effects(cells.arm, cells.level[:, None], cells.clicks, cells.exposure, (n_levels,))
    sure = theta[expected >= 50]
    over_all = float(stats.chi2.sf(statistic, np.count_nonzero(told) - 1))
    p_value = min(1.0, 2 * min(over_all, _unlike_within_items(cells, rate, design, n_levels)))
    return p_value, float(sure.max() / sure.min()) if len(sure) > 1 else 1.0


def _unlike_within_items(cells: LevelCells, rate: FloatArray, design: FloatArray, n_levels: int) -> float:
    """P value of Pearson's statistic of clicks by item and level, where the arms' ``rate`` would not depend on it.

    Its variance is that of sparse counts (2 + 1 / mean each), its freedom what would be left if an item's arms were at
    all levels alike: where they are not, their rates fit more, and the test is on the safe side.
    """
    pair = np.unique(cells.item * n_levels + cells.level, return_inverse=True)[1]
    first = np.unique(pair, return_index=True)[1]
    scale = design[cells.level[first]]
    mean = np.bincount(pair, cells.exposure * rate[cells.arm]) / scale
    seen = np.bincount(pair, cells.clicks) / scale
    used = mean >= 1
    of_item = np.bincount(cells.item[first][used])
    freedom = float(np.sum(np.maximum(of_item - 1, 0)))
    used &= np.r_[of_item, 0][np.minimum(cells.item[first], len(of_item))] >= 2
    if freedom <= 0:
        return 1.0
    statistic = float(np.sum((seen - mean)[used] ** 2 / mean[used]))
    spread = float(np.sqrt(np.sum(2 + 1 / mean[used]) * freedom / np.count_nonzero(used)))
    return float(stats.norm.sf((statistic - freedom) / spread))


def totals(index: IntArray, values: FloatArray, n: int = 0) -> FloatArray:
    """Sums of values by their index, shape (n,) or as many as there are."""
    return np.bincount(index, values, minlength=n).astype(np.float64)


def ratio(top: FloatArray, below: FloatArray) -> FloatArray:
    """``top`` / ``below``, of shapes that fit; 0 where there is nothing below."""
    return np.divide(top, below, out=np.zeros(np.broadcast_shapes(top.shape, below.shape)), where=below > 0)


def level_effects(
    arm: IntArray, levels: IntArray, clicks: FloatArray, exposure: FloatArray, n_levels: tuple[int, ...]
) -> tuple[FloatArray, ...]:
    """Relative click rates at each level of several columns, whatever the title: one array of shape (n_levels,) each.

    Maximises the Poisson likelihood clicks ~ exposure * alpha_arm * prod_c theta_c,level by turns in closed form, and
    draws each level towards 1 with the weight of `PRIOR_CLICKS` expected clicks. The exposure-weighted mean is 1.

    Parameters
    ----------
    arm
        Arm of each cell, shape (n_cells,).
    levels
        Level of each cell in each column, shape (n_cells, n_columns).
    clicks, exposure
        Shape (n_cells,).
    n_levels
        Levels of each column.
    """
    theta = [np.ones(n) for n in n_levels]
    expected = [np.zeros(n) for n in n_levels]
    n_arms = int(arm.max()) + 1 if len(arm) else 0
    of_arm = np.bincount(arm, clicks, minlength=n_arms)
    for _ in range(_ROUNDS):
        change = 0.0
        for c, n in enumerate(n_levels):
            product = exposure * np.prod([t[levels[:, k]] for k, t in enumerate(theta)], axis=0)
            total = np.bincount(arm, product, minlength=n_arms)
            alpha = np.divide(of_arm, total, out=np.zeros(n_arms), where=total > 0)
            fitted = np.bincount(levels[:, c], product * alpha[arm], minlength=n)
            seen = np.bincount(levels[:, c], clicks, minlength=n)
            expected[c] = fitted / theta[c]
            new = (seen + PRIOR_CLICKS) / (expected[c] + PRIOR_CLICKS)
            shown = np.bincount(levels[:, c], exposure, minlength=n)
            new = new * shown.sum() / max(float(np.sum(new * shown)), 1e-300)
            change = max(change, float(np.max(np.abs(new - theta[c]))))
            theta[c] = new
        if change < _TOLERANCE:
            break
    return tuple(theta)
