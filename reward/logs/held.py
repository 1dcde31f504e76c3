"""Values that titles hold: each title was shown at (nearly) one value, so that no data part what the two of them do.

A picture, a price or a layout that came with the title explains its clicks as well as its words do. Clicks by value
within titles, which `reward.logs.balance` tests, say nothing here: hardly a title was shown at two. What is left to
test is whether titles at different values earn different clicks. The item's values are exchanged between its titles; if
clicks go with the values as they are more than with nearly all others (Fisher 1935), values or titles explain them.
"""

import numpy as np
from scipy.sparse import csr_matrix

from ..arrays import FloatArray, IntArray
from .balance import LevelCells, totals

MAX_HIDDEN = 0.02
"""Bias of titles' click rates, in the mean over titles, that has to be ruled out for a column to make no difference."""
_MOST_LABELS = 50
_ROUNDS = 30
_EXCHANGES, _ENOUGH = 4_999, 20
_MOST_ARMS = 5_000


def held_by_titles(cells: LevelCells, n_levels: int, *, of_item: bool = False) -> float | None:
    """P value of clicks (or conversions per click) by the levels that titles hold; None where they do not hold them.

    Parameters
    ----------
    cells, n_levels
        Counts of arms by level.
    of_item
        True if a level is the place of a value among the item's, and means nothing over all items.
    """
    label = cells.level
    if n_levels > _MOST_LABELS or hidden_bias(cells, label) <= MAX_HIDDEN:
        if of_item or n_levels <= 2:
            return None
        label = two_groups(cells)[cells.level]
        if hidden_bias(cells, label) <= MAX_HIDDEN:
            return None
    p_value = _p_of_titles(cells, label, cells.clicks, cells.exposure, of_item=of_item)
    if cells.conversions is None:
        return p_value
    return min(1.0, 2 * min(p_value, _p_of_titles(cells, label, cells.conversions, cells.clicks, of_item=of_item)))


def two_groups(cells: LevelCells) -> IntArray:
    """Group of each level, shape (n_levels,), so that the titles of an item differ most in their shares of the groups.

    By the sign of the first axis of a correspondence analysis within items (Benzecri 1973), found by power iteration.
    """
    shown, arm, item = (totals(index, cells.shown) for index in (cells.level, cells.arm, cells.item))
    item_of = np.zeros(len(arm), dtype=np.int64)
    item_of[cells.arm] = cells.item
    seen = csr_matrix((cells.shown, (cells.level, cells.arm)), shape=(len(shown), len(arm)))
    of_item = csr_matrix((cells.shown, (cells.level, cells.item)), shape=(len(shown), len(item)))
    share = arm / item[item_of]
    axis = np.random.default_rng(0).standard_normal(len(shown))
    for _ in range(_ROUNDS):
        of_arm = (seen.T @ axis - share * (of_item.T @ axis)[item_of]) / arm
        axis = (seen @ of_arm - of_item @ totals(item_of, share * of_arm)) / np.maximum(shown, 1e-300)
        axis /= max(float(np.abs(axis).max()), 1e-300)
    return (axis > 0).astype(np.int64)


def hidden_bias(cells: LevelCells, label: IntArray) -> float:
    """Greatest bias of titles' rates (root mean square within items) that clicks within titles do not rule out.

    An effect of the labels on log rates is known to 1 / sqrt(clicks * spread of the label within titles); it becomes a
    bias by how far labels differ between an item's titles. Infinite where each title has one label.
    """
    n = int(label.max()) + 1
    arm, clicks = totals(cells.arm, cells.shown), totals(cells.arm, cells.clicks)
    item = totals(cells.item, cells.shown)
    pair, place = np.unique(cells.arm * n + label, return_inverse=True)
    own = totals(place, cells.shown) / arm[pair // n]
    item_of = np.zeros(len(arm), dtype=np.int64)
    item_of[cells.arm] = cells.item
    there, of_pair = np.unique(item_of[pair // n] * n + pair % n, return_inverse=True)
    shared = totals(of_pair, own * arm[pair // n]) / item[there // n]
    alike = totals(pair // n, own**2)
    usual = totals(there // n, shared**2)
    both = totals(pair // n, own * shared[of_pair])
    apart = float(arm @ (alike - 2 * both + usual[item_of])) / 2 / max(float(arm.sum()), 1e-300)
    known = float(clicks @ (1 - alike)) / 2
    if apart <= 1e-12:
        return 0.0
    return float(1.96 * np.sqrt(apart / known)) if known > 1e-9 else np.inf


def _p_of_titles(
    cells: LevelCells, label: IntArray, clicks: FloatArray, exposure: FloatArray, *, of_item: bool
) -> float:
    """Probability of clicks that go with the titles' labels so much, if an item's labels were exchanged.

    Exchanges stop once `_ENOUGH` of them go with clicks as much (Besag and Clifford 1991).
    """
    step = -(-(int(cells.arm.max()) + 1) // _MOST_ARMS)
    kept = cells.item % step == 0
    label, clicks, exposure = label[kept], clicks[kept], exposure[kept]
    arm = np.unique(cells.arm[kept], return_inverse=True)[1]
    item = np.zeros(int(arm.max()) + 1, dtype=np.int64)
    item[arm] = cells.item[kept]
    usual = _usual(arm, label, exposure)
    exposed, seen = totals(arm, exposure), totals(arm, clicks)
    expected = exposed * (totals(item, seen) / np.maximum(totals(item, exposed), 1e-300))[item]
    order = np.argsort(item, kind="stable")
    excess = ((seen - expected) / np.sqrt(np.maximum(expected, 1e-300)))[order]
    item, usual = item[order], usual[order]
    n_labels = int(label.max()) + 1

    def statistic(labels: IntArray) -> float:
        group = np.unique(item * n_labels + labels, return_inverse=True)[1] if of_item else labels
        return float(np.sum(totals(group, excess) ** 2 / np.maximum(totals(group, np.ones(len(group))), 1.0)))

    found, rng, above = statistic(usual) * (1 - 1e-12), np.random.default_rng(0), 0
    for drawn in range(1, _EXCHANGES + 1):
        above += statistic(usual[np.lexsort((rng.random(len(usual)), item))]) >= found
        if above == _ENOUGH:
            return above / drawn
    return (1 + above) / (1 + _EXCHANGES)


def _usual(arm: IntArray, label: IntArray, exposure: FloatArray) -> IntArray:
    """The label that each arm was shown at most, shape (n_arms,)."""
    n = int(label.max()) + 1
    pair, place = np.unique(arm * n + label, return_inverse=True)
    order = np.lexsort((-totals(place, exposure), pair // n))
    first = np.unique((pair // n)[order], return_index=True)[1]
    return np.asarray((pair % n)[order][first])
