"""Outcome of an A/B test of titles: split checks, lift within days and items, fixed and always-valid intervals."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from reward.arrays import BoolArray, FloatArray, IntArray
from reward.plain import Plain

from .intervals import clustered_interval
from .rounds import RoundsError
from .sample_ratio import ALARM, SplitCheck, check_split
from .sequential import planned_information, sequence_reach
from .stratified import LogRatio, adjusted, comparable_share, mantel_haenszel

MIN_EVENTS = 10.0  # in each arm: with fewer a log ratio is not nearly normal, and no interval is given

Outcome = Literal["better", "worse", "undecided", "invalid"]
Design = Literal["visitors", "items"]
"""What was split: the visitors, so that items have both arms, or the items, each whole in one arm."""


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
    day
        Day of each row, integers from 0 in order of time; None without dates.
    visitor
        Visitor (or another unit that was randomised) of each row, integers from 0; None where it is not known, and
        impressions are taken as independent.
    expected
        Events expected whichever arm the item went to, as from clicks before the test; None without such.
    """

    treated: BoolArray
    item: IntArray
    impressions: FloatArray
    events: FloatArray
    day: IntArray | None = None
    visitor: IntArray | None = None
    expected: FloatArray | None = None

    @property
    def days(self) -> IntArray:
        """Day of each row; all one day without dates."""
        return np.zeros(len(self.item), dtype=np.int64) if self.day is None else self.day


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
        p-value of the observed split against the intended one; None where it changed by design.
    design
        What was split.
    split
        The split checks in full; None where whole items were split.
    unadjusted_lift, removed_variance
        Lift without what is known of the items from before, and the share of its variance that this removes; None
        where nothing is known, or visitors are split and items compared with themselves.
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
    sample_ratio_p_value: float | None
    decision: Outcome
    decided_by: str
    design: Design = "visitors"
    split: SplitCheck | None = None
    unadjusted_lift: float | None = None
    removed_variance: float | None = None


