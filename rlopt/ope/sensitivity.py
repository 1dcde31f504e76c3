"""Sensitivity to what the logs do not hold."""

import math
from dataclasses import replace
from typing import TypeVar

from .direct import LiftEstimate
from .segments import Segment

Interval = TypeVar("Interval", LiftEstimate, Segment)


def e_value(ratio: float) -> float:
    """E-value: the least strength of an unseen cause that explains a ratio of click rates away, at least 1.

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


def bias_bound(strength: float) -> float:
    """Largest ratio of click rates that an unseen cause of this strength can make where there is none, at least 1.

    B = E^2 / (2 E - 1), for a cause that makes both a title's being shown and clicks E times as likely (Ding and
    VanderWeele 2016, Epidemiology 27:368); `e_value` is its inverse.

    Raises
    ------
    ValueError
        A strength below 1.
    """
    if not strength >= 1:
        raise ValueError(f"strength must be at least 1. Got {strength}.")
    return strength**2 / (2 * strength - 1)


def with_unseen_cause(lift: Interval, strength: float) -> Interval:
    """The lift with limits that hold whatever an unseen cause of this strength has done; 1: as it is."""
    if strength == 1:
        return lift
    bound = bias_bound(strength)
    return replace(lift, low=(1 + lift.low) / bound - 1, high=(1 + lift.high) * bound - 1)
