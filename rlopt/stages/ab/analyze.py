"""``rlopt ab-analyze``: what an A/B test showed, and whether the offline estimate had been right."""

from pathlib import Path
from typing import Any

import numpy as np

from reward.arrays import FloatArray
from reward.logs.spelt_numbers import Decimal
from rlopt.config import AbAnalyzeConfig
from rlopt.errors import EvaluationError
from rlopt.files import refuse_in_run
from rlopt.ope.comparison import Design
from rlopt.ope.novelty import lift_by_day
from rlopt.ope.past_tests import HISTORY, past_tests
from rlopt.run import Run
from rlopt.stages.ab.analysis import Analysis, EvaluationPrediction, decide
from rlopt.stages.ab.assignment import Assignment
from rlopt.stages.ab.gains import gain_of
from rlopt.stages.ab.history import identity, remember
from rlopt.stages.ab.item_segments import segments_of, segments_off
from rlopt.stages.ab.measure import Measured, design_of_results, measure, without_carry_over
from rlopt.stages.ab.metrics import Asked, Metric
from rlopt.stages.ab.output import export_results, write_report
from rlopt.stages.ab.plan import evaluation_of
from rlopt.stages.ab.plan_check import as_planned, check_plan
from rlopt.stages.ab.results import Results, names_of_results, read_results
from rlopt.stages.common.columns import mapping_for
from rlopt.stages.common.known_ids import check_known

PLANNED_LIFT = 0.05  # where neither the user nor an evaluation names one
PRIOR_EVENTS = 5.0


def analyze_test(
    run: Run,
    results: str | Path,
    config: AbAnalyzeConfig | None = None,
    *,
    columns: str | None = None,
    decimal: Decimal | None = None,
    plan: str | Path | None = None,
    export: Path | None = None,
) -> Analysis:
    """Analyse the results of an A/B test and note prediction and outcome in the run's calibration history.

    Parameters
    ----------
    run
        The run that evaluated the policy.
    results
        File of results, see `read_results`.
    config
        What decides, and what is told beside it.
    columns
        The user's column names, as in ``--columns``, those of arm, date and visitor among them; the run's mapping
        serves where the file lacks rlopt's names.
    decimal
        What stands before a fraction in numbers written as texts; None: what the column tells.
    plan
        File of ``ab-plan --assign``: results are checked against it, and its design, split, control, carry-over and
        lift apply.
    export
        Where the results are written as long CSV, see `export_results`; None: nowhere.

    Raises
    ------
    LogError, EvaluationError
        The results cannot be read or say nothing.
    PolicyError
        There is no such policy.
    """
    config = config or AbAnalyzeConfig()
    if export is not None:
        refuse_in_run(export)
    run.require("fit-reward")
    planned = Assignment.read(Path(plan)) if plan is not None else None
    if planned is not None:
        config = as_planned(config, planned)
    asked = Asked.parse(config.metric, config.guardrail)
    prediction = predicted(run, config, asked.main)
    planned_lift = planned_for(config, prediction)
    own, names = names_of_results(columns)
    mapping = mapping_for(run, results, names)
    wanted = dict.fromkeys([*asked.columns, *([config.covariate] if config.covariate else [])])
    read = read_results(results, tuple(wanted), control=config.control, mapping=mapping, own=own, decimal=decimal)
    if planned is not None and plan is not None:
        check_plan(planned, read, results, plan)
    design = design_of_results(read, asked.main, config.design)
    compared, left_out = without_carry_over(read, config.carry_over) if design == "serial" else (read, 0.0)
    expected = covariate_of(run, compared, asked.main, config, design)
    found = measure(compared, asked, config, planned_lift, design, expected)
    items = run.arms().items
    off = segments_off(compared, found.counts, found.variants[found.chosen].outcome, items, config.by)
    known = identity(run, config.policy, results, read)
    analysis = Analysis(
        **_of_measured(found, read, off),
        policy=config.policy,
        metric=asked.main.name,
        planned_lift=planned_lift,
        prediction=prediction,
        last_date=read.last_date,
        gains=tuple(gain_of(row, read) for row in found.metrics if row.variant == found.variants[found.chosen].name),
        trend=lift_by_day(found.counts, found.comparison, config.confidence),
        segments=segments_of(compared, found.counts, found.comparison, items, config.by, config.confidence),
        left_out=left_out,
        by_visitor=read.visitor is not None,
        past=past_tests(run.metrics(HISTORY).rows(), asked.main.name, but=known["test"]),
    )
    check_known(read.items, items, results)
    remember(run, analysis, results, known)
    write_report(
        run, analysis, {"file": known["results"], **({"plan": planned.fingerprint} if planned else {})}, config
    )
    if export is not None:
        export_results(export, compared, asked)
    return analysis


def predicted(run: Run, config: AbAnalyzeConfig, metric: Metric) -> EvaluationPrediction | None:
    """What offline-eval had said of the metric; None where it said nothing."""
    report = evaluation_of(run, config.policy)
    lift = report.lift(metric.name, config.baseline) if report else None
    if report is None or lift is None:
        return None
    return EvaluationPrediction(lift.value, lift.low, lift.high, config.baseline, report.verdict.decision)


def planned_for(config: AbAnalyzeConfig, prediction: EvaluationPrediction | None) -> float:
    """The lift that the confidence sequence is shaped for: as said, as predicted, or `PLANNED_LIFT`."""
    if config.planned_lift is not None:
        return config.planned_lift
    return prediction.lift if prediction is not None and abs(prediction.lift) > 0.005 else PLANNED_LIFT


def covariate_of(run: Run, read: Results, metric: Metric, config: AbAnalyzeConfig, design: Design) -> FloatArray | None:
    """What the comparison is adjusted by: the column that was named, or of whole items their logged rates.

    Raises
    ------
    EvaluationError
        The column has values below zero.
    """
    if config.covariate is None:
        return expected_events(run, read, metric) if design == "items" else None
    values = read.values[config.covariate]
    if (values < 0).any():
        row = int(np.argmax(values < 0))
        told = f"Got {values[row]:g} in row {row + 1}."
        raise EvaluationError(f"{config.covariate} (--covariate) must be 0 or more. {told}")
    return values


def expected_events(run: Run, read: Results, metric: Metric) -> FloatArray | None:
    """Events expected of each row by the run's logs, whichever arm its item went to; None where most are not known.

    An item's logged rate is drawn to that of all by `PRIOR_EVENTS`; an item that the logs do not hold has that of all.
    Revenue is expected as conversions are.
    """
    arms = run.arms()
    if metric.denominator != "impressions":
        return None
    events = {"clicks": arms.clicks, "conversions": arms.conversions, "revenue": arms.conversions}.get(metric.numerator)
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
    return np.asarray(np.where(where >= 0, rate[where], mean)[read.item] * read.values["impressions"])


def _of_measured(found: Measured, read: Results, segments: tuple[str, ...]) -> dict[str, Any]:
    """The fields of `Analysis` that are about the chosen variant."""
    variant = found.variants[found.chosen]
    rails = [row for row in found.metrics if row.role == "guardrail" and row.variant == variant.name]
    splits = [one.outcome.split for one in found.variants]
    off = dict.fromkeys(i for split in splits if split is not None for i in split.mismatched)
    return {
        "outcome": variant.outcome,
        "decision": "invalid" if segments else decide([o.outcome for o in found.variants], variant.outcome, rails),
        "mismatched_segments": segments,
        "variant": variant.name,
        "mismatched_items": tuple(read.items[i] for i in off),
        "variants": found.variants,
        "best": found.best,
        "metrics": found.metrics,
    }