def analyze(
    counts: Counts, *, planned_lift: float, treated_share: float = 0.5, confidence: float = 0.95, final: bool = False
) -> TestOutcome:
    """Lift of an A/B test with intervals that respect what was randomised.

    Arms are compared within each day and item (Mantel-Haenszel), or within each day where whole items were split; what
    days and items have in common cancels, and no change of the split in time or by item biases the lift. Errors are by
    item, and where visitors are known by visitor too (two-way, Cameron, Gelbach and Miller 2011).

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
    shown, events = _totals(counts)
    design = design_of(counts)
    ratio, plain_ratio, removed = _ratio(counts, design)
    std_error, effective, clusters = _error(counts, ratio, confidence)
    planned = planned_information(planned_lift, confidence)
    wider = widening(effective, confidence)
    reach = sequence_reach(std_error, planned, confidence) * wider
    fixed = float(stats.t.ppf(0.5 + confidence / 2, df=min(effective, clusters - 1))) * std_error
    low, high, always_low, always_high = (
        float(np.expm1(min(ratio.value + step, 700.0))) for step in (-fixed, fixed, -reach, reach)
    )
    split, p_value = _split(counts, design, treated_share)
    alarm = split.alarm if split is not None else p_value is not None and p_value < ALARM
    deciding = (low, high) if final else (always_low, always_high)
    decision: Outcome = "better" if deciding[0] > 0 else "worse" if deciding[1] < 0 else "undecided"
    return TestOutcome(
        lift=float(np.expm1(ratio.value)),
        low=low,
        high=high,
        always_low=always_low,
        always_high=always_high,
        confidence=confidence,
        rate_control=float(events[0] / shown[0]),
        rate_treated=float(events[1] / shown[1]),
        impressions_control=float(shown[0]),
        impressions_treated=float(shown[1]),
        events_control=float(events[0]),
        events_treated=float(events[1]),
        n_items=int(counts.item.max()) + 1,
        effective_items=effective,
        sample_ratio_p_value=p_value,
        decision="invalid" if alarm else decision,
        decided_by="fixed-horizon" if final else "always-valid",
        design=design,
        split=split,
        unadjusted_lift=None if removed is None else float(np.expm1(plain_ratio.value)),
        removed_variance=removed,
    )


def _totals(counts: Counts) -> tuple[FloatArray, FloatArray]:
    """(impressions, events) of control and treatment, shape (2,) each, where there is enough to compare."""
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
    return shown, events


def design_of(counts: Counts) -> Design:
    """Whether items have both arms on a day, or are whole in one: by where most impressions are."""
    both = comparable_share(counts.treated, _day_and_item(counts), counts.impressions)
    return "visitors" if both > 0.5 else "items"


def _day_and_item(counts: Counts) -> IntArray:
    cell = counts.days * (int(counts.item.max()) + 1) + counts.item
    return np.asarray(np.unique(cell, return_inverse=True)[1], dtype=np.int64)


def _ratio(counts: Counts, design: Design) -> tuple[LogRatio, LogRatio, float | None]:
    """The ratio that decides, the one without covariates, and the share of variance that these remove."""
    stratum = _day_and_item(counts) if design == "visitors" else counts.days
    ratio = mantel_haenszel(counts.treated, stratum, counts.impressions, counts.events)
    if design == "visitors" or counts.expected is None or not (counts.expected > 0).all():
        return ratio, ratio, None
    before = mantel_haenszel(counts.treated, stratum, counts.impressions, counts.expected)
    found, removed = adjusted(ratio, before, counts.item)
    return found, ratio, removed


def _error(counts: Counts, ratio: LogRatio, confidence: float) -> tuple[float, float, int]:
    """Standard error of the log ratio, and the effective and the plain number of what is independent."""
    clusters = [counts.item]
    if counts.visitor is not None:
        pairs = counts.visitor * (int(counts.item.max()) + 1) + counts.item
        clusters += [counts.visitor, np.unique(pairs, return_inverse=True)[1].astype(np.int64)]
    found = [
        clustered_interval(
            1.0, np.bincount(c, ratio.influence).astype(np.float64), confidence=confidence, log_scale=True
        )
        for c in clusters
    ]
    squares = [interval.std_error**2 for interval in found]
    if max(squares) == 0:
        raise RoundsError("Every item has the same rates, so that the error is unknown. Are these real results?")
    variance = squares[0] if len(squares) == 1 else max(squares[0] + squares[1] - squares[2], *squares[:2])
    effective = min(interval.effective_clusters for interval in found[:2])
    return float(np.sqrt(variance)), effective, min(int(c.max()) + 1 for c in clusters[:2])


def _split(counts: Counts, design: Design, treated_share: float) -> tuple[SplitCheck | None, float | None]:
    """The split checks, and the p-value of the whole split."""
    if counts.visitor is not None:
        return None, visitors_p_value(counts.visitor, counts.treated, treated_share)
    if design == "items":
        return None, whole_items_p_value(counts, treated_share)
    split = check_split(counts.treated, counts.item, counts.days, counts.impressions, treated_share)
    return split, split.p_value


def widening(effective_items: float, confidence: float) -> float:
    """What an interval whose error is known must be multiplied by where the error comes from so few items.

    The quotient of the t and the normal quantile: a confidence sequence takes the error for known.
    """
    level = 0.5 + confidence / 2
    return float(stats.t.ppf(level, df=max(effective_items - 1.0, 1.0)) / stats.norm.ppf(level))


def visitors_p_value(visitor: IntArray, treated: BoolArray, treated_share: float) -> float:
    """p-value of a sample-ratio mismatch of visitors, who count once (binomial, exact).

    Raises
    ------
    RoundsError
        A visitor has seen both arms: it was not visitors that were split.
    """
    n = int(visitor.max()) + 1
    new, old = np.bincount(visitor, treated, minlength=n) > 0, np.bincount(visitor, ~treated, minlength=n) > 0
    if (new & old).any():
        raise RoundsError(
            f"{int((new & old).sum()):,} of {n:,} visitors have seen both arms, so it was not visitors that were "
            "split. Map another column to visitor, or none."
        )
    return float(stats.binomtest(int(new.sum()), n, treated_share).pvalue)


def whole_items_p_value(counts: Counts, treated_share: float) -> float:
    """p-value of a sample-ratio mismatch of impressions where whole items were split.

    The variance is the larger of the binomial's and that between items.
    """
    sign = np.where(counts.treated, 1.0 - treated_share, -treated_share)
    surplus = np.bincount(counts.item, weights=counts.impressions * sign)
    size = np.bincount(counts.item, weights=counts.impressions)
    between = surplus - size * (surplus.sum() / size.sum())
    variance = max(treated_share * (1 - treated_share) * float(size.sum()), float(between @ between))
    return float(2 * stats.norm.sf(abs(surplus.sum()) / np.sqrt(variance)))
