"""``rlopt ab-analyze``: what an A/B test showed, and whether the offline estimate had been right."""

from dataclasses import dataclass
from pathlib import Path

from reward.plain import JsonObject, plain
from rlopt.files import fingerprint
from rlopt.ope.abtest import TestOutcome, analyze
from rlopt.progress import note
from rlopt.run import Run
from rlopt.stages.ab.plan import evaluation_of
from rlopt.stages.ab.results import names_of_results, read_results
from rlopt.stages.common.columns import mapping_for

PLANNED_LIFT = 0.05  # where neither the user nor an evaluation names one
HISTORY = "calibration"


@dataclass(frozen=True)
class EvaluationPrediction:
    """What offline-eval had said: the lift over ``baseline`` with its interval, and its verdict on the policy."""

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
        What the test showed.
    policy
        Whose titles were tested.
    metric
        "clicks" or "conversions".
    planned_lift
        What the confidence sequence was shaped for.
    prediction
        What offline-eval had said; None where the run has no evaluation of the policy, or none of this metric.
    last_date
        Last day of the results, None without dates.
    """

    outcome: TestOutcome
    policy: str
    metric: str
    planned_lift: float
    prediction: EvaluationPrediction | None
    last_date: str | None

    @property
    def agrees(self) -> bool | None:
        """Whether the predicted interval and the one that decides meet; None without a prediction or a valid test."""
        if self.prediction is None or self.outcome.decision == "invalid":
            return None
        seen = self.outcome
        fixed = seen.decided_by == "fixed-horizon"
        low, high = (seen.low, seen.high) if fixed else (seen.always_low, seen.always_high)
        return bool(self.prediction.low <= high and low <= self.prediction.high)

    def to_dict(self) -> JsonObject:
        """Plain JSON data."""
        return {
            "policy": self.policy,
            "metric": self.metric,
            "planned_lift": self.planned_lift,
            "last_date": self.last_date,
            "outcome": plain(self.outcome),
            "prediction": plain(self.prediction),
            "agrees": self.agrees,
        }


def analyze_test(
    run: Run,
    results: str | Path,
    *,
    metric: str = "clicks",
    baseline: str = "logged",
    control: str = "control",
    split: float = 0.5,
    planned_lift: float | None = None,
    confidence: float = 0.95,
    final: bool = False,
    policy: str = "ppo",
    columns: str | None = None,
) -> Analysis:
    """Analyse the results of an A/B test and note prediction and outcome in the run's calibration history.

    Parameters
    ----------
    run
        The run that evaluated the policy.
    results
        File of results, see `read_results`.
    metric
        "clicks" or "conversions".
    baseline
        "logged" or "sft": what the control showed, so which predicted lift to compare with.
    control
        Name of the control arm.
    split
        Intended share of impressions in the treatment.
    planned_lift
        Lift the test was planned for; None: the predicted one, else 5 %.
    confidence
        Of the intervals.
    final
        The planned end, looked at once.
    policy
        Whose titles the treatment showed, as offline-eval was told it (``--policy``).
    columns
        The user's column names, as in ``--columns``, those of arm and date among them; the run's mapping serves where
        the file lacks rlopt's names.

    Raises
    ------
    LogError, EvaluationError
        The results cannot be read or say nothing.
    PolicyError
        There is no such policy.
    """
    run.require("fit-reward")
    report = evaluation_of(run, policy)
    predicted = report.lift(metric, baseline) if report else None
    if planned_lift is None:
        planned_lift = predicted.value if predicted and abs(predicted.value) > 0.005 else PLANNED_LIFT
    own, names = names_of_results(columns)
    read = read_results(results, metric=metric, control=control, mapping=mapping_for(run, results, names), own=own)
    outcome = analyze(read.counts, planned_lift=planned_lift, treated_share=split, confidence=confidence, final=final)
    prediction = None
    if report and predicted:
        prediction = EvaluationPrediction(
            predicted.value, predicted.low, predicted.high, baseline, report.verdict.decision
        )
    analysis = Analysis(outcome, policy, metric, planned_lift, prediction, read.last_date)
    remember(run, analysis, Path(results))
    return analysis


def remember(run: Run, analysis: Analysis, results: Path) -> None:
    """Append prediction and outcome to the calibration history; the same results against the same prediction once."""
    history = run.metrics(HISTORY)
    content = fingerprint(results) if results.is_file() else str(results)
    row = {"results": content, "file": str(results.resolve()), **analysis.to_dict()}
    if row in history.rows():
        note("These results are in the calibration history already")
    else:
        history.write(row)
