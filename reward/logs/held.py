"""Values that titles hold: each title was shown at (nearly) one value, so that no data part what the two of them do.

A picture, a price or a layout that came with the title explains its clicks as well as its words do. Clicks by value
within titles, which `reward.logs.balance` tests, say nothing here: hardly a title was shown at two. What is left to
test is whether titles at different values earn different clicks. The item's values are exchanged between its titles; if
clicks go with the values as they are more than with nearly all others (Fisher 1935), values or titles explain them.
"""

import numpy as np

from ..arrays import FloatArray, IntArray
from .balance import LevelCells, totals
from .standardised import strata_of

MAX_HIDDEN = 0.02
"""Bias of titles' click rates, in the mean over titles, that has to be ruled out for a column to make no difference."""
LEVEL = 0.01
_EXCHANGES = 499
_MOST_ARMS = 10_000


def held_by_titles(cells: LevelCells, n_levels: int, *, of_item: bool) -> bool:
    """True if titles hold their values, and earn different clicks (or conversions per click) by them.

    Parameters
    ----------
    cells, n_levels
        Counts of arms by level.
    of_item
        True if a level is the place of a value among the item's, and means nothing over all items.
    """
    labels = [cells.level]
    if not of_item and n_levels > 2:
        stratum = strata_of(cells.item, cells.arm, cells.level, cells.exposure, n_levels, 2)
        labels.append(stratum[cells.level])
    label = next((label for label in labels if hidden_bias(cells, label) > MAX_HIDDEN), None)
    if label is None:
        return False
    outcomes = [(cells.clicks, cells.exposure)]
    if cells.conversions is not None:
        outcomes.append((cells.conversions, cells.clicks))
    p_values = [_p_of_titles(cells, label, top, below, of_item=of_item) for top, below in outcomes]
    return min(p_values) * len(p_values) <= LEVEL


def hidden_bias(cells: LevelCells, label: IntArray) -> float:
    """Greatest bias of titles' rates (root mean square within items) that clicks within titles do not rule out.

    An effect of the labels on log rates is known to 1 / sqrt(clicks * spread of the label within titles); it becomes a
    bias by how far labels differ between an item's titles. Infinite where each title has one label.
    """
    n_labels, n_arms = int(label.max()) + 1, int(cells.arm.max()) + 1
    item_of = np.zeros(n_arms, dtype=np.int64)
    item_of[cells.arm] = cells.item
    shown = totals(cells.arm, cells.shown, n_arms)
    of_item = totals(item_of, shown)[item_of]
    place = cells.arm * n_labels + label
    own = totals(place, cells.shown, n_arms * n_labels).reshape(n_arms, n_labels) / np.maximum(shown, 1e-300)[:, None]
    there = totals(cells.item * n_labels + label, cells.shown, int(item_of.max() + 1) * n_labels)
    there = there.reshape(-1, n_labels)[item_of] / np.maximum(of_item, 1e-300)[:, None]
    apart = float(shown @ np.sum((own - there) ** 2, axis=1) / 2 / max(shown.sum(), 1e-300))
    known = float(totals(cells.arm, cells.clicks, n_arms) @ (1 - np.sum(own**2, axis=1)) / 2)
    if apart <= 0:
        return 0.0
    return float(1.96 * np.sqrt(apart / known)) if known > 0 else np.inf


def _p_of_titles(
    cells: LevelCells, label: IntArray, clicks: FloatArray, exposure: FloatArray, *, of_item: bool
) -> float:
    """Probability of clicks that go with the titles' labels so much, if an item's labels were exchanged."""
    step = -(-(int(cells.arm.max()) + 1) // _MOST_ARMS)
    kept = cells.item % step == 0
    item, label, clicks, exposure = cells.item[kept], label[kept], clicks[kept], exposure[kept]
    arm = np.unique(cells.arm[kept], return_inverse=True)[1]
    n_labels = int(label.max()) + 1
    item_of = np.zeros(int(arm.max()) + 1, dtype=np.int64)
    item_of[arm] = item
    by_label = totals(arm * n_labels + label, exposure, len(item_of) * n_labels).reshape(-1, n_labels)
    usual = by_label.argmax(axis=1)
    exposed = by_label.sum(axis=1)
    seen = totals(arm, clicks, len(item_of))
    rate = totals(item_of, seen) / np.maximum(totals(item_of, exposed), 1e-300)
    expected = exposed * rate[item_of]
    order = np.argsort(item_of, kind="stable")
    excess = ((seen - expected) / np.sqrt(np.maximum(expected, 1e-300)))[order]
    item_of, usual = item_of[order], usual[order]

    def statistic(labels: IntArray) -> float:
        group = np.unique(item_of * n_labels + labels, return_inverse=True)[1] if of_item else labels
        return float(np.sum(totals(group, excess) ** 2 / np.maximum(totals(group, np.ones(len(group))), 1.0)))

    found, rng = statistic(usual), np.random.default_rng(0)
    others = (statistic(usual[np.lexsort((rng.random(len(usual)), item_of))]) for _ in range(_EXCHANGES))
    return (1 + sum(other >= found * (1 - 1e-12) for other in others)) / (1 + _EXCHANGES)
