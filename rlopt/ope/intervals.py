"""Intervals that respect items: variances over clusters, t quantiles at the effective number of clusters."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from reward.arrays import FloatArray

from .rounds import RoundsError


@dataclass(frozen=True)
class ClusteredInterval:
    """A two-sided interval.

    Parameters
    ----------
    low, high
        Limits.
    std_error
        Clustered standard error of the value (linear scale).
    effective_clusters
        G_eff, see `effective_clusters`.
    scale
        "log" or "linear": the scale on which the interval is symmetric.
    """

    low: float
    high: float
    std_error: float
    effective_clusters: float
    scale: str


def effective_clusters(scores: FloatArray) -> float:
    """G_eff = (sum u^2)^2 / sum u^4 of the clusters' influence sums u, shape (G,).

    Between 1 (one item carries everything) and G (all carry the same). It is the Satterthwaite degrees of freedom of
    the clustered variance with the observed u^2 in the place of their expectations, which errs on the wide side.
    Reference: Satterthwaite (1946); Imbens & Kolesar (2016), robust standard errors in small samples.
    """
    largest = float(np.abs(scores).max())
    if largest == 0:
        return float(len(scores))
    u2 = (scores / largest) ** 2  # scaled: tiny influences must not underflow in the fourth power
    return float(u2.sum() ** 2 / (u2 * u2).sum())


def clustered_interval(value: float, scores: FloatArray, *, confidence: float, log_scale: bool) -> ClusteredInterval:
    """Interval of an estimate from its clusters' influence sums: t with G_eff degrees of freedom, at most G - 1.

    Parameters
    ----------
    value
        The estimate.
    scores
        u_g = (sum of the influences of cluster g's rounds) / (number of rounds), shape (G,): the variance of the
        estimate is G / (G - 1) * sum u_g^2.
    confidence
        Coverage asked for, in (0, 1).
    log_scale
        value * exp(-+ t * se / value), right-skewed as a rate's uncertainty is, instead of value -+ t * se.
        Ignored where the value is not positive.

    Raises
    ------
    RoundsError
        Fewer than two clusters, or a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise RoundsError(f"confidence must be in (0, 1). Got {confidence}. 0.95 is usual.")
    n_clusters = len(scores)
    if n_clusters < 2:
        raise RoundsError("An interval needs at least two items (clusters). Got rounds of one item only.")
    std_error = float(np.sqrt(n_clusters / (n_clusters - 1) * (scores @ scores)))
    g_eff = effective_clusters(scores)
    reach = float(stats.t.ppf(0.5 + confidence / 2, df=min(g_eff, n_clusters - 1.0))) * std_error
    if log_scale and value > 0:
        # past e^700 a double overflows: such an interval is unbounded, and saying so needs no warning
        exponent = reach / value
        high = value * float(np.exp(exponent)) if exponent < 700 else float("inf")
        return ClusteredInterval(value * float(np.exp(-exponent)), high, std_error, g_eff, "log")
    return ClusteredInterval(value - reach, value + reach, std_error, g_eff, "linear")
