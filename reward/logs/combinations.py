"""Tests of combinations: columns by which titles and clicks are balanced may still go together with both.

Titles with a promo phrase shown in the evening of each country are shown alike in every country, and, where countries
lie around the globe, alike at every hour (UTC). Two columns tell what neither tells alone. For a pair, the clicks at
each combination are compared with those that follow from the two columns one by one: the combination's factor. The
titles of an item should have the same mean factor. Factors come from all items together, so the test has few degrees
of freedom, however many combinations there are. It is blind where combinations do different things to different items.
So a second test takes click rates within items: noisy, but products of two halves of the impressions are right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from scipy import stats
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..arrays import FloatArray, IntArray
from .balance import PRIOR_CLICKS, Balance, LevelCells, level_effects, ratio, totals
from .held import held_by_titles
from .impression_columns import DATE, HOUR, POSITION, TIME, WEEKDAY, ImpressionColumn
from .level_counts import JointCells, pair_cells
from .position import linked_groups
from .typed_rows import TypedRows
from .weighting import Weighting

MAX_CROSSED = 10
"""Columns of which every two are compared: time and position first, then as `impression_columns` orders them."""
MIN_BIAS = 0.005
"""Standard deviation of the factors of an item's titles, under which a combination cannot change a verdict."""
MIN_BIAS_WITHIN = 0.02
"""The same within items, where people who come back and keep their title leave a percent by chance."""
MOST_COMBINATIONS = 5_000
"""Combinations of the columns that are compared together."""
_FIRST = (HOUR, WEEKDAY, POSITION, DATE)
_NESTED = ({DATE, WEEKDAY}, {DATE, HOUR})
_MIN_EXPECTED = 5.0
_MOST_DRAWN = 10**8

Pair = tuple[ImpressionColumn, ImpressionColumn]


def pairs_of(columns: Sequence[ImpressionColumn], *, dates: bool) -> list[Pair]:
    """Pairs of columns whose combinations are tested; a time of the log is a combination already.

    Parameters
    ----------
    columns
        Columns with levels.
    dates
        False if dates are not compared (titles may have replaced one another).
    """
    left_out = {TIME} if dates else {TIME, DATE}
    kept = [column for column in columns if column.n_levels > 2 and column.name not in left_out]
    kept.sort(key=lambda column: _FIRST.index(column.name) if column.name in _FIRST else len(_FIRST))
    return [(a, b) for a, b in combinations(kept[:MAX_CROSSED], 2) if {a.name, b.name} not in _NESTED]


def combination_balances(
    rows: TypedRows, pairs: Sequence[Pair], weighting: Weighting, alone: Sequence[Balance]
) -> list[Balance]:
    """The test of each pair, in their order; ``alone`` are those of the columns one by one."""
    surely = {balance.column: balance.p_value for balance in alone}
    out = []
    for pair, cells in pair_cells(rows, pairs, weighting):
        given = int(surely[pair[1].name] < surely[pair[0].name])
        out.append(combination_balance(pair, cells, given))
        if cells.conversions is not None and DATE not in (column.name for column in pair):
            of_clicks = replace(cells, clicks=cells.conversions, exposure=cells.clicks)
            bought = combination_balance(pair, of_clicks, given)
            bought = replace(bought, click_p_value=1.0, conversion_p_value=bought.click_p_value)
            out[-1] = _surer(out[-1], bought)
        if not out[-1].outcomes:
            out[-1] = replace(out[-1], title_p_value=held_by_titles(_as_levels(pair, cells), MOST_COMBINATIONS))
    return out


def _as_levels(pair: tuple[ImpressionColumn, ...], cells: JointCells) -> LevelCells:
    """Counts of the arms by combination, as levels of one column."""
    both = np.ravel_multi_index(tuple(cells.levels.T), [column.n_levels for column in pair])
    level = np.unique(both, return_inverse=True)[1]
    counts = (cells.clicks, cells.exposure, cells.shown, cells.squared)
    return LevelCells(cells.item, cells.arm, level, *counts, conversions=cells.conversions)


def _surer(one: Balance, other: Balance) -> Balance:
    """One test of two, at twice its p value: that in which the titles differ more, and more surely."""
    found = min(one, other, key=lambda b: (not b.outcomes or b.imbalance < MIN_BIAS, b.p_value, -b.imbalance))
    return replace(found, p_value=min(1.0, 2 * found.p_value))


