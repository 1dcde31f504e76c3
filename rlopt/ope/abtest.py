"""Outcome of an A/B test of titles: split checks, lift within days and items, and the interval that decides."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from reward.arrays import BoolArray, FloatArray, IntArray
from reward.plain import Plain

from .comparison import Comparison, Counts, Design, compare, design_of
from .group_sequential import boundaries
from .rounds import RoundsError
from .sample_ratio import ALARM, SplitCheck, check_split, check_units
from .sequential import planned_information, sequence_reach

__all__ = ["Counts", "Looks", "TestOutcome", "analyze", "design_of", "interval_of"]

MIN_EVENTS = 10.0  # in each arm: with fewer a log ratio is not nearly normal, and no interval is given

Outcome = Literal["better", "worse", "undecided", "invalid"]
DecidedBy = Literal["always-valid", "fixed-horizon", "group-sequential"]


@dataclass(frozen=True)
class Looks:
    """Looks at a test, which determine the interval that decides.

    Parameters
    ----------
    decided_by
        "always-valid": any number of looks; "fixed-horizon": one, at the planned end; "group-sequential": those of
        ``shares``.
    shares
        Shares of the planned impressions at the looks so far, now's last.
    comparisons
        Variants that are compared with the control at once, over which alpha is shared (Bonferroni).
    critical
        Critical value of the fixed-horizon interval, as of `rlopt.ope.simultaneous`; None: the t quantile.
    """

    decided_by: DecidedBy = "always-valid"
    shares: tuple[float, ...] = ()
    comparisons: int = 1
    critical: float | None = None


@dataclass(frozen=True)
class TestOutcome(Plain):
    """Outcome of an A/B test.

    Parameters
    ----------
    lift
        Relative lift of the treatment's rate over the control's; 0.05 is +5%.
    low, high
        Fixed-horizon interval: for one look at the planned end.
    always_low, always_high
        Confidence sequence: holds at every look together.
    group_low, group_high
        Group-sequential (repeated) interval: holds at the planned looks together; None where there are none.
    std_error
        Of the log of (1 + lift).
    confidence
        Coverage of either.
    rate_control, rate_treated
        Events per impression.
    impressions_control, impressions_treated, events_control, events_treated
        Totals; of a ratio metric those of its denominator and numerator.
    n_items, effective_items
        Items, and their effective number G_eff.
    sample_ratio_p_value
        p-value of the observed split against the intended one; None where it changed by design.
    design
        Unit of the split: visitors, items or periods.
    split
        The split checks in full; None where whole items were split.
    unadjusted_lift, unadjusted_low, unadjusted_high, removed_variance
        Lift without the covariates from before the test, its interval of the kind that decides, and the share
        of its variance that they remove; None without covariates, or where visitors are split and items compared with
        themselves.
    decision
        "invalid" where the split is off, "better" or "worse" where the deciding interval excludes zero, else
        "undecided".
    decided_by
        "always-valid", "fixed-horizon" or "group-sequential": the interval that decides.
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
    unadjusted_low: float | None = None
    unadjusted_high: float | None = None
    removed_variance: float | None = None
    std_error: float = 0.0
    group_low: float | None = None
    group_high: float | None = None

    @property
    def deciding(self) -> tuple[float, float]:
        """Limits of the interval that decides."""
        if self.decided_by == "fixed-horizon":
            return self.low, self.high
        if self.group_low is not None and self.group_high is not None and self.decided_by == "group-sequential":
            return self.group_low, self.group_high
        return self.always_low, self.always_high


def analyze(
    counts: Counts,
    *,
    planned_lift: float,
    treated_share: float = 0.5,
    confidence: float = 0.95,
    final: bool = False,
    looks: Looks | None = None,
    design: Design | None = None,
    counted: bool = True,
) -> TestOutcome:
    """Lift of an A/B test with intervals that respect what was randomised.

    `rlopt.ope.comparison.compare` defines the comparison: no change of the split in time or by item
    biases the lift.

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
    looks
        The same in full; None: as ``final`` says.
    design
        Unit of the split; None: as the results show.
    counted
        True if events are counts, of which there must be `MIN_EVENTS`; else amounts, that many rows of which must have
        some.

    Raises
    ------
    RoundsError
        An arm has no impressions or too few events, or there are fewer than two items.
    """
    looks = looks or Looks("fixed-horizon" if final else "always-valid")
    shown, events = totals(counts, counted)
    found = compare(counts, design)
    spans = _spans(found, planned_lift, confidence, looks)
    bare = replace(found, ratio=found.unadjusted, std_error=found.unadjusted_error)
    unadjusted: tuple[float | None, float | None, float | None] = (None, None, None)
    if found.removed_variance is not None:
        span = _spans(bare, planned_lift, confidence, looks)[looks.decided_by]
        unadjusted = (float(np.expm1(bare.ratio.value)), *span)
    split, p_value = _split(counts, found.design, treated_share)
    alarm = ALARM / looks.comparisons
    off = split.rings(alarm) if split is not None else p_value is not None and p_value < alarm
    deciding = spans[looks.decided_by]
    decision: Outcome = "better" if deciding[0] > 0 else "worse" if deciding[1] < 0 else "undecided"
    group = spans.get("group-sequential", (None, None))
    return TestOutcome(
        lift=float(np.expm1(found.ratio.value)),
        low=spans["fixed-horizon"][0],
        high=spans["fixed-horizon"][1],
        always_low=spans["always-valid"][0],
        always_high=spans["always-valid"][1],
        group_low=group[0],
        group_high=group[1],
        std_error=found.std_error,
        confidence=confidence,
        rate_control=float(events[0] / shown[0]),
        rate_treated=float(events[1] / shown[1]),
        impressions_control=float(shown[0]),
        impressions_treated=float(shown[1]),
        events_control=float(events[0]),
        events_treated=float(events[1]),
        n_items=len(np.unique(counts.item)),
        effective_items=found.effective,
        sample_ratio_p_value=p_value,
        decision="invalid" if off else decision,
        decided_by=looks.decided_by,
        design=found.design,
        split=split,
        unadjusted_lift=unadjusted[0],
        unadjusted_low=unadjusted[1],
        unadjusted_high=unadjusted[2],
        removed_variance=found.removed_variance,
    )


