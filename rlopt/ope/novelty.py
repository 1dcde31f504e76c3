"""Lift by day, and whether it wears off: a novelty effect, or one that grows as visitors learn."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from reward.arrays import FloatArray
from reward.plain import Plain

from .abtest import MIN_EVENTS, interval_of
from .comparison import Comparison, Counts, cluster_sums, compare
from .intervals import clustered_interval
from .rounds import RoundsError

FEWEST_DAYS = 3


@dataclass(frozen=True)
class DayLift(Plain):
    """The lift of one day.

    Parameters
    ----------
    day
        Number of the day, as in the counts.
    lift, low, high
        Of that day alone, each interval for itself.
    """

    day: int
    lift: float
    low: float
    high: float


@dataclass(frozen=True)
class Trend(Plain):
    """Lift by day with a test of its trend.

    Parameters
    ----------
    days
        Days with enough events in either arm.
    slope
        Change of log(1 + lift) a day.
    std_error, p_value
        Of the slope; errors by what was randomised, which may come again on later days.
    """

    days: tuple[DayLift, ...]
    slope: float
    std_error: float
    p_value: float


def lift_by_day(counts: Counts, whole: Comparison, confidence: float = 0.95) -> Trend | None:
    """Each day's lift and the trend over days (weighted by their precision); None where there are too few days.

    A serial test has none: an item's arm is not compared on any single day.
    """
    if counts.day is None or whole.design == "serial":
        return None
    found: list[tuple[int, Comparison, FloatArray]] = []
    for day in np.unique(counts.day):
        rows = counts.day == day
        part = counts.take(rows)
        if min(part.events[part.treated].sum(), part.events[~part.treated].sum()) < MIN_EVENTS:
            continue
        try:
            one = compare(part, whole.design)
        except RoundsError:  # a day with one item, or without any noise, says nothing of its own
            continue
        influence = np.zeros(len(counts.day))
        influence[rows] = one.ratio.influence
        found.append((int(day), one, influence))
    if len(found) < FEWEST_DAYS:
        return None
    when = np.array([day for day, _, _ in found], dtype=np.float64)
    lifts = np.array([one.ratio.value for _, one, _ in found])
    weight = 1 / np.array([one.std_error for _, one, _ in found]) ** 2
    pull = weight * (when - weight @ when / weight.sum())
    pull = pull / (pull @ when)
    influence = np.stack([rows for _, _, rows in found], axis=1) @ pull
    error = clustered_interval(1.0, cluster_sums(influence, whole.cluster), confidence=confidence, log_scale=True)
    slope = float(pull @ lifts)
    freedom = max(error.effective_clusters - 1, 1.0)
    p_value = float(2 * stats.t.sf(abs(slope) / max(error.std_error, 1e-300), df=freedom))
    return Trend(tuple(_day(day, one, confidence) for day, one, _ in found), slope, error.std_error, p_value)


def _day(day: int, one: Comparison, confidence: float) -> DayLift:
    reach = float(stats.t.ppf(0.5 + confidence / 2, df=max(min(one.effective, one.clusters - 1), 1.0)))
    return DayLift(day, float(np.expm1(one.ratio.value)), *interval_of(one.ratio.value, reach * one.std_error))
