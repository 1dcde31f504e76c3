"""``rlopt offline-eval``: what a policy would have earned, on items that no training has seen."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reward.arms import Arms
from reward.logs.sources.local import LocalCopy, Source, local
from reward.model.caution import cautious_reward
from rlopt.config import EvalConfig, PpoConfig
from rlopt.errors import EvaluationError
from rlopt.policy.title_policy import TitlePolicy
from rlopt.progress import note, track
from rlopt.run import Run
from rlopt.stages.common.evaluated import evaluate_titles
from rlopt.stages.common.held_out import check_splits, shown_arms
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.title_source import PLACE, TitleSource
from rlopt.stages.common.titles import Written, best_of_each_item, logged_titles, write_titles
from rlopt.stages.common.truth import Truth
from rlopt.stages.offline_eval.candidate import Candidate, open_candidate
from rlopt.stages.offline_eval.case import Case
from rlopt.stages.offline_eval.lifts import check_segments
from rlopt.stages.offline_eval.output import write_outputs
from rlopt.stages.offline_eval.rated import digest, rated_by_people
from rlopt.stages.offline_eval.report import make_report
from rlopt.stages.offline_eval.result import EvaluationResult
from rlopt.stages.offline_eval.splits import check_items, check_trained_on
from rlopt.wording import counted


def evaluate(
    run: Run,
    config: EvalConfig | None = None,
    *,
    truth: Truth | None = None,
    titles: Source | None = None,
    trained_on: Source | None = None,
    columns: str | None = None,
    reviews: str | None = None,
) -> EvaluationResult:
    """Evaluate a policy against the SFT policy and the logged titles; writes ``eval/`` of the run.

    Policies other than ``ppo`` are evaluated into a folder ``eval-NAME/``. Without an SFT policy in the run, the logged
    titles are the only baseline.

    Parameters
    ----------
    run
        A run with reward and judge.
    config
        Settings of the stage; ``policy`` says who is evaluated.
    truth
        Adds the true lifts to the report; by default that of the simulated shop whose logs the run was fitted on.
    titles
        Titles to evaluate in place of ``config.policy``, with item_id and title: a table in memory, a file, or what
        else `reward.logs.sources.local` takes. Into ``eval-titles/``.
    trained_on
        For a policy or titles that are not of this run: what they learned from, see
        `rlopt.stages.offline_eval.splits.check_trained_on`.
    columns
        The user's column names in files of titles and of items, as in ``--columns``.
    reviews
        Database of ``rlopt review``, in which people rated titles of this policy.

    Raises
    ------
    StageOrderError
        Before the stages that trained the policy, or after one of them changed.
    PolicyError
        If there is no such policy.
    EvaluationError
        If the run has no judge or test items, splits overlap, or the test items have no clicks.
    """
    config = config or EvalConfig()
    with contextlib.nullcontext() if titles is None else local(titles) as here:
        if here is not None:
            config = EvalConfig(**{**config.model_dump(), "policy": str(here)})
        opened = OpenedRun(run)
        if isinstance(here, LocalCopy):
            source = TitleSource.of_table(run, here)
        else:
            source = TitleSource.find(run, config.policy)
        return _evaluate(opened, source, config, truth, trained_on, columns, reviews)


def _evaluate(
    opened: OpenedRun,
    source: TitleSource,
    config: EvalConfig,
    truth: Truth | None,
    trained_on: Source | None,
    columns: str | None,
    reviews: str | None,
) -> EvaluationResult:
    run, truth = opened.run, truth or opened.truth
    if source.name == config.baseline == "sft":
        raise EvaluationError("The SFT policy cannot be its own baseline. Use --baseline logged.")
    check_splits(opened.splits)
    inputs = source.fingerprints() | check_trained_on(run, source, trained_on, opened.splits, columns)
    inputs |= {"columns": columns} if columns else {}
    rated = rated_by_people(reviews, source, config)
    inputs |= digest(rated)
    with run.stage(source.stage, config, inputs) as record:
        random = np.random.default_rng(config.seed)
        check_items(opened.splits, opened.arms)
        candidate = open_candidate(run, source, columns)
        test = shown_arms(opened.arms, covered(opened.splits.test, candidate, source), config.max_items, random)
        check_segments(test, config.by)
        sft = baseline_policy(opened, source, config)
        model, judge = opened.reward, opened.judge  # a damaged one is found before titles are written
        written = write_all(opened, record.checkpoints, candidate, sft, test, config)
        evaluated = evaluate_titles(written, test, judge, model, opened.constraints, config.draws, random)
        case = Case(test, evaluated, candidate.name, config, source.from_run, rated)
        report = make_report(opened, case, candidate, sft, random, truth)
        learned = run.metrics(source.name).rows() if source.from_run else []
        with run.replacing(source.folder) as folder:
            write_outputs(folder, report, evaluated, test, learned)
        record.notes.update(verdict=report.verdict.decision, lift=report.lifts["logged"].value)
        if not source.from_run:
            record.notes[PLACE] = source.place
    return EvaluationResult(run / source.folder, report)


def covered(test_items: Sequence[str], candidate: Candidate, source: TitleSource) -> Sequence[str]:
    """The test items that the candidate has titles for.

    Raises
    ------
    EvaluationError
        Fewer than two.
    """
    chosen = [item_id for item_id in test_items if candidate.covers(item_id)]
    if len(chosen) < 2:
        raise EvaluationError(
            f"{source.file} has titles for {len(chosen)} of this run's {counted(len(test_items), 'test item')}, and a "
            "lift needs two at least. Write titles for the items that `splits.json` in the run's data folder lists as "
            "test."
        )
    if len(chosen) < len(test_items):
        note(f"{source.file} has titles for {len(chosen)} of {len(test_items)} test items: evaluated on these")
    return chosen


def baseline_policy(opened: OpenedRun, source: TitleSource, config: EvalConfig) -> TitlePolicy | None:
    """The SFT policy, where the run has one and it is not itself the candidate.

    Raises
    ------
    StageOrderError
        If it is asked for as the baseline and is not there.
    """
    if config.baseline == "sft":
        opened.run.require("sft")
    return opened.policy("sft") if opened.run.done("sft") and source.name != "sft" else None


def write_all(
    opened: OpenedRun, cache: Path, candidate: Candidate, sft: TitlePolicy | None, test: Arms, config: EvalConfig
) -> list[Written]:
    """Titles by the candidate, by SFT and by best-of-n, then the logged ones."""
    from_sft = max(config.samples, config.best_of) if sft is not None else 0
    with track("Writing titles", len(test.items) * (config.samples + from_sft)) as bar:
        written = [candidate.write(test, config, cache, bar)]
        if sft is not None:
            by_sft = write_titles(
                "sft",
                sft,
                test.items,
                from_sft,
                temperature=config.temperature,
                seed=config.seed,
                cache=cache / "sft.jsonl",
                bar=bar,
            )
            written.append(by_sft.first(config.samples, "sft"))
            if config.best_of:
                written.append(_best_by_reward(opened, by_sft.first(config.best_of, "sft"), test))
    return [*written, logged_titles(test)]


def _best_by_reward(opened: OpenedRun, candidates: Written, test: Arms) -> Written:
    """Each item's candidate with the best reward, with as much taken off for doubt as PPO takes."""
    config = opened.run.record("ppo")["config"] if opened.run.done("ppo") else {}
    risk_aversion = float(config.get("risk_aversion", PpoConfig.model_fields["risk_aversion"].default))
    predicted = opened.reward.predict([test.items[i] for i in candidates.item], candidates.title)
    return best_of_each_item(candidates, cautious_reward(predicted, risk_aversion), "best_of")
