"""Delay of conversions, and the share of them that the logs can already hold.

A click is followed by its conversion after a delay D; a click of age e at the end of the logs shows it only if D <= e
(Chapelle 2014, "Modeling delayed feedback in display advertising"). The delay is fitted on conversions that were
seen, by the likelihood truncated at each click's age, f(d) / F(e): it needs no model of who converts and holds where
conversion rates drift. A click then counts F(e) of a click, so that conversions / matured clicks is unbiased.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, ndtr

from ..arrays import FloatArray, IntArray

MIN_CONVERSIONS = 30
"""Fewer conversions with a known delay fit no delay model."""
MIN_SEEN = 0.25
"""The oldest click is taken to have shown at least this share of its conversion: nothing beyond is extrapolated."""
_PRIOR = 2.0
"""Weight of a prior Beta(_PRIOR + 1, 1) on the share that the oldest click has shown: holds back wild extrapolation."""
_FIRST_EDGE_HOURS = 0.01
_STEP = 0.05
_LAST_HOURS = 1e7
_N_BINS = 2 + int(np.log(_LAST_HOURS / _FIRST_EDGE_HOURS) / _STEP)

Cdf = Callable[[FloatArray, FloatArray], FloatArray]


def _exponential(hours: FloatArray, theta: FloatArray) -> FloatArray:
    """Mean exp(theta_0)."""
    return np.asarray(-np.expm1(-hours / np.exp(theta[0])))


def _weibull(hours: FloatArray, theta: FloatArray) -> FloatArray:
    """Scale exp(theta_0), shape exp(theta_1)."""
    return np.asarray(-np.expm1(-((hours / np.exp(theta[0])) ** np.exp(theta[1]))))


def _lognormal(hours: FloatArray, theta: FloatArray) -> FloatArray:
    """Log hours of mean theta_0 and standard deviation exp(theta_1)."""
    with np.errstate(divide="ignore"):
        return np.asarray(ndtr((np.log(hours) - theta[0]) / np.exp(theta[1])))


def _two_exponentials(hours: FloatArray, theta: FloatArray) -> FloatArray:
    """Some buy at once, others later: a mixture with means exp(theta_0) and exp(theta_0) (1 + exp(theta_1))."""
    soon = -np.expm1(-hours / np.exp(theta[0]))
    late = -np.expm1(-hours / (np.exp(theta[0]) * (1 + np.exp(theta[1]))))
    return np.asarray(expit(theta[2]) * soon + (1 - expit(theta[2])) * late)


_FAMILIES: dict[str, tuple[Cdf, tuple[float, ...]]] = {
    "exponential": (_exponential, (0.0,)),
    "weibull": (_weibull, (0.0, 0.0)),
    "lognormal": (_lognormal, (0.0, 0.0)),
    "two exponentials": (_two_exponentials, (-1.0, 2.0, 0.0)),
}
"""Family -> its distribution function, and where the search starts (the first relative to the mean log delay)."""


@dataclass(frozen=True)
class DelayModel:
    """Distribution of the hours between a click and its conversion.

    Parameters
    ----------
    family
        ``exponential``, ``weibull``, ``lognormal`` or ``two exponentials``: the one with the smallest BIC.
    theta
        Its parameters, with hours as the unit: see the family's function in this module.
    window_hours
        Conversions later than this do not count at all; None where all count.
    longest_hours
        Age of the oldest click: beyond it the delay is extrapolated.
    conversions
        Conversions with a known delay that were used.
    """

    family: str
    theta: tuple[float, ...]
    window_hours: float | None
    longest_hours: float
    conversions: float

    def seen(self, age_hours: FloatArray) -> FloatArray:
        """Chance that a conversion is seen by the time its click has this age; same shape as ``age_hours``."""
        cdf = _FAMILIES[self.family][0]
        theta = np.array(self.theta)
        if self.window_hours is None:
            return cdf(age_hours, theta)
        window = np.array([self.window_hours])
        return np.asarray(cdf(np.minimum(age_hours, window), theta) / cdf(window, theta))

    @property
    def median_hours(self) -> float:
        """Median delay in hours, within the window where there is one."""
        hours = np.geomspace(_FIRST_EDGE_HOURS / 10, 10 * _LAST_HOURS, 4_000)
        return float(hours[min(int(np.searchsorted(self.seen(hours), 0.5)), len(hours) - 1)])


def bin_sql(hours: str) -> str:
    """SQL of the bin that ``hours`` (an SQL expression, not negative) falls in; see `bin_hours`."""
    inside = f"1 + CAST(floor(ln({hours} / {_FIRST_EDGE_HOURS}) / {_STEP}) AS BIGINT)"
    return f"CASE WHEN {hours} < {_FIRST_EDGE_HOURS} THEN 0 ELSE least({inside}, {_N_BINS - 1}) END"


def bin_edges() -> FloatArray:
    """Edges in hours of the bins of `bin_sql`, shape (n_bins + 1,): zero, then geometric."""
    inner = _FIRST_EDGE_HOURS * np.exp(_STEP * np.arange(_N_BINS))
    return np.concatenate([[0.0], inner])


def bin_hours() -> FloatArray:
    """A typical age in hours of each bin, shape (n_bins,)."""
    edges = bin_edges()
    return np.asarray((edges[:-1] + edges[1:]) / 2)


def fit_delay(
    delay_bin: IntArray,
    age_bin: IntArray,
    conversions: FloatArray,
    longest_hours: float,
    window_hours: float | None = None,
) -> DelayModel | None:
    """Fit the delay on conversions seen in the logs.

    Parameters
    ----------
    delay_bin, age_bin
        Bins (`bin_sql`) of the conversion's delay and of its click's age at the end of the logs, shape (n_cells,).
    conversions
        Conversions in each cell, shape (n_cells,).
    longest_hours
        Age of the oldest click.
    window_hours
        Attribution window; the cells hold no later conversions.

    Returns
    -------
    DelayModel or None
        None where fewer than `MIN_CONVERSIONS` conversions have a known delay, or no click has any age.
    """
    total = float(conversions.sum())
    if total < MIN_CONVERSIONS or longest_hours < _FIRST_EDGE_HOURS:
        return None
    edges, ages = bin_edges(), bin_hours()[age_bin]
    limit = ages if window_hours is None else np.minimum(ages, window_hours)
    low = edges[delay_bin]
    high = np.minimum(edges[delay_bin + 1], np.maximum(limit, low * (1 + _STEP / 4) + _FIRST_EDGE_HOURS / 4))
    limit = np.maximum(limit, high)
    reach = np.array([longest_hours if window_hours is None else min(longest_hours, window_hours)])
    typical = float(np.average((low + high) / 2, weights=conversions))
    best: tuple[float, str, FloatArray] | None = None
    for family, (cdf, offsets) in _FAMILIES.items():

        def loss(theta: FloatArray, cdf: Cdf = cdf) -> float:
            if np.any(np.abs(theta) > 30) or (shown := float(cdf(reach, theta)[0])) < MIN_SEEN:
                return np.inf
            with np.errstate(over="ignore", under="ignore"):
                chance = (cdf(high, theta) - cdf(low, theta)) / np.maximum(cdf(limit, theta), 1e-300)
            return -float(np.sum(conversions * np.log(np.maximum(chance, 1e-300))) + _PRIOR * np.log(shown))

        start = np.array(offsets)
        start[0] += np.log(max(min(typical, reach[0]), _FIRST_EDGE_HOURS))
        found = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-4, "maxiter": 600})
        bic = 2 * float(found.fun) + len(start) * np.log(total)
        if np.isfinite(bic) and (best is None or bic < best[0]):
            best = (bic, family, found.x)
    if best is None:
        return None
    return DelayModel(best[1], tuple(float(x) for x in best[2]), window_hours, longest_hours, total)
