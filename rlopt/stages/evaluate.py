"""``rlopt offline-eval``: what the PPO policy would have earned, on items that no training has seen."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reward.arms import Arms
from reward.logs.splits import Splits
from reward.model.judge import Judge
from reward.model.reward_model import RewardModel
from rlopt import threads
from rlopt.config import EvalConfig, RulesConfig, load
from rlopt.errors import EvaluationError
from rlopt.files import fingerprint
from rlopt.policy.pretrained import quiet_loading
from rlopt.policy.title_policy import TitlePolicy
from rlopt.progress import note, track
from rlopt.report.content import EvaluationReport
from rlopt.run import ENCODINGS, Run
from rlopt.stages.eval_output import write_outputs
from rlopt.stages.eval_report import Truth, make_report
from rlopt.stages.eval_splits import check_items, check_splits, check_trained_on
from rlopt.stages.eval_titles import Written, best_by_reward, judge_titles, logged_titles, write_titles
from rlopt.stages.rules import constraints_for


@dataclass(frozen=True)
class EvaluationResult:
    """What the evaluation found; ``report`` has everything, `to_dict` what programs ask first."""

    folder: Path
    report: EvaluationReport

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data: the lift over the SFT policy under plain names, that over the logged titles in a group."""
        over_sft, over_logged = self.report.lifts["sft"], self.report.lifts["logged"]
        truth = self.report.true_lifts or {}
        return {
            "verdict": self.report.verdict.decision,
            "reasons": [reason.message for reason in self.report.verdict.reasons],
            "estimated_lift": over_sft.value,
            "low": over_sft.low,
            "high": over_sft.high,
            "over_logged": {"estimated_lift": over_logged.value, "low": over_logged.low, "high": over_logged.high},
            "true_lift": truth.get("sft"),
            "true_lift_over_logged": truth.get("logged"),
            "faithfulness": self.report.policies[0].faithfulness,
            "sft_faithfulness": self.report.policies[1].faithfulness,
            "kl": self.report.kl.value,
            "support_share": self.report.policies[0].support_share,
            "overlap": self.report.overlap.message,
            "items": self.report.n_items,
            "segments": [segment.to_dict() for segment in self.report.segments],
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
                f"({s.n_items} items)"
                for s in self.report.segments
            ]
        return "\n".join([*lines, "", f"Report: {self.folder / 'report.html'}"])


def evaluate(
    run: Run,
    config: EvalConfig | None = None,
    *,
    truth: Truth | None = None,
    trained_on: str | Path | None = None,
) -> EvaluationResult:
    """Judge the PPO policy against the SFT policy and the logged titles; writes ``eval/`` of the run.

    Parameters
    ----------
    run
        A run with reward, judge, SFT and PPO policy.
    config
        Settings of the stage.
    truth
        For simulated logs: true clicks per impression of (items, titles); adds the true lifts to the report.
    trained_on
        For a policy that was not trained by this run: file with the item_id of every item it learned from.

    Raises
    ------
    StageOrderError
        Before ``fit-reward``, ``sft`` and ``ppo``, or after one of them changed.
    EvaluationError
        When the run has no judge or test items, splits overlap, or the test items have no clicks.
    """
    config = config or EvalConfig()
    run.require("fit-reward", "sft", "ppo")
    splits = run.splits()
    check_splits(splits)
    inputs = {}
    if trained_on is not None:
        check_trained_on(run, trained_on, splits)
        inputs["trained-on"] = fingerprint(Path(trained_on))
    quiet_loading()
    with run.stage("offline-eval", config, inputs) as record:
        random = np.random.default_rng(config.seed)
        arms = run.arms()
        check_items(splits, arms)
        test = test_arms(arms, splits, config, random)
        ppo, sft = TitlePolicy.load(run / "ppo"), TitlePolicy.load(run / "sft")
        torch.set_num_threads(threads.for_model(ppo.model.num_parameters()))
        model = RewardModel.load(run / "reward", encodings=run / ENCODINGS)
        judge = Judge.load(run / "judge", encodings=run / ENCODINGS)

        written = write_all(run, record.key, ppo, sft, test, model, config)
        rules = constraints_for(ppo, arms.of_items(splits.train), load(RulesConfig, preset=run.preset()))
        judged = judge_titles(written, test, judge, model, rules, config.draws, random)
        report = make_report(run, config, test, len(splits.test), judged, judge, ppo, sft, random, truth)
        with run.replacing("eval") as folder:
            write_outputs(folder, report, judged, test, run.metrics("ppo").rows())
        record.notes.update(verdict=report.verdict.decision, lift=report.lifts["sft"].value)
    shutil.rmtree(run / "checkpoints" / "offline-eval", ignore_errors=True)
    return EvaluationResult(run / "eval", report)


def test_arms(arms: Arms, splits: Splits, config: EvalConfig, random: np.random.Generator) -> Arms:
    """The test items' logged arms; at most ``config.max_items`` items, drawn at random."""
    chosen: Sequence[str] = splits.test
    if len(chosen) > config.max_items:
        picked = np.sort(random.permutation(len(chosen))[: config.max_items])
        chosen = [chosen[i] for i in picked]
        note(f"Evaluating on {config.max_items} of {len(splits.test)} test items (max_items)")
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
    run: Run, key: str, ppo: TitlePolicy, sft: TitlePolicy, test: Arms, model: RewardModel, config: EvalConfig
) -> list[Written]:
    """Titles by PPO, SFT and best-of-n, then the logged ones."""
    cache = run.checkpoint_dir("offline-eval", key)
    from_sft = max(config.samples, config.best_of)
    with track("Writing titles", len(test.items) * (config.samples + from_sft)) as bar:
        by_ppo, by_sft = (
            write_titles(
                name,
                policy,
                test.items,
                n,
                temperature=config.temperature,
                seed=config.seed,
                cache=cache / f"{name}.jsonl",
                bar=bar,
            )
            for name, policy, n in (("ppo", ppo, config.samples), ("sft", sft, from_sft))
        )
    number = np.tile(np.arange(from_sft), len(test.items))
    written = [by_ppo, by_sft.take(number < config.samples, "sft")]
    if config.best_of:
        risk_aversion = float(run.record("ppo")["config"].get("risk_aversion", 0.0))
        written.append(best_by_reward(by_sft.take(number < config.best_of, "sft"), test.items, model, risk_aversion))
    return [*written, logged_titles(test)]
