"""``rlopt ppo``: the title policy, improved by PPO against the reward model."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reward.arms import Arms
from reward.items import Item
from reward.model import RewardModel
from rlopt import threads
from rlopt.config import PpoConfig, RulesConfig, SftConfig, load
from rlopt.policy.pretrained import quiet_loading
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.title_policy import TitlePolicy
from rlopt.progress import note, track
from rlopt.report.cards import policy_card
from rlopt.run import ENCODINGS, Run, package_versions
from rlopt.stages.rules import constraints_for
from rlopt.stages.sft import LARGE_MODEL_MICRO_BATCH, LAST_STEPS, train_sft
from rlopt.training.callbacks import JsonLines
from rlopt.training.checkpoints import newest_checkpoint, step_of
from rlopt.training.ppo.learn import PpoSettings, improve
from rlopt.training.rewards import LiftScale, TitleRewards

SCALE_ITEMS = 256
SHOWN = {
    "objective/predicted_lift": "lift",
    "objective/kl": "kl",
    "val/explained_variance": "explained",
    "constraints/violated": "violations",
}


@dataclass(frozen=True)
class PpoResult:
    """What came of the training: means over the last updates."""

    folder: Path
    steps: int
    predicted_lift: float | None
    kl: float | None
    violations: float | None
    explained_variance: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {**asdict(self), "folder": str(self.folder)}


def train_ppo(run: Run, config: PpoConfig | None = None) -> PpoResult:
    """Improve the SFT policy against the reward model on the train items; writes ``ppo/`` of the run.

    Trains the SFT policy first when the run has none, and says so.

    Raises
    ------
    StageOrderError
        Before ``fit-reward``.
    PolicyError
        When the SFT policy cannot be loaded, or training breaks down.
    """
    config = config or PpoConfig()
    run.require("fit-reward")
    if not run.done("sft"):
        note("This run has no supervised policy yet: training it first (rlopt sft).")
        train_sft(run, SftConfig(**{"seed": config.seed, **(run.preset().get("sft") or {})}))
    quiet_loading()
    arms = run.arms().of_items(run.splits().train)
    with run.stage("ppo", config) as record:
        policy = TitlePolicy.load(run / "sft")
        model = RewardModel.load(run / "reward", encodings=run / ENCODINGS)
        torch.set_num_threads(threads.for_model(policy.model.num_parameters()))
        checkpoints = run.checkpoint_dir("ppo", record.key)
        done = step_of(newest_checkpoint(checkpoints))
        metrics = run.metrics("ppo")
        metrics.truncate_after(done)
        constraints = constraints_for(policy, arms, load(RulesConfig, preset=run.preset()))
        scale = lift_scale(policy, model, arms, config.seed)
        rewards = TitleRewards(
            arms.items,
            policy.renderer,
            model.predict,
            scale,
            constraints,
            config.risk_aversion,
            int(policy.tokenizer.eos_token_id),
        )
        settings = _settings(config, policy, run)
        note(f"PPO on {len(arms.items)} items, {settings.steps} updates of {settings.batch_size} titles")
        with track("PPO", settings.steps, start=done) as bar:
            callbacks = [JsonLines(metrics, bar, SHOWN)]
            improved = improve(policy, run / "sft", arms.items, rewards, settings, checkpoints, callbacks)
        result = _result(run, settings.steps, metrics.rows())
        with run.replacing("ppo") as folder:
            improved.save(folder)
            card = policy_card(
                "ppo",
                base_model=run.record("sft")["config"].get("model"),
                parameters=improved.model.num_parameters(),
                n_items=len(arms.items),
                figures={k: v for k, v in result.to_dict().items() if k != "folder"},
                settings=config.model_dump(mode="json"),
                versions=package_versions(),
                slots=isinstance(improved.renderer, SlotRenderer),
            )
            (folder / "README.md").write_text(card, encoding="utf-8")
        record.notes.update({k: v for k, v in result.to_dict().items() if k != "folder"})
    shutil.rmtree(run / "checkpoints" / "ppo", ignore_errors=True)
    return result


def lift_scale(policy: TitlePolicy, model: RewardModel, arms: Arms, seed: int) -> LiftScale:
    """Baseline of each item: the mean predicted reward of its logged titles; spread: over fresh SFT titles."""
    predicted = model.predict(arms.arm_items, list(arms.title)).reward
    count = np.bincount(arms.item_index, minlength=len(arms.items))
    baseline = np.bincount(arms.item_index, weights=predicted, minlength=len(arms.items)) / np.maximum(count, 1)
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.permutation(len(arms.items))[:SCALE_ITEMS])
    items: Sequence[Item] = [arms.items[i] for i in sample]
    titles = [title.text for (title,) in policy.generate(items, 1, seed=seed)]
    return LiftScale.fit(baseline, sample, model.predict(items, titles).reward)


def _settings(config: PpoConfig, policy: TitlePolicy, run: Run) -> PpoSettings:
    small = policy.model.num_parameters() < threads.SMALL_MODEL
    sft_rank = run.record("sft")["notes"].get("lora_rank")
    rank = {"none": None, "lora": config.lora_rank, "auto": sft_rank}[config.peft]
    micro = config.batch_size if small else min(config.batch_size, LARGE_MODEL_MICRO_BATCH)
    shared = {name: getattr(config, name) for name in PpoSettings.__dataclass_fields__ if hasattr(config, name)}
    return PpoSettings(
        **{**shared, "lora_rank": rank, "micro_batch_size": micro, "train_trunk": config.critic == "own"}
    )


def _result(run: Run, steps: int, rows: list[dict[str, Any]]) -> PpoResult:
    last = rows[-LAST_STEPS:]

    def mean(name: str) -> float | None:
        values = [row[name] for row in last if name in row]
        return float(np.mean(values)) if values else None

    return PpoResult(
        run / "ppo",
        steps,
        mean("objective/predicted_lift"),
        mean("objective/kl"),
        mean("constraints/violated"),
        mean("val/explained_variance"),
    )
