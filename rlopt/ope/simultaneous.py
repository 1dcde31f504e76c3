"""Several comparisons at once: simultaneous limits, corrected p-values, and the best one after selection."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from reward.arrays import FloatArray

from .comparison import Comparison

DRAWS = 100_000
_SEED = 20260301  # of the quantile alone: the same comparisons have the same limits
_PROJECTED = 0.1  # share of alpha that the hybrid interval spends on the simultaneous one (Andrews et al. 2024)


def correlation(comparisons: Sequence[Comparison]) -> FloatArray:
    """Correlation of the log ratios, from the influence that clusters have on two of them; shape (k, k).

    Clusters of all comparisons are numbered alike (a comparison of some of the rows leaves out clusters).
    """
    n = max(int(c.cluster.max()) for c in comparisons) + 1
    sums = np.stack([np.bincount(c.cluster, c.ratio.influence, minlength=n) for c in comparisons])
    covariance = sums @ sums.T
    spread = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    return np.asarray(np.clip(covariance / np.outer(spread, spread), -1, 1))


def max_critical(correlated: FloatArray, confidence: float, freedom: float) -> float:
    """Quantile of the largest |t| of correlated comparisons (Dunnett 1955; Hothorn, Bretz and Westfall 2008).

    By draws of the multivariate t with a fixed seed, at most Sidak's and at least a single one's.
    """
    single = float(stats.t.ppf(0.5 + confidence / 2, df=freedom))
    k = len(correlated)
    if k == 1:
        return single
    values, vectors = np.linalg.eigh(correlated)
    root = vectors * np.sqrt(np.maximum(values, 0))
    rng = np.random.default_rng(_SEED)
    z = np.abs(rng.standard_normal((DRAWS, k)) @ root.T).max(axis=1)
    scale = np.sqrt(rng.chisquare(freedom, DRAWS) / freedom) if np.isfinite(freedom) else 1.0
    sidak = float(stats.t.ppf(0.5 + confidence ** (1 / k) / 2, df=freedom))
    return float(np.clip(np.quantile(z / scale, confidence), single, sidak))


def holm(p_values: FloatArray) -> FloatArray:
    """p-values corrected for their number, in any dependence (Holm 1979), shape (k,)."""
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * (len(p_values) - np.arange(len(p_values))))
    out = np.empty(len(p_values))
    out[order] = np.minimum(stepped, 1.0)
    return out


@dataclass(frozen=True)
class Picked:
    """The best of several, corrected for selection.

    Parameters
    ----------
    value, low, high
        Median-unbiased log ratio and its interval given that it was the largest.
    """

    value: float
    low: float
    high: float


def corrected_best(
    values: FloatArray, std_errors: FloatArray, correlated: FloatArray, confidence: float, freedom: float = np.inf
) -> Picked:
    """The largest of several estimates, corrected for having been picked because it was.

    Given that it won, the largest is normal but truncated: its median-unbiased value and interval are those of that
    distribution, within the simultaneous interval (hybrid). Reference: Andrews, Kitagawa and McCloskey (2024),
    inference on winners.

    Parameters
    ----------
    values, std_errors
        Estimates and their standard errors, shape (k,).
    correlated
        Their correlation, shape (k, k).
    confidence
        Of the interval.
    freedom
        Degrees of freedom of the standard errors.
    """
    best, alpha = int(np.argmax(values)), 1 - confidence
    covariance = correlated * np.outer(std_errors, std_errors)
    own, error = float(values[best]), float(std_errors[best])
    projected = max_critical(correlated, 1 - _PROJECTED * alpha, freedom) * error
    low, high = _won_between(values, covariance, best)
    few = float(stats.t.ppf(0.5 + confidence / 2, df=freedom) / stats.norm.ppf(0.5 + confidence / 2))

    def at(level: float) -> float:
        """The mean at which so much of the truncated distribution lies below what was seen."""

        def surplus(mean: float) -> float:
            left, right = max(low, mean - projected), min(high, mean + projected)
            return _truncated(own, mean, error * few, left, right) - level

        return float(optimize.brentq(surplus, own - projected + 1e-9 * error, own + projected - 1e-9 * error))

    inner = (alpha - _PROJECTED * alpha) / (1 - _PROJECTED * alpha)
    return Picked(at(0.5), at(1 - inner / 2), at(inner / 2))


def _won_between(values: FloatArray, covariance: FloatArray, best: int) -> tuple[float, float]:
    """Between which values the best one wins, given all that is independent of it."""
    low, high = -np.inf, np.inf
    for other in range(len(values)):
        if other == best:
            continue
        slope = covariance[best, other] / covariance[best, best]
        rest = values[other] - slope * values[best]
        if slope < 1 - 1e-12:
            low = max(low, float(rest / (1 - slope)))
        elif slope > 1 + 1e-12:
            high = min(high, float(rest / (1 - slope)))
    return low, high


def _truncated(x: float, mean: float, spread: float, low: float, high: float) -> float:
    """Distribution function at ``x`` of a normal truncated to [low, high]."""
    if x >= high:
        return 1.0
    if x <= low:
        return 0.0
    a, b, z = (low - mean) / spread, (high - mean) / spread, (x - mean) / spread
    if a > 0:  # in the upper tail differences of survival functions keep their digits
        return float((stats.norm.sf(a) - stats.norm.sf(z)) / max(stats.norm.sf(a) - stats.norm.sf(b), 1e-300))
    return float((stats.norm.cdf(z) - stats.norm.cdf(a)) / max(stats.norm.cdf(b) - stats.norm.cdf(a), 1e-300))
