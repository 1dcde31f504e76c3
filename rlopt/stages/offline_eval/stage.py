"""``rlopt offline-eval``: what a policy would have earned, on items that no training has seen."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from reward.arms import Arms
from reward.model.judge import Judge
from reward.model.reward_model import RewardModel
from reward.plain import JsonObject, plain
from rlopt import threads
from rlopt.config import EvalConfig, PpoConfig, RulesConfig, load
from rlopt.errors import EvaluationError
from rlopt.policy.pretrained import quiet_loading
from rlopt.policy.title_policy import TitlePolicy
from rlopt.progress import note, track
from rlopt.report.content import EvaluationReport
from rlopt.run import ENCODINGS, Run
from rlopt.stages.common.policies import load_policy
from rlopt.stages.common.rules import constraints_for
from rlopt.stages.offline_eval.candidate import Candidate, PolicyCandidate, Source, open_candidate
from rlopt.stages.offline_eval.lifts import check_segments
from rlopt.stages.offline_eval.output import write_outputs
from rlopt.stages.offline_eval.report import Truth, make_report
from rlopt.stages.offline_eval.splits import check_items, check_splits, check_trained_on
from rlopt.stages.offline_eval.titles import Case, Written, best_by_reward, judge_titles, logged_titles, write_titles
from rlopt.wording import counted


@dataclass(frozen=True)
class EvaluationResult:
    """What the evaluation found; ``report`` has everything, `to_dict` what programs ask first."""

    folder: Path
    report: EvaluationReport

    def to_dict(self) -> JsonObject:
        """Plain JSON data: the lift over the SFT policy under plain names, that over the logged titles in a group.

        Without an SFT policy to compare with, both are over the logged titles.
        """
        over_logged = self.report.lifts["logged"]
        over_sft = self.report.lifts.get("sft", over_logged)
        truth = self.report.true_lifts or {}
        figures = {policy.policy: policy for policy in self.report.policies}
        mine, sft = figures[self.report.candidate], figures.get("sft")
        return {
            "policy": self.report.candidate,
            "verdict": self.report.verdict.decision,
            "reasons": [reason.message for reason in self.report.verdict.reasons],
            "estimated_lift": over_sft.value,
            "low": over_sft.low,
            "high": over_sft.high,
            "over_logged": {"estimated_lift": over_logged.value, "low": over_logged.low, "high": over_logged.high},
            "true_lift": truth.get("sft", truth.get("logged")),
            "true_lift_over_logged": truth.get("logged"),
            "faithfulness": mine.faithfulness,
            "sft_faithfulness": sft.faithfulness if sft else None,
            "promises": self.report.promises,
            "kl": self.report.kl.value if self.report.kl else None,
            "support_share": mine.support_share,
            "overlap": self.report.overlap.message,
            "items": self.report.n_items,
            "segments": plain(self.report.segments),
            "report": str(self.folder / "report.html"),
        }

    def to_text(self) -> str:
        """The verdict and its reasons, for a person."""
        lines = [f"{self.report.verdict.headline}.", ""]
        lines += [f"  {reason.message}" for reason in self.report.verdict.reasons]
        if self.report.segments:
            lines += ["", "By segment, the worst first (intervals that hold together; q: false discovery rate):"]
            lines += [
                f"  {s.lift:+7.1%}  {s.low:+7.1%} to {s.high:+7.1%}  q {s.q_value:.3f}  {s.column}: {s.value:.60} "
                f"({counted(s.n_items, 'item')})"
                for s in self.report.segments
            ]
        return "\n".join([*lines, "", f"Report: {self.folder / 'report.html'}"])


def evaluate(
    run: Run,
    config: EvalConfig | None = None,
    *,
    truth: Truth | None = None,
    trained_on: str | Path | None = None,
    columns: str | None = None,
) -> EvaluationResult:
    """Judge a policy against the SFT policy and the logged titles; writes ``eval/`` of the run.

    Policies other than ``ppo`` are judged into a folder ``eval-NAME/``. Without an SFT policy in the run, the logged
    titles are the only baseline.

    Parameters
    ----------
    run
        A run with reward and judge.
    config
        Settings of the stage; ``policy`` says who is judged.
    truth
        For simulated logs: true clicks per impression of (items, titles); adds the true lifts to the report.
    trained_on
        For a policy or titles that are not of this run: what they learned from, see
        `rlopt.stages.offline_eval.splits.check_trained_on`.
    columns
        The user's column names in files of titles and of items, as in ``--columns``.

    Raises
    ------
    StageOrderError
        Before the stages that trained the policy, or after one of them changed.
    PolicyError
        When there is no such policy.
    EvaluationError
        When the run has no judge or test items, splits overlap, or the test items have no clicks.
    """
    config = config or EvalConfig()
    run.require("fit-reward")
    source = Source.find(run, config.policy)
    if source.name == config.baseline == "sft":
        raise EvaluationError("The SFT policy cannot be its own baseline. Use --baseline logged.")
    splits = run.splits()
    check_splits(splits)
    inputs = source.fingerprints() | check_trained_on(run, source, trained_on, splits, columns)
    inputs |= {"columns": columns} if columns else {}
    _say_what_is_replaced(run, source, config)
    quiet_loading()
    with run.stage(source.stage, config, inputs) as record:
        random = np.random.default_rng(config.seed)
        arms = run.arms()
        check_items(splits, arms)
        candidate = open_candidate(run, source, columns)
        test = test_arms(arms, covered(splits.test, candidate, source), config, random)
        check_segments(test, config.by)
        sft = baseline_policy(run, source, config)
        policy = candidate.policy if isinstance(candidate, PolicyCandidate) else sft
        if policy is not None:
            torch.set_num_threads(threads.for_model(policy.model.num_parameters()))
        model = RewardModel.load(run / "reward", encodings=run / ENCODINGS)
        judge = Judge.load(run / "judge", encodings=run / ENCODINGS)

        cache = run.checkpoint_dir(source.stage, record.key)
        written = write_all(run, cache, candidate, sft, test, model, config)
        rules = constraints_for(arms.of_items(splits.train), load(RulesConfig, preset=run.preset()))
        judged = judge_titles(written, test, judge, model, rules, config.draws, random)
        case = Case(test, judged, candidate.name, config)
        report = make_report(run, case, len(splits.test), judge, candidate, sft, random, truth)
        learned = run.metrics(source.name).rows() if source.from_run else []
        with run.replacing(source.folder) as folder:
            write_outputs(folder, report, judged, test, learned)
        record.notes.update(verdict=report.verdict.decision, lift=report.lifts["logged"].value)
    shutil.rmtree(run / "checkpoints" / source.stage, ignore_errors=True)
    return EvaluationResult(run / source.folder, report)


def _say_what_is_replaced(run: Run, source: Source, config: EvalConfig) -> None:
    """A report of other titles that had the same name."""
    before = run.manifest["stages"].get(source.stage)
    judged = before["config"].get("policy") if before else None
    if judged and Path(judged).resolve() != Path(config.policy).resolve():
        note(f"{run / source.folder} holds the evaluation of {judged}, which has the same name: it is replaced")


def covered(test_items: Sequence[str], candidate: Candidate, source: Source) -> Sequence[str]:
    """The test items that the candidate has titles for.

    Raises
    ------
    EvaluationError
        Fewer than two.
    """
    chosen = [item_id for item_id in test_items if candidate.covers(item_id)]
    if len(chosen) < 2:
        raise EvaluationError(
            f"{source.path} has titles for {len(chosen)} of this run's {counted(len(test_items), 'test item')}, and a "
            "lift needs two at least. Write titles for the items that `splits.json` in the run's data folder lists as "
            "test."
        )
    if len(chosen) < len(test_items):
        note(f"{source.path} has titles for {len(chosen)} of {len(test_items)} test items: judged on these")
    return chosen


def baseline_policy(run: Run, source: Source, config: EvalConfig) -> TitlePolicy | None:
    """The SFT policy, where the run has one and it is not itself the candidate.

    Raises
    ------
    StageOrderError
        When it is asked for as the baseline and is not there.
    """
    if config.baseline == "sft":
        run.require("sft")
    return load_policy(run / "sft") if run.done("sft") and source.name != "sft" else None


def test_arms(arms: Arms, chosen: Sequence[str], config: EvalConfig, random: np.random.Generator) -> Arms:
    """The logged arms of these test items; at most ``config.max_items`` items, drawn at random."""
    n_items = len(chosen)
    if n_items > config.max_items:
        picked = np.sort(random.permutation(len(chosen))[: config.max_items])
        chosen = [chosen[i] for i in picked]
        note(f"Evaluating on {config.max_items} of {n_items} test items (max_items)")
    test = arms.of_items(set(chosen))
    shown = test.take(test.exposure > 0)
    if shown.clicks.sum() <= 0:
        raise EvaluationError(
            f"The {len(chosen)} test items have no click at all, and a lift over a click rate of zero is not defined. "
            "Give fit-reward more logs."
        )
    return shown


test_arms.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test


def write_all(
    run: Run,
    cache: Path,
    candidate: Candidate,
    sft: TitlePolicy | None,
    test: Arms,
    model: RewardModel,
    config: EvalConfig,
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
            number = np.tile(np.arange(from_sft), len(test.items))
            written.append(by_sft.take(number < config.samples, "sft"))
            if config.best_of:
                tried = by_sft.take(number < config.best_of, "sft")
                written.append(best_by_reward(tried, test.items, model, _risk_aversion(run)))
    return [*written, logged_titles(test)]


def _risk_aversion(run: Run) -> float:
    """What best-of-n takes off for doubt: as much as PPO does."""
    config = run.record("ppo")["config"] if run.done("ppo") else {}
    return float(config.get("risk_aversion", PpoConfig.model_fields["risk_aversion"].default))