def combination_balance(pair: tuple[ImpressionColumn, ...], cells: JointCells, given: int = 0) -> Balance:
    """Test the combinations of two columns.

    Parameters
    ----------
    pair, cells
        The columns, and the arms' counts by both.
    given
        Place in the pair of the column that is taken off alone if it matters.

    Returns
    -------
    Balance
        Its ``imbalance`` is the standard deviation of what the rates of an item's titles are off by.
    """
    n_levels = (pair[0].n_levels, pair[1].n_levels)
    both = np.ravel_multi_index(tuple(cells.levels.T), n_levels)
    n = int(np.prod(n_levels))
    alone, factor, click_p = _scores(cells, both, n_levels)
    p_value, deviation = _unlike_factors(cells, alone, factor[both])
    level = np.unique(both, return_inverse=True)[1]
    groups = linked_groups(cells.arm, level, int(level.max()) + 1)
    tied = np.bincount(groups, np.bincount(level, cells.shown)).max() / max(float(cells.shown.sum()), 1e-300)
    often = factor[np.bincount(both, cells.clicks, minlength=n) >= 50]
    apart = float(often.max() / often.min()) if len(often) > 1 else 1.0
    name = f"combinations of {pair[0].name} and {pair[1].name}"
    columns = (pair[0].name, pair[1].name)
    over_all = Balance(name, n, p_value, deviation, click_p, apart, float(tied), columns=columns)
    p_value, deviation = off_within_items(cells, cells.levels[:, given], both)
    if deviation < MIN_BIAS_WITHIN:
        return over_all
    return _surer(over_all, replace(over_all, p_value=p_value, imbalance=deviation, click_p_value=p_value))


def linked(balances: Sequence[Balance], levels: dict[str, int]) -> tuple[list[tuple[str, ...]], set[str]]:
    """Sets of columns that are compared together, and the names of the balances that this takes care of.

    Pairs that share a column are one set. The weakest are left out until a set has `MOST_COMBINATIONS` at most.

    Parameters
    ----------
    balances
        Pairs of columns whose combinations matter.
    levels
        Column -> its number of levels.
    """
    kept = sorted(balances, key=lambda balance: -balance.imbalance)
    while kept:
        sets = _components([balance.columns for balance in kept])
        if all(np.prod([levels[name] for name in names]) <= MOST_COMBINATIONS for names in sets):
            return sets, {balance.column for balance in kept}
        kept.pop()
    return [], set()


