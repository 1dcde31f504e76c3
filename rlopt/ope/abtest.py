"""Outcome of an A/B test of titles: sample-ratio check, lift by item, fixed-horizon and always-valid intervals."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from reward.arrays import BoolArray, FloatArray, IntArray
from reward.plain import Plain

from .intervals import clustered_interval
from .rounds import RoundsError
from .sequential import planned_information, sequence_reach

SAMPLE_RATIO_ALARM = 1e-3  # the usual threshold: a split off by chance alone rings once in a thousand tests
MIN_EVENTS = 10.0  # in each arm: with fewer a log ratio is not nearly normal, and no interval is given

Outcome = Literal["better", "worse", "undecided", "invalid"]


@dataclass(frozen=True)
class Counts:
    """Results, one row an item, arm and (perhaps) day; arrays of shape (n,).

    Parameters
    ----------
    treated
        True for the treatment.
    item
        Item of each row, integers from 0.
    impressions, events
        Counts; ``events`` are clicks or conversions.
    """

    treated: BoolArray
    item: IntArray
    impressions: FloatArray
    events: FloatArray


@dataclass(frozen=True)
class TestOutcome(Plain):
    """What an A/B test showed.

    Parameters
    ----------
    lift
        Relative lift of the treatment's rate over the control's; 0.05 is +5 %.
    low, high
        Fixed-horizon interval: for one look at the planned end.
    always_low, always_high
        Confidence sequence: holds at every look together.
    confidence
        Coverage of either.
    rate_control, rate_treated
        Events per impression.
    impressions_control, impressions_treated, events_control, events_treated
        Totals.
    n_items, effective_items
        Items, and their effective number G_eff.
    sample_ratio_p_value
        p-value of the observed split of impressions against the intended one.
    decision
        "invalid" where the split is off, "better" or "worse" where the deciding interval excludes zero, else
        "undecided".
    decided_by
        "always-valid" or "fixed-horizon": the interval that decides.
    """

    __test__ = False  # pytest would take it for a test

    lift: float
    low: float
    high: float
    always_low: float
    always_high: float
    confidence: float
    rate_control: float
    rate_treated: float
    impressions_control: float
    impressions_treated: float
    events_control: float
    events_treated: float
    n_items: int
    effective_items: float
    sample_ratio_p_value: float
    decision: Outcome
    decided_by: str


def analyze(
    counts: Counts, *, planned_lift: float, treated_share: float = 0.5, confidence: float = 0.95, final: bool = False
) -> TestOutcome:
    """Lift of an A/B test with intervals that respect items.

    The log ratio of the two rates is linearised in the items' counts; an item's rows in both arms go together, so what
    items have in common cancels, and what differs between them counts.

    Parameters
    ----------
    counts
        The results so far.
    planned_lift
        Lift the test was planned to find; shapes the confidence sequence, and must not come from these results.
    treated_share
        Intended share of impressions in the treatment.
    confidence
        Coverage of the intervals.
    final
        The test has reached its planned end and is looked at once: the fixed-horizon interval decides.

    Raises
    ------
    RoundsError
        An arm has no impressions or too few events, or there are fewer than two items.
    """
    treated = counts.treated
    shown = np.array([counts.impressions[~treated].sum(), counts.impressions[treated].sum()])
    events = np.array([counts.events[~treated].sum(), counts.events[treated].sum()])
    for name, n, k in zip(("control", "treatment"), shown, events, strict=True):
        if n <= 0:
            raise RoundsError(f"The {name} has no impressions: there is nothing to compare.")
        if k < MIN_EVENTS:
            raise RoundsError(
                f"The {name} has {k:.0f} clicks or conversions, and an interval needs {MIN_EVENTS:.0f}: go on testing."
            )
    rates = events / shown
    n_items = int(counts.item.max()) + 1
    arm = treated.astype(np.int64)
    influence = (counts.events - rates[arm] * counts.impressions) / events[arm] * np.where(treated, 1.0, -1.0)
    scores = np.bincount(counts.item, weights=influence, minlength=n_items).astype(np.float64)
    interval = clustered_interval(1.0, scores, confidence=confidence, log_scale=True)
    ratio = float(rates[1] / rates[0])
    if interval.std_error == 0:
        raise RoundsError("Every item has the same rates, so that the error is unknown. Are these real results?")
    planned = planned_information(planned_lift, confidence)
    reach = sequence_reach(interval.std_error, planned, confidence) * widening(interval.effective_clusters, confidence)
    low, high = ratio * interval.low - 1, ratio * interval.high - 1
    always_low, always_high = float(ratio * np.exp(-reach) - 1), float(ratio * np.exp(min(reach, 700.0)) - 1)
    p_value = split_p_value(counts, treated_share)
    deciding = (low, high) if final else (always_low, always_high)
    decision: Outcome = "better" if deciding[0] > 0 else "worse" if deciding[1] < 0 else "undecided"
    return TestOutcome(
        lift=ratio - 1,
        low=low,
        high=high,
        always_low=always_low,
        always_high=always_high,
        confidence=confidence,
        rate_control=float(rates[0]),
        rate_treated=float(rates[1]),
        impressions_control=float(shown[0]),
        impressions_treated=float(shown[1]),
        events_control=float(events[0]),
        events_treated=float(events[1]),
        n_items=n_items,
        effective_items=interval.effective_clusters,
        sample_ratio_p_value=p_value,
        decision="invalid" if p_value < SAMPLE_RATIO_ALARM else decision,
        decided_by="fixed-horizon" if final else "always-valid",
    )


def widening(effective_items: float, confidence: float) -> float:
    """What an interval whose error is known must be multiplied by where the error comes from so few items.

    The quotient of the t and the normal quantile: a confidence sequence takes the error for known.
    """
    level = 0.5 + confidence / 2
    return float(stats.t.ppf(level, df=max(effective_items - 1.0, 1.0)) / stats.norm.ppf(level))


def split_p_value(counts: Counts, treated_share: float) -> float:
    """p-value of a sample-ratio mismatch: impressions in the treatment against their intended share.

    Its variance is the larger of the binomial's and that between items, for items that are assigned whole.
    """
    sign = np.where(counts.treated, 1.0 - treated_share, -treated_share)
    surplus = np.bincount(counts.item, weights=counts.impressions * sign)
    size = np.bincount(counts.item, weights=counts.impressions)
    between = surplus - size * (surplus.sum() / size.sum())
    variance = max(treated_share * (1 - treated_share) * float(size.sum()), float(between @ between))
    return float(2 * stats.norm.sf(abs(surplus.sum()) / np.sqrt(variance)))
