"""Logging policy: a mediocre heuristic shows each item's titles with known propensities."""

from collections.abc import Sequence

import numpy as np

from reward.arrays import FloatArray

from .lexicon import Reading

MIN_TITLES, MAX_TITLES = 3, 8
UNIFORM_SHARE = 0.3
"""Share of traffic given to a title at random: no propensity is below 0.3 / 8 = 0.0375."""


def propensities(readings: Sequence[Reading], house_width: float, rng: np.random.Generator) -> FloatArray:
    """Chance of each title of one item, shape (n_titles,), summing to one.

    A softmax of the merchandiser's gut feeling (much said, near the house's width, a promise in it) blurred by as
    much noise, mixed with a uniform draw.
    """
    said = np.array([len(reading.mentions) for reading in readings])
    promised = np.array([min(reading.promo, 2) for reading in readings])
    width = np.array([max(reading.width, 1) for reading in readings])
    feeling = 0.15 * said + 0.2 * promised - np.abs(np.log(width / house_width))
    feeling += 0.6 * rng.standard_normal(len(feeling))
    weights = np.exp(feeling - feeling.max())
    shares: FloatArray = (1 - UNIFORM_SHARE) * weights / weights.sum() + UNIFORM_SHARE / len(feeling)
    return shares
