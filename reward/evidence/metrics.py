"""Ranking metrics for the titles of an item the model has not seen: those of docs/architecture.md, section 5."""

from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, IntArray
from ..model.bayes import dispersion
from ..model.linear import ArmCounts

_MAX_TITLES = 200  # titles of one item compared in pairs; of more, the first ones
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """A value with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ItemTallies:
    """Sums over the pairs of titles of each item, shape (n_items,) each; items with one title hold zeros.

    Parameters
    ----------
    right, pairs
        Pairs with different observed rates, and those the prediction orders alike (a tie counts half).
    right_significant, significant
        The same for pairs whose rates differ significantly.
    picked, mean, best
        Observed rate of the title with the highest prediction, average rate, highest rate.
    hit, chance
        1 where the picked title is the one with the highest rate, and the chance of that for a title picked blindly.
    """

    right: FloatArray
    pairs: FloatArray
    right_significant: FloatArray
    significant: FloatArray
    picked: FloatArray
    mean: FloatArray
    best: FloatArray
    hit: FloatArray
    chance: FloatArray


def tally(rows: ArmCounts, prediction: FloatArray, overdispersion: float = 1.0) -> ItemTallies:
    """Compare every two titles of each item.

    Parameters
    ----------
    rows
        Clicks and exposure.
    prediction
        Any score that orders the titles of an item, shape (n,).
    overdispersion
        Variance of the counts relative to the binomial: the z of a pair is divided by its square root.
    """
    sums = np.zeros((9, rows.n_items))
    rates = rows.successes / np.maximum(rows.trials, 1e-12)
    for item, arms in arms_of_items(rows):
        rate, score = rates[arms], prediction[arms]
        i, j, difference, z = pair_z(rows, arms, overdispersion)
        counted = difference != 0
        right = np.where(score[i] == score[j], 0.5, np.sign(score[i] - score[j]) == np.sign(difference))
        significant = counted & (z > Z95)
        picked = int(np.argmax(score))
        sums[:, item] = (
            right[counted].sum(),
            counted.sum(),
            right[significant].sum(),
            significant.sum(),
            rate[picked],
            rate.mean(),
            rate.max(),
            float(rate[picked] == rate.max()),
            float(np.mean(rate == rate.max())),
        )
    return ItemTallies(*sums)


def alike(right: FloatArray, pairs: FloatArray) -> FloatArray:
    """Each item's share of right pairs, and 1 where it has a pair, shape (2, n_items): sums for a mean over items.

    An item of 3,000 titles has some million pairs, one of four has six: counted by pairs, the one would be all.
    """
    return np.stack([right / np.maximum(pairs, 1.0), (pairs > 0).astype(np.float64)])


def pair_accuracy(tallies: ItemTallies) -> float:
    """Share of an item's pairs ordered rightly, in the mean over items; 0.5 without a pair."""
    share, items = alike(tallies.right, tallies.pairs).sum(axis=1).tolist()
    return float(share / items) if items else 0.5


def picked_lift(tallies: ItemTallies) -> float:
    """Rate of the titles the model would pick relative to the average title, minus one; items have equal weights."""
    return float(tallies.picked.sum() / tallies.mean.sum() - 1.0) if tallies.mean.sum() else 0.0


def bootstrap(statistics: FloatArray, tallies: ItemTallies, seed: int, repetitions: int = 1000) -> list[Interval]:
    """Percentile intervals of ratios of item sums, items drawn with replacement.

    Parameters
    ----------
    statistics
        Pairs of per-item numerators and denominators, shape (n_statistics, 2, n_items).
    tallies
        Items that hold no pair are not drawn.
    seed, repetitions
        Of the bootstrap.
    """
    return ratio_intervals(statistics[:, :, tallies.pairs > 0], seed, repetitions)


def ratio_intervals(sums_by_item: FloatArray, seed: int, repetitions: int = 1000) -> list[Interval]:
    """Percentile intervals of ratios of sums over items, items drawn with replacement; NaN without an item.

    Parameters
    ----------
    sums_by_item
        Numerators and denominators, shape (n_statistics, 2, n_items).
    seed, repetitions
        Of the bootstrap.
    """
    n = sums_by_item.shape[2]
    if not n:
        return [Interval(float("nan"), float("nan"), float("nan")) for _ in sums_by_item]
    rng = np.random.default_rng(seed)
    sums = np.empty((*sums_by_item.shape[:2], repetitions))
    for r in range(repetitions):
        drawn = np.bincount(rng.integers(n, size=n), minlength=n)
        sums[:, :, r] = sums_by_item @ drawn
    ratios = sums[:, 0] / np.maximum(sums[:, 1], 1e-12)
    low, high = np.quantile(ratios, [0.025, 0.975], axis=1)
    point = sums_by_item[:, 0].sum(axis=1) / np.maximum(sums_by_item[:, 1].sum(axis=1), 1e-12)
    return [Interval(float(p), float(a), float(b)) for p, a, b in zip(point, low, high, strict=True)]


def overdispersion(rows: ArmCounts, effect: FloatArray) -> float:
    """Variance of the counts relative to the binomial, at least 1, given title effects (n,); see `bayes.dispersion`."""
    return dispersion(rows, effect).overdispersion


def arms_of_items(rows: ArmCounts) -> list[tuple[int, IntArray]]:
    """Each item with two titles or more, and its arms (the first `_MAX_TITLES`)."""
    order = np.argsort(rows.item, kind="stable")
    starts = np.flatnonzero(np.diff(rows.item[order], prepend=-1))
    found = [(int(rows.item[part[0]]), part[:_MAX_TITLES]) for part in np.split(order, starts[1:]) if len(part)]
    return [(item, arms) for item, arms in found if len(arms) > 1]


def pair_z(rows: ArmCounts, arms: IntArray, overdispersion: float) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """Every two of these arms: positions of both in ``arms``, difference of their rates, its z; shape (n_pairs,) each.

    z is that of two proportions, divided by the square root of the overdispersion.
    """
    clicks, trials = rows.successes[arms], np.maximum(rows.trials[arms], 1e-12)
    i, j = np.triu_indices(len(arms), 1)
    difference = clicks[i] / trials[i] - clicks[j] / trials[j]
    pooled = (clicks[i] + clicks[j]) / (trials[i] + trials[j])
    spread = np.sqrt(np.maximum(pooled * (1 - pooled), 0) * (1 / trials[i] + 1 / trials[j]))
    return i, j, difference, np.abs(difference) / np.maximum(spread * np.sqrt(overdispersion), 1e-300)