def _spans(
    found: Comparison, planned_lift: float, confidence: float, looks: Looks
) -> dict[DecidedBy, tuple[float, float]]:
    """Limits of the lift by each kind of interval."""
    shared = 1 - (1 - confidence) / looks.comparisons
    freedom = min(found.effective, found.clusters - 1)
    fixed = float(stats.t.ppf(0.5 + shared / 2, df=freedom)) if looks.critical is None else looks.critical
    wider = widening(found.effective, shared)
    planned = planned_information(planned_lift, confidence)
    reach: dict[DecidedBy, float] = {
        "fixed-horizon": fixed * found.std_error,
        "always-valid": sequence_reach(found.std_error, planned, shared) * wider,
    }
    if looks.shares:
        reach["group-sequential"] = boundaries(looks.shares, 1 - shared)[-1] * found.std_error * wider
    return {kind: interval_of(found.ratio.value, step) for kind, step in reach.items()}


def interval_of(value: float, reach: float) -> tuple[float, float]:
    """Limits of a lift whose log ratio is ``value`` plus and minus ``reach``."""
    low, high = (float(np.expm1(min(value + step, 700.0))) for step in (-reach, reach))
    return low, high


def totals(counts: Counts, counted: bool = True) -> tuple[FloatArray, FloatArray]:
    """(impressions, events) of control and treatment, shape (2,) each, where there is enough to compare.

    Raises
    ------
    RoundsError
        There is not.
    """
    arms = (~counts.treated, counts.treated)
    shown = np.array([counts.impressions[rows].sum() for rows in arms])
    events = np.array([counts.events[rows].sum() for rows in arms])
    for name, n, k, rows in zip(("control", "treatment"), shown, events, arms, strict=True):
        if n <= 0:
            raise RoundsError(f"The {name} has no impressions: there is nothing to compare.")
        if counted and k < MIN_EVENTS:
            raise RoundsError(
                f"The {name} has {k:.0f} clicks or conversions, and an interval needs {MIN_EVENTS:.0f}: go on testing."
            )
        some = int(np.count_nonzero(counts.events[rows]))
        if not counted and (k <= 0 or some < MIN_EVENTS):
            raise RoundsError(
                f"The {name} has {some} rows with an amount, {k:g} together, and an interval needs {MIN_EVENTS:.0f} "
                "and more than nothing: go on testing."
            )
    return shown, events


def _split(counts: Counts, design: Design, treated_share: float) -> tuple[SplitCheck | None, float | None]:
    """The split checks, and the p-value of the whole split; periods of items are split by the plan alone."""
    if counts.visitor is not None:
        check_visitors(counts.visitor, counts.treated)
        split = check_units(counts.visitor, counts.item, counts.treated, counts.days, treated_share)
        return split, split.p_value
    if design == "items":
        return None, whole_items_p_value(counts, treated_share)
    if design == "serial":
        return None, None
    split = check_split(counts.treated, counts.item, counts.days, counts.impressions, treated_share)
    return split, split.p_value


def widening(effective_items: float, confidence: float) -> float:
    """Factor that widens an interval with a known error where the error is estimated from so few items.

    The quotient of the t and the normal quantile: a confidence sequence takes the error for known.
    """
    level = 0.5 + confidence / 2
    return float(stats.t.ppf(level, df=max(effective_items - 1.0, 1.0)) / stats.norm.ppf(level))


def check_visitors(visitor: IntArray, treated: BoolArray) -> None:
    """Check that no visitor has seen both arms.

    Raises
    ------
    RoundsError
        One has: it was not visitors that were split.
    """
    n = int(visitor.max()) + 1
    new, old = np.bincount(visitor, treated, minlength=n) > 0, np.bincount(visitor, ~treated, minlength=n) > 0
    if (new & old).any():
        raise RoundsError(
            f"{int((new & old).sum()):,} of {int((new | old).sum()):,} visitors have seen both arms, so it was not "
            "visitors that were split. Map another column to visitor, or none."
        )


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
