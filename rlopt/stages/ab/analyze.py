"""``rlopt ab-analyze``: what an A/B test showed, and whether the offline estimate had been right."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reward.items import Item
from reward.logs.sources.local import LocalSource, Source, local
from reward.logs.spelt_numbers import Decimal
from rlopt.config import AbAnalyzeConfig
from rlopt.files import refuse_in_run
from rlopt.ope.novelty import lift_by_day
from rlopt.ope.past_tests import HISTORY, PastTests, past_tests
from rlopt.run import Run
from rlopt.stages.ab.analysis import Analysis, EvaluationPrediction, decide
from rlopt.stages.ab.assignment import Assignment
from rlopt.stages.ab.covariates import covariates_of
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
from rlopt.stages.common.known_ids import refuse_strangers, tell_known
from rlopt.stages.common.opened import OpenedRun

PLANNED_LIFT = 0.05  # default if neither the user nor an evaluation names one


@dataclass(frozen=True)
class _Asked:
    """The question: settings with those of the plan, metrics, and what was predicted of the one that decides."""

    config: AbAnalyzeConfig
    metrics: Asked
    prediction: EvaluationPrediction | None
    planned_lift: float


def analyze_test(
    run: Run,
    results: Source,
    config: AbAnalyzeConfig | None = None,
    *,
    columns: str | None = None,
    query: str | None = None,
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
        The results, see `read_results`: a file, a table in memory, a database (`reward.logs.sources.local`).
    config
        The metric that decides, and those reported beside it.
    columns
        The user's column names, as in ``--columns``, those of arm, date and visitor among them; the run's mapping
        serves where the file lacks rlopt's names.
    query
        SQL, or a file that holds it: what to ask a database.
    decimal
        Decimal mark of numbers written as texts; None: inferred from the column.
    plan
        File of ``ab-plan --assign``: results are checked against it, and its design, split, control, carry-over, blocks
        and lift apply.
    export
        File for the results as long CSV, see `export_results`; None: no file.

    Raises
    ------
    LogError, EvaluationError
        The results cannot be read or say nothing.
    PolicyError
        There is no such policy.
    """
    if export is not None:
        refuse_in_run(export)
    opened = OpenedRun(run)
    with local(results, query=query) as here:
        return _analyze(opened, here, config or AbAnalyzeConfig(), columns, decimal, plan, export)


def _analyze(
    opened: OpenedRun,
    results: LocalSource,
    config: AbAnalyzeConfig,
    columns: str | None,
    decimal: Decimal | None,
    plan: str | Path | None,
    export: Path | None,
) -> Analysis:
    """Analyse results on this machine, see `analyze_test`."""
    run = opened.run
    planned = Assignment.read(Path(plan)) if plan is not None else None
    asked = _asked(run, config, planned)
    read = _read(opened, results, asked, columns, decimal)
    refuse_strangers(read.items, opened.arms.items, results)
    if planned is not None:
        read = check_plan(planned, read, results, str(plan))
    design = design_of_results(read, asked.metrics.main, asked.config.design)
    kept, left_out = without_carry_over(read, asked.config.carry_over) if design == "serial" else (read, 0.0)
    expected = covariates_of(opened, kept, asked.metrics.main, asked.config, design)
    found = measure(kept, asked.metrics, asked.config, asked.planned_lift, design, expected)
    known = identity(run, asked.config.policy, results, read)
    past = past_tests(run.metrics(HISTORY).rows(), asked.metrics.main.name, but=known["test"])
    analysis = _analysis(found, asked, read, kept, opened.arms.items, left_out, past)
    tell_known(read.items, {item.item_id for item in opened.arms.items}, results)
    remember(run, analysis, results, known)
    inputs = {"file": known["results"], **({"plan": planned.fingerprint} if planned else {})}
    write_report(run, analysis, inputs, asked.config)
    if export is not None:
        export_results(export, kept, asked.metrics)
    return analysis


def _asked(run: Run, config: AbAnalyzeConfig, planned: Assignment | None) -> _Asked:
    config = config if planned is None else as_planned(config, planned)
    metrics = Asked.parse(config.metric, config.guardrail)
    prediction = predicted(run, config, metrics.main)
    return _Asked(config, metrics, prediction, planned_for(config, prediction))


def _read(
    opened: OpenedRun, results: LocalSource, asked: _Asked, columns: str | None, decimal: Decimal | None
) -> Results:
    """The results with the columns that are asked for."""
    own, names = names_of_results(columns)
    covariate = asked.config.covariate
    wanted = tuple(dict.fromkeys([*asked.metrics.columns, *([covariate] if covariate else [])]))
    mapping = mapping_for(opened.run, results, names)
    config = asked.config
    return read_results(
        results, wanted, control=config.control, mapping=mapping, own=own, decimal=decimal, copies=config.copies
    )


def _analysis(
    found: Measured,
    asked: _Asked,
    read: Results,
    kept: Results,
    items: Sequence[Item],
    left_out: float,
    past: PastTests | None,
) -> Analysis:
    """Assemble the analysis of what was measured; of ``read`` the rows ``kept`` were compared."""
    config, variant = asked.config, found.variants[found.chosen]
    own = {row.metric: row for row in found.metrics if row.variant == variant.name}  # a guardrail may be a metric too
    rails = [row for row in found.metrics if row.role == "guardrail" and row.variant == variant.name]
    splits = [one.outcome.split for one in found.variants]
    off = dict.fromkeys(i for split in splits if split is not None for i in split.mismatched)
    segments = segments_off(kept, found.counts, variant.outcome, items, config.by)
    return Analysis(
        outcome=variant.outcome,
        decision="invalid" if segments else decide([o.outcome for o in found.variants], variant.outcome, rails),
        variant=variant.name,
        policy=config.policy,
        metric=asked.metrics.main.name,
        planned_lift=asked.planned_lift,
        prediction=asked.prediction,
        last_date=read.last_date,
        mismatched_items=tuple(read.items[i] for i in off),
        mismatched_segments=segments,
        variants=found.variants,
        best=found.best,
        metrics=found.metrics,
        gains=tuple(gain_of(row, read) for row in own.values()),
        trend=lift_by_day(found.counts, found.comparison, config.confidence),
        segments=segments_of(kept, found.counts, found.comparison, items, config.by, config.confidence),
        left_out=left_out,
        by_visitor=read.visitor is not None,
        by_column=config.covariate is not None,
        past=past,
    )


def predicted(run: Run, config: AbAnalyzeConfig, metric: Metric) -> EvaluationPrediction | None:
    """Prediction of the metric by offline-eval; None where there is none."""
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
