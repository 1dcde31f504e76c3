"""``rlopt ab-analyze``: what an A/B test showed, and whether the offline estimate had been right."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import stats

from reward.arrays import FloatArray
from reward.logs.source import find_files
from reward.logs.spelt_numbers import Decimal
from reward.plain import JsonObject, plain
from rlopt.algorithms import POLICIES
from rlopt.files import fingerprint
from rlopt.ope.abtest import TestOutcome, analyze
from rlopt.progress import note
from rlopt.run import Run
from rlopt.stages.ab.plan import evaluation_of
from rlopt.stages.ab.results import Results, names_of_results, read_results
from rlopt.stages.common.columns import mapping_for
from rlopt.stages.common.known_ids import check_known
from rlopt.stages.common.title_source import TitleSource

PLANNED_LIFT = 0.05  # where neither the user nor an evaluation names one
HISTORY = "calibration"
PRIOR_EVENTS = 5.0


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
    mismatched_items
        Items whose split is not the others', worst first.
    """

    outcome: TestOutcome
    policy: str
    metric: str
    planned_lift: float
    prediction: EvaluationPrediction | None
    last_date: str | None
    mismatched_items: tuple[str, ...] = ()

    @property
    def difference_z(self) -> float | None:
        """Predicted less observed lift over the error of both, on the log scale; None without a prediction or test."""
        if self.prediction is None or self.outcome.decision == "invalid":
            return None
        seen, said = self.outcome, self.prediction
        mine, theirs = (_std_error(x.low, x.high, seen.confidence) for x in (seen, said))
        return float((np.log1p(said.lift) - np.log1p(seen.lift)) / np.hypot(mine, theirs))

    @property
    def agrees(self) -> bool | None:
        """Whether prediction and outcome differ by no more than their errors; None without either."""
        z = self.difference_z
        return None if z is None else bool(abs(z) <= stats.norm.ppf(0.5 + self.outcome.confidence / 2))

    @property
    def told_apart(self) -> bool | None:
        """Whether the test is long enough to tell the prediction from no lift at all; None without a prediction."""
        if self.prediction is None or self.outcome.decision == "invalid":
            return None
        error = _std_error(self.outcome.low, self.outcome.high, self.outcome.confidence)
        return bool(abs(np.log1p(self.prediction.lift)) > stats.norm.ppf(0.5 + self.outcome.confidence / 2) * error)

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
            "difference_z": self.difference_z,
            "told_apart": self.told_apart,
            "mismatched_items": list(self.mismatched_items),
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
    decimal: Decimal | None = None,
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
    decimal
        What stands before a fraction in numbers written as texts; None: what the column tells.

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
    read = read_results(
        results, metric=metric, control=control, mapping=mapping_for(run, results, names), own=own, decimal=decimal
    )
    counts = replace(read.counts, expected=expected_events(run, read, metric))
    outcome = analyze(counts, planned_lift=planned_lift, treated_share=split, confidence=confidence, final=final)
    prediction = None
    if report and predicted:
        prediction = EvaluationPrediction(
            predicted.value, predicted.low, predicted.high, baseline, report.verdict.decision
        )
    off = tuple(read.items[i] for i in outcome.split.mismatched) if outcome.split else ()
    analysis = Analysis(outcome, policy, metric, planned_lift, prediction, read.last_date, off)
    check_known(read.items, run.arms().items, results)
    remember(run, analysis, results, read)
    return analysis


def expected_events(run: Run, read: Results, metric: str) -> FloatArray | None:
    """Events expected of each row by the run's logs, whichever arm its item went to; None where most are not known.

    An item's logged rate is drawn to that of all by `PRIOR_EVENTS`; an item that the logs do not hold has that of all.
    """
    arms = run.arms()
    events = arms.clicks if metric == "clicks" else arms.conversions
    if events is None or not events.sum() > 0:
        return None
    known = {item.item_id: i for i, item in enumerate(arms.items)}
    where = np.array([known.get(item, -1) for item in read.items])
    if np.mean(where >= 0) < 0.5:
        return None
    total = np.bincount(arms.item_index, events, minlength=len(arms.items))
    exposed = np.bincount(arms.item_index, arms.exposure, minlength=len(arms.items))
    mean = float(total.sum() / exposed.sum())
    rate = (total + PRIOR_EVENTS) / (exposed + PRIOR_EVENTS / mean)
    return np.asarray(np.where(where >= 0, rate[where], mean)[read.counts.item] * read.counts.impressions)


def _std_error(low: float, high: float, confidence: float) -> float:
    """On the log scale, of an interval of a lift."""
    return float((np.log1p(high) - np.log1p(max(low, -1 + 1e-9))) / 2 / stats.norm.ppf(0.5 + confidence / 2))


def remember(run: Run, analysis: Analysis, results: str | Path, read: Results) -> None:
    """Append prediction and outcome to the calibration history; the same results against the same prediction once.

    A test is known by what it holds: its first day, or the items of results without days; the policy by its content.
    Where the files lie is kept for people.
    """
    files = find_files(results)
    row = {
        "results": _digest(sorted(map(fingerprint, files))),
        "test": _digest([read.first_date] if read.first_date is not None else sorted(set(read.items))),
        "candidate": _content(run, analysis.policy),
        "file": str(Path(results).resolve()),
        **analysis.to_dict(),
    }
    history = run.metrics(HISTORY)
    if _without_places(row) in map(_without_places, history.rows()):
        note("These results are in the calibration history already")
    else:
        history.write(row)


def _without_places(row: JsonObject) -> JsonObject:
    return {name: value for name, value in plain(row).items() if name not in ("file", "policy")}


def _content(run: Run, policy: str) -> str:
    """A policy of the run by its name, one from elsewhere by its content."""
    return policy if policy in POLICIES else TitleSource.find(run, policy).fingerprints()["policy"]


def _digest(texts: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(texts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
