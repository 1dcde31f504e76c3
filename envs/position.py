"""Positions on the page and how often shoppers look at them (position-based model, Craswell et al. 2008).

P(click at position k) = examination_k * P(click | examined). A market's click probability is the value at the logs'
average position: the expectation over `POSITION_SHARE`, so that the clicks of an arm average to it.
"""

import numpy as np

from reward.arrays import FloatArray

N_POSITIONS = 10
_RANK = np.arange(1, N_POSITIONS + 1, dtype=np.float64)
EXAMINATION: FloatArray = _RANK**-0.6
POSITION_SHARE: FloatArray = _RANK**-0.35 / np.sum(_RANK**-0.35)
POSITION_LIFT: FloatArray = EXAMINATION / float(POSITION_SHARE @ EXAMINATION)
"""Click probability at each position relative to the average one, shape (10,); its mean over `POSITION_SHARE` is 1."""
MAX_LIFT = float(POSITION_LIFT.max())


def arm_positions(confounding: float, n_arms: int, rng: np.random.Generator) -> FloatArray:
    """Chance that each arm is shown at each position, shape (n_arms, 10).

    ``confounding`` 0 is `POSITION_SHARE` for all. Else arms differ at random: the log-odds of the best position
    against the worst have this standard deviation, so raw CTRs of one item's titles are no longer comparable.
    """
    tilt = confounding * rng.standard_normal((n_arms, 1)) * np.linspace(0.5, -0.5, N_POSITIONS)
    weights = POSITION_SHARE * np.exp(tilt)
    shares: FloatArray = weights / weights.sum(axis=1, keepdims=True)
    return shares
