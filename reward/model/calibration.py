"""Making probabilities and spreads mean what they say, on items the fit did not use."""

from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray
from .linear import ArmCounts, Noise, working

INFLATION = 1.3  # a bootstrap of a regularised model varies less than its error; measured on simulated shops
_SLOPE_RANGE = (0.2, 2.0)


@dataclass(frozen=True)
class Platt:
    """Calibrated log-odds = ``intercept + slope * log-odds`` (Platt 1999)."""

    intercept: float = 0.0
    slope: float = 1.0

    def apply(self, logit: FloatArray) -> FloatArray:
        """Calibrated log-odds, same shape."""
        return self.intercept + self.slope * logit


def fit_platt(logit: FloatArray, successes: FloatArray, trials: FloatArray, correlation: float) -> Platt:
    """Logistic regression of item totals on held-out log-odds.

    Parameters
    ----------
    logit
        Held-out prediction, shape (n,).
    successes, trials
        Totals, shape (n,).
    correlation
        Beta-binomial correlation rho of one item's trials: the item weighs trials / (1 + (trials - 1) rho).
    """
    weight = trials / (1.0 + np.maximum(trials - 1.0, 0.0) * correlation)
    rate = successes / np.maximum(trials, 1e-12)
    if not weight.sum() or not 0.0 < np.average(rate, weights=weight) < 1.0:
        return Platt()
    level = float(np.average(logit, weights=weight))
    x = logit - level
    columns = np.column_stack([np.ones_like(x), x])
    overall = float(np.average(rate, weights=weight))
    b = np.array([np.log(overall / (1 - overall)), 1.0])
    ridge = np.diag([0.0, 1e-3 * weight.sum() * overall * (1 - overall) + 1e-9])  # holds the slope at 1 without data
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-(columns @ b)))
        information = weight * p * (1 - p)
        gradient = columns.T @ (weight * (rate - p)) - ridge @ (b - np.array([0.0, 1.0]))
        step = np.linalg.solve((columns * information[:, None]).T @ columns + ridge + 1e-9 * np.eye(2), gradient)
        b = b + np.clip(step, -1.0, 1.0)
        if np.max(np.abs(step)) < 1e-10:
            break
    slope = float(np.clip(b[1], *_SLOPE_RANGE))
    return Platt(float(b[0]) - slope * level, slope)


def effect_slope(rows: ArmCounts, effect: FloatArray, noise: Noise) -> float:
    """Factor on a held-out title effect that fits the clicks best, within items; 1 where the data say nothing."""
    slope = 1.0
    for _ in range(4):
        state = working(rows, slope * effect)
        weight = state.weight(noise)
        x = effect - _mean(rows, effect, weight)
        z = state.response - _mean(rows, state.response, weight)
        precision = float(np.sum(weight * x * x))
        slope = float(np.clip((np.sum(weight * x * z) + 1.0) / (precision + 1.0), *_SLOPE_RANGE))
    return slope


@dataclass(frozen=True)
class EnsembleSpread:
    """Standard deviation of a title effect = sqrt(scale^2 * ensemble variance + rest^2), in log-odds."""

    scale: float = 1.0
    rest: float = 0.0

    def apply(self, ensemble_std: FloatArray) -> FloatArray:
        """Calibrated standard deviation, same shape."""
        total: FloatArray = np.sqrt(self.scale**2 * ensemble_std**2 + self.rest**2)
        return total


def fit_spread(rows: ArmCounts, effect: FloatArray, ensemble_std: FloatArray, noise: Noise) -> EnsembleSpread:
    """Match the squared error of held-out effects, less the noise of the counts, by the ensemble's variance and a rest.

    The rest is at least the title variance that the features were found not to see. The error is taken within
    items, where a fraction (1 - 1 / titles) of it shows.

    Parameters
    ----------
    rows, effect
        Held-out counts and effects, shape (n,).
    ensemble_std
        Standard deviation over the members, shape (n,).
    noise
        Noise of the counts.
    """
    state = working(rows, effect)
    valid = state.information > 1e-9
    if valid.sum() < 20:
        return EnsembleSpread(INFLATION, float(np.sqrt(noise.title_variance)))
    weight = state.weight(noise) * valid
    share = weight / np.maximum(rows.item_sum(weight)[rows.item], 1e-300)
    residual = state.response - effect
    residual = residual - _mean(rows, residual, weight)
    counts = noise.overdispersion / np.maximum(state.information, 1e-9)
    # Variance of a weighted deviation of independent errors u: (1 - 2 share) u + sum share^2 u.
    expected = (1 - 2 * share) * counts + rows.item_sum(share**2 * counts)[rows.item]
    visible = np.maximum(1 - 2 * share + rows.item_sum(share**2)[rows.item], 1e-3)
    error = float(np.sum(weight * (residual**2 - expected)) / np.sum(weight * visible))
    of_ensemble = float(np.average(ensemble_std**2, weights=weight))
    rest = max(error - INFLATION**2 * of_ensemble, noise.title_variance)
    return EnsembleSpread(INFLATION, float(np.sqrt(rest)))


def _mean(rows: ArmCounts, values: FloatArray, weight: FloatArray) -> FloatArray:
    """Weighted mean over each arm's item, shape (n,)."""
    mean: FloatArray = rows.item_sum(weight * values) / np.maximum(rows.item_sum(weight), 1e-300)
    return mean[rows.item]
