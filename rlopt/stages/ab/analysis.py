"""Result of ``ab-analyze``: the decision, its grounds, and the prediction beside the outcome."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from reward.plain import JsonObject, plain
from rlopt.ope.abtest import TestOutcome
from rlopt.ope.novelty import Trend
from rlopt.ope.past_tests import PastTests
from rlopt.ope.segments import Segment
from rlopt.stages.ab.gains import Gain
from rlopt.stages.ab.measure import Best, Variant
from rlopt.stages.ab.metrics import MetricResult

Decision = Literal["better", "worse", "undecided", "invalid"]


@dataclass(frozen=True)
class EvaluationPrediction:
    """Prediction by offline-eval: the lift over ``baseline`` with its interval, and its verdict on the policy."""

    lift: float
    low: float
    high: float
    baseline: str
    verdict: str


@dataclass(frozen=True)
class Analysis:
    """Outcome of the test beside the prediction.

    Parameters
    ----------
    outcome
        Outcome of the variant that the decision is about, by the metric that decides.
    decision
        "invalid" where any variant's split is off, "worse" where the interval or a broken guardrail says so, "better"
        where the interval says so and all guardrails hold, else "undecided".
    variant
        Its name.
    policy
        Policy whose titles were tested.
    metric
        The metric that decides.
    planned_lift
        Lift for which the confidence sequence was shaped.
    prediction
        Prediction of offline-eval; None where the run has no evaluation of the policy, or none of this metric.
    last_date
        Last day of the results, None without dates.
    mismatched_items
        Items whose split is not the others', worst first.
    mismatched_segments
        Segments whose split is not the others', worst first.
    variants, best
        All variants, and the best one corrected for selection (None of a single one).
    metrics
        Every metric of every variant, guardrails among them.
    gains
        Gains of the chosen variant, by metric.
    trend
        Lift by day; None without enough days.
    segments
        Lift by item fields, where these were asked for.
    left_out
        Share of a serial test's impressions that was left out as carry-over.
    by_visitor
        True if errors are by the randomised unit; else impressions count as independent.
    by_column
        True if the lift is adjusted by a column of the results; else, if at all, by the run's data on the items.
    past
        Predictions against outcomes of the run's tests before this one, from three on.
    """

    outcome: TestOutcome
    decision: Decision
    variant: str
    policy: str
    metric: str
    planned_lift: float
    prediction: EvaluationPrediction | None
    last_date: str | None
    mismatched_items: tuple[str, ...] = ()
    mismatched_segments: tuple[str, ...] = ()
    variants: tuple[Variant, ...] = ()
    best: Best | None = None
    metrics: tuple[MetricResult, ...] = ()
    gains: tuple[Gain, ...] = ()
    trend: Trend | None = None
    segments: tuple[Segment, ...] = ()
    left_out: float = 0.0
    by_visitor: bool = False
    by_column: bool = False
    past: PastTests | None = None

    @property
    def difference_z(self) -> float | None:
        """Predicted less observed lift over the error of both, on the log scale; None without a prediction or test."""
        if self.prediction is None or self.outcome.decision == "invalid":
            return None
        seen, said = self.outcome, self.prediction
        theirs = _std_error(said.low, said.high, seen.confidence)
        return float((np.log1p(said.lift) - np.log1p(seen.lift)) / np.hypot(seen.std_error, theirs))

    @property
    def agrees(self) -> bool | None:
        """True if prediction and outcome differ by no more than their errors; None without either."""
        z = self.difference_z
        return None if z is None else bool(abs(z) <= stats.norm.ppf(0.5 + self.outcome.confidence / 2))

    @property
    def told_apart(self) -> bool | None:
        """True if the test by itself shows a lift in the predicted direction; None without a prediction.

        Only then is agreement reported: a result that fits both the prediction and no lift confirms neither.
        """
        if self.prediction is None or self.outcome.decision == "invalid":
            return None
        return self.outcome.low > 0 if self.prediction.lift > 0 else self.outcome.high < 0

    @property
    def rescaled(self) -> tuple[float, float, float] | None:
        """The prediction as the tests before say it should be read; None without either."""
        said = self.prediction
        if said is None or self.past is None:
            return None
        return self.past.rescaled(said.lift, said.low, said.high, self.outcome.confidence)

    def to_dict(self) -> JsonObject:
        """Plain JSON data."""
        return {
            "policy": self.policy,
            "metric": self.metric,
            "decision": self.decision,
            "variant": self.variant,
            "planned_lift": self.planned_lift,
            "last_date": self.last_date,
            "outcome": plain(self.outcome),
            "prediction": plain(self.prediction),
            "agrees": self.agrees,
            "difference_z": self.difference_z,
            "told_apart": self.told_apart,
            "mismatched_items": list(self.mismatched_items),
            "mismatched_segments": list(self.mismatched_segments),
            "variants": plain(self.variants),
            "best": plain(self.best),
            "metrics": plain(self.metrics),
            "gains": plain(self.gains),
            "trend": plain(self.trend),
            "segments": plain(self.segments),
            "left_out": self.left_out,
            "by_visitor": self.by_visitor,
            "by_column": self.by_column,
            "past_tests": plain(self.past),
            "rescaled_prediction": plain(self.rescaled),
        }


def decide(mains: Sequence[TestOutcome], chosen: TestOutcome, guardrails: Sequence[MetricResult]) -> Decision:
    """The decision on one variant: invalid first, then harm, then gain."""
    if any(outcome.decision == "invalid" for outcome in mains):
        return "invalid"
    status = [row.status for row in guardrails]
    if chosen.decision == "worse" or "broken" in status:
        return "worse"
    if chosen.decision == "better" and all(one == "held" for one in status):
        return "better"
    return "undecided"


def _std_error(low: float, high: float, confidence: float) -> float:
    """On the log scale, of an interval of a lift."""
    return float((np.log1p(high) - np.log1p(max(low, -1 + 1e-9))) / 2 / stats.norm.ppf(0.5 + confidence / 2))
