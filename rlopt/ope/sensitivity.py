"""Sensitivity to what the logs do not hold."""

import math


def e_value(ratio: float) -> float:
    """How strong an unseen cause must be to explain a ratio of click rates away, at least 1.

    The smallest factor by which it would have to make both the titles being shown and clicks likelier, beyond all that
    is corrected for: E = RR + sqrt(RR (RR - 1)) for RR > 1, and of 1 / RR below (VanderWeele and Ding 2017, Annals of
    Internal Medicine 167:268).

    Parameters
    ----------
    ratio
        Click rate over click rate: 1 + lift, above 0.

    Raises
    ------
    ValueError
        A ratio that is not above 0.
    """
    if not ratio > 0:
        raise ValueError(f"ratio must be above 0. Got {ratio}.")
    larger = max(ratio, 1 / ratio)
    return larger + math.sqrt(larger * (larger - 1))
