"""Item baselines: the shrunken rate of an item with history, a prediction from its context without any.

The rate of an item is beta-binomial around what its context predicts: p_i ~ Beta(s m_i, s (1 - m_i)), so its shrunken
rate is (clicks + s m_i) / (exposure + s). The strength s comes from the moments of the counts (Kleinman 1973) and the
context m_i from `reward.model.item_context`.
"""

import numpy as np

from ..arrays import FloatArray
from .linear import ArmCounts

_STRENGTHS = (1e-1, 1e7)


def beta_strength(clicks: FloatArray, trials: FloatArray, expected: FloatArray, overdispersion: float) -> float:
    """Prior strength s of p_i ~ Beta(s m_i, s (1 - m_i)) by moments, clipped to a range that keeps all finite.

    Parameters
    ----------
    clicks, trials, expected
        Counts and expected rate m_i of each item, shape (n_items,).
    overdispersion
        Variance of the counts of one arm relative to the binomial.
    """
    binomial = trials * expected * (1 - expected)
    surplus = np.sum((clicks - trials * expected) ** 2 - overdispersion * binomial)
    correlation = surplus / max(float(np.sum(binomial * np.maximum(trials - 1, 0))), 1e-12)
    return float(np.clip(1.0 / max(correlation, 1e-9) - 1.0, *_STRENGTHS))


def shrink(
    rows: ArmCounts, effect: FloatArray, prior: FloatArray, overdispersion: float
) -> tuple[FloatArray, FloatArray, float]:
    """Item intercepts shrunk to their context.

    Parameters
    ----------
    rows
        Counts of the arms.
    effect
        Title effect of each arm, shape (n,).
    prior
        Log-odds that the context predicts for each item, shape (n_items,).
    overdispersion
        Variance of the counts relative to the binomial; an overdispersed click counts for less.

    Returns
    -------
    Intercept of each item (n_items,), its standard deviation in log-odds (n_items,), and the strength s.
    """
    trials, clicks = rows.item_sum(rows.trials), rows.item_sum(rows.successes)
    p = 1.0 / (1.0 + np.exp(-(prior[rows.item] + effect)))
    expected = np.clip(rows.item_sum(rows.trials * p) / np.maximum(trials, 1e-12), 1e-9, 1 - 1e-9)
    strength = beta_strength(clicks, trials, expected, overdispersion)
    worth = 1.0 / overdispersion
    rate = (worth * clicks + strength * expected) / (worth * trials + strength)
    shrunken = ArmCounts(rate[rows.item] * rows.trials, rows.trials, rows.item, rows.n_items)
    with_history = trials > 0
    intercept = np.where(with_history, shrunken.intercepts(effect, least=1e-9), prior)
    spread = np.sqrt(1.0 / np.maximum((worth * trials + strength) * rate * (1 - rate), 1e-12))
    return intercept, spread, strength
