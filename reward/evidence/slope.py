"""Calibration slope of the title effect: of what a model says titles of one item differ by, how much comes."""

import numpy as np

from ..arrays import FloatArray
from ..model.linear import ArmCounts
from .metrics import Z95, Interval

_STEPS = 30


def effect_slope(rows: ArmCounts, effect: FloatArray) -> Interval | None:
    """Slope b of a conditional logit of clicks on predicted effects, with its 95% interval by items.

    A click on an item falls on title j with chance trials_j exp(b effect_j) / sum_k trials_k exp(b effect_k): b is 1
    for a calibrated model, below 1 for one whose effects are too large, 0 for one that knows nothing of titles (Cox
    1958, two further applications of a model for binary regression). Errors are by item: overdispersion is in them.

    Parameters
    ----------
    rows
        Clicks and exposure of titles the model has not learned from.
    effect
        Predicted effect on the log-odds of a click, shape (n,).

    Returns
    -------
    None where fewer than two items have a click and titles whose predictions differ.
    """
    clicks = rows.item_sum(rows.successes)
    slope = 0.0
    for _ in range(_STEPS):
        tilted = rows.trials * np.exp(np.clip(slope * effect, -30.0, 30.0))
        share = tilted / np.maximum(rows.item_sum(tilted)[rows.item], 1e-300)
        beyond = effect - rows.item_sum(share * effect)[rows.item]
        scores = rows.item_sum(rows.successes * beyond)
        information = float(clicks @ rows.item_sum(share * beyond**2))
        if np.count_nonzero(scores) < 2 or information < 1e-9:
            return None
        step = float(np.clip(scores.sum() / information, -1.0, 1.0))
        slope += step
        if abs(step) < 1e-6:
            break
    n = np.count_nonzero(scores)
    reach = Z95 * float(np.sqrt(n / (n - 1) * np.sum((scores - scores.sum() / n) ** 2))) / information
    return Interval(slope, slope - reach, slope + reach)


def trust(slope: Interval | None) -> tuple[float, float]:
    """Factor on predicted differences between titles and its standard error: the slope where it is below 1, else 1.

    A slope below 0 gives 0: such predictions say nothing. 1 without a slope.
    """
    if slope is None or slope.value >= 1:
        return 1.0, 0.0
    return max(slope.value, 0.0), (slope.high - slope.low) / (2 * Z95)
