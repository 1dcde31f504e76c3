"""Reliability of predicted probabilities and their intervals, on unseen items."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..arrays import FloatArray, IntArray
from ..model.linear import ArmCounts
from .metrics import Interval, ratio_intervals


@dataclass(frozen=True)
class Bin:
    """Titles of similar predictions: mean prediction, and their observed rate with its 95% interval."""

    predicted: float
    observed: Interval


def calibration_error(probability: FloatArray, rows: ArmCounts, bins: int = 15) -> float:
    """Expected calibration error: mean gap of predicted and observed rate over equal-exposure bins of the prediction.

    Absolute, in probability (0.002 at a base rate of 3% is 7% of it).
    """
    total = rows.trials.sum()
    if total <= 0:
        return 0.0
    bin_of = _bins(probability, rows.trials, bins)
    predicted = np.bincount(bin_of, weights=rows.trials * probability, minlength=bins)
    observed = np.bincount(bin_of, weights=rows.successes, minlength=bins)
    return float(np.sum(np.abs(predicted - observed)) / total)


def reliability(probability: FloatArray, rows: ArmCounts, seed: int, bins: int = 10) -> tuple[Bin, ...]:
    """Reliability curve over equal-exposure bins of the prediction; intervals by item bootstrap."""
    if rows.trials.sum() <= 0:
        return ()
    bin_of = _bins(probability, rows.trials, bins)
    used = np.unique(bin_of)
    sums = np.zeros((len(used), 2, rows.n_items))
    predicted = []
    for k, b in enumerate(used):
        inside = bin_of == b
        sums[k, 0] = rows.item_sum(np.where(inside, rows.successes, 0.0))
        sums[k, 1] = rows.item_sum(np.where(inside, rows.trials, 0.0))
        predicted.append(float(np.average(probability[inside], weights=np.maximum(rows.trials[inside], 1e-12))))
    return tuple(Bin(*pair) for pair in zip(predicted, ratio_intervals(sums, seed), strict=True))


def normalised_entropy(probability: FloatArray, rows: ArmCounts) -> float | None:
    """Log loss relative to that of always predicting the base rate (He et al. 2014); below 1 is better than that.

    None where every trial or none is a success.
    """
    trials, hits = float(rows.trials.sum()), float(rows.successes.sum())
    if not 0 < hits < trials:
        return None
    base = hits / trials
    failures = rows.trials - rows.successes
    loss = -float(np.sum(rows.successes * np.log(probability) + failures * np.log1p(-probability))) / trials
    return loss / -float(base * np.log(base) + (1 - base) * np.log(1 - base))


def interval_coverage(
    probability: FloatArray, std: FloatArray, rows: ArmCounts, overdispersion: float, seed: int, level: float = 0.9
) -> float | None:
    """Share of arms whose observed successes lie in their predictive interval, which should be ``level``.

    The interval holds both doubts, the model's and that of the counts: successes are negative binomial with mean
    n p and variance phi n p + (n std)^2. Few successes make steps, between which a coin decides (randomised
    probability integral transform, Smith 1985), so that the share is exact.

    Parameters
    ----------
    probability, std
        Prediction and its standard deviation, shape (n,).
    rows
        Counts of the arms; those without a trial do not count.
    overdispersion
        phi.
    """
    valid = rows.trials > 0
    if not valid.any():
        return None
    mean = (rows.trials * probability)[valid]
    excess = np.maximum((overdispersion - 1) * mean + ((rows.trials * std)[valid]) ** 2, 1e-9 * mean**2)
    size = mean**2 / excess
    counts = np.floor(rows.successes[valid])
    below = stats.nbinom.cdf(counts - 1, size, size / (size + mean))
    at = stats.nbinom.pmf(counts, size, size / (size + mean))
    place = below + np.random.default_rng(seed).random(len(counts)) * at
    return float(np.mean((place > (1 - level) / 2) & (place < (1 + level) / 2)))


def _bins(probability: FloatArray, trials: FloatArray, bins: int) -> IntArray:
    """Bin of each arm: equal shares of the trials, by rising prediction."""
    order = np.argsort(probability, kind="stable")
    weight = trials[order]
    place = (np.cumsum(weight) - weight / 2) / weight.sum() * bins
    out = np.empty(len(order), dtype=np.int64)
    out[order] = np.clip(place.astype(np.int64), 0, bins - 1)
    return out