def _components(pairs: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    names = sorted({name for pair in pairs for name in pair})
    ends = np.array([[names.index(name) for name in pair] for pair in pairs]).T
    graph = coo_matrix((np.ones(len(pairs)), tuple(ends)), shape=(len(names),) * 2)
    n, label = connected_components(graph, directed=False)
    return [tuple(name for name, own in zip(names, label, strict=True) if own == k) for k in range(n)]


def _scores(cells: JointCells, both: IntArray, n_levels: tuple[int, int]) -> tuple[FloatArray, FloatArray, float]:
    """Click rates that follow from the two columns alone, what each combination's are over these, and its p value.

    Rates are relative, shape (n_cells,). The factors, shape (n_combinations,), are drawn to 1 with the weight of
    `PRIOR_CLICKS` expected clicks.
    """
    first, second = level_effects(cells.arm, cells.levels, cells.clicks, cells.exposure, n_levels)
    alone = first[cells.levels[:, 0]] * second[cells.levels[:, 1]]
    exposure = cells.exposure * alone
    rate = ratio(totals(cells.arm, cells.clicks), totals(cells.arm, exposure))
    n = n_levels[0] * n_levels[1]
    seen = totals(both, cells.clicks, n)
    expected = totals(both, exposure * rate[cells.arm], n)
    design = ratio(totals(both, cells.squared, n), totals(both, cells.shown, n))
    told = expected >= _MIN_EXPECTED * np.maximum(design, 1e-300)
    used = [len(np.unique(levels)) for levels in np.unravel_index(np.flatnonzero(told), n_levels)]
    freedom = np.count_nonzero(told) - sum(used) + 1
    factor = (seen + PRIOR_CLICKS) / (expected + PRIOR_CLICKS)
    if freedom <= 0:
        return alone, factor, 1.0
    statistic = float(np.sum((seen - expected)[told] ** 2 / (expected * design)[told]))
    return alone, factor, float(stats.chi2.sf(statistic, freedom))


def _unlike_factors(cells: JointCells, alone: FloatArray, factor: FloatArray) -> tuple[float, float]:
    """P value of equal mean factors over the titles of an item, and their standard deviation beyond chance.

    A title's mean factor is sum(alone * factor) / sum(alone) over its impressions: by so much its click rate is off
    where only the two columns one by one are taken off. An impression's part in it, its influence, has mean 0 over the
    item's impressions, and the sum of squares between titles is chi-square on the scale of the variance within them.
    With weights an arm has as many impressions as would have its variance (Kish).

    Parameters
    ----------
    cells
        Counts of the arms.
    alone, factor
        Of each cell, shape (n_cells,).
    """
    n_arms = int(cells.arm.max()) + 1
    item = np.zeros(n_arms, dtype=np.int64)
    item[cells.arm] = cells.item
    weight = cells.shown * alone
    usual = ratio(totals(cells.item, weight * factor), totals(cells.item, weight))
    level = ratio(totals(cells.item, weight), totals(cells.item, cells.shown))
    influence = alone * (factor - usual[cells.item]) / level[cells.item]
    shown = totals(cells.arm, cells.shown)
    size = ratio(shown**2, totals(cells.arm, cells.squared))
    mean = ratio(totals(cells.arm, cells.shown * influence), shown)
    within = ratio(totals(cells.arm, cells.shown * (influence - mean[cells.arm]) ** 2), shown - 1.0)
    total = totals(item, size)
    centre = ratio(totals(item, size * mean), total)
    between = totals(item, size * (mean - centre[item]) ** 2)
    chance = totals(item, within * (1.0 - ratio(size, total[item])))
    arms = totals(item, np.ones(n_arms))
    told = (arms >= 2) & (chance > 0)
    freedom = float(np.sum(arms[told] - 1))
    if freedom <= 0:
        return 1.0, 0.0
    statistic = float(np.sum(between[told] / chance[told] * (arms[told] - 1)))
    parted = float(np.sum((total - ratio(totals(item, size**2), total))[told]))
    excess = max(float(np.sum((between - chance)[told])), 0.0)
    return float(stats.chi2.sf(statistic, freedom)), float(np.sqrt(excess / max(parted, 1e-300)))


def off_within_items(cells: JointCells, given: IntArray, both: IntArray) -> tuple[float, float]:
    """P value of what titles' rates are off by within items, and its standard deviation.

    An item's click rate at a combination, less that at its level of the ``given`` column, is estimated twice, from two
    random halves of the impressions. By the mean of these over a title's impressions its rate is off. Products of the
    two means have no error of the clicks in them, and what chance does to the titles' shares is expected of them.
    Items are independent, whoever saw several impressions of one.

    Parameters
    ----------
    cells
        Counts of the arms.
    given, both
        Level of the one column, and combination, of each cell, shape (n_cells,).
    """
    if np.any(cells.shown != cells.squared):  # clicks that count unlike cannot be halved
        return 1.0, 0.0
    n_arms = int(cells.arm.max()) + 1
    item = np.zeros(n_arms, dtype=np.int64)
    item[cells.arm] = cells.item
    place, level = (np.unique(cells.item * (x.max() + 1) + x, return_inverse=True)[1] for x in (both, given))
    level_of, item_of = (np.zeros(int(place.max()) + 1, dtype=np.int64) for _ in range(2))
    level_of[place], item_of[place] = level, cells.item
    rate = ratio(totals(cells.arm, cells.clicks), totals(cells.arm, cells.exposure))
    halves = list(_halves(cells))
    expected = np.stack([totals(place, cells.exposure * part * rate[cells.arm]) for part, _ in halves])
    seen = np.stack([totals(place, clicks) for _, clicks in halves])
    compared = cells.shown * np.all(expected > 0, axis=0)[place]  # at combinations that both halves have
    shown, of_arm = totals(place, compared), totals(cells.arm, compared)
    total = totals(item, of_arm)
    off, means = [], []
    for here in ratio(seen, expected):
        usual = ratio(totals(level_of, shown * here), totals(level_of, shown))
        off.append(np.where(shown > 0, here - usual[level_of], 0.0))
        means.append(ratio(totals(cells.arm, compared * off[-1][place]), of_arm))
    spread = ratio(totals(item_of, shown * off[0] * off[1]), total)
    beyond = totals(item, of_arm * means[0] * means[1]) - (totals(item, np.ones(n_arms)) - 1) * spread
    error = float(np.sqrt(np.sum(beyond**2)))
    if error == 0:
        return 1.0, 0.0
    parted = float(np.sum(total - ratio(totals(item, of_arm**2), total)))
    excess = max(float(beyond.sum()), 0.0)
    return float(stats.norm.sf(float(beyond.sum()) / error)), float(np.sqrt(excess / max(parted, 1e-300)))


def _halves(cells: JointCells) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Two random halves of the impressions: their share of each cell, and their clicks, shape (n_cells,) each."""
    rng = np.random.default_rng(0)
    shown = np.round(cells.shown).astype(np.int64)
    clicks = np.minimum(np.round(cells.clicks).astype(np.int64), shown)
    first = rng.binomial(shown, 0.5)
    part = ratio(first.astype(np.float64), cells.shown)
    few = np.where(shown < _MOST_DRAWN, 1, 0)  # numpy draws from urns of up to a billion
    drawn = rng.hypergeometric(few * clicks, few * (shown - clicks), few * first)
    drawn = np.where(few == 1, drawn, rng.binomial(clicks, part))
    yield part, drawn.astype(np.float64)
    yield 1.0 - part, (clicks - drawn).astype(np.float64)
