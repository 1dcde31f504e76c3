"""``rlopt ppo``: the title policy, improved by PPO, or by a rival of it, against the reward model."""

import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from reward.arms import Arms
from reward.arrays import FloatArray
from reward.items import Item
from reward.model.caution import cautious_reward
from reward.model.reward_model import RewardModel
from reward.plain import JsonObject
from rlopt import processes, threads
from rlopt.config import PpoConfig, RulesConfig, SftConfig, load
from rlopt.errors import PolicyError
from rlopt.files import atomic_write
from rlopt.policy.pretrained import quiet_loading
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.title_policy import TitlePolicy
from rlopt.progress import note, track
from rlopt.report.cards import policy_card
from rlopt.report.figures import gains_against_kl
from rlopt.run import ENCODINGS, Run, package_versions
from rlopt.stages.common.policies import load_policy
from rlopt.stages.common.rules import constraints_for, rules_inputs
from rlopt.stages.fit_reward.monitor import load_monitor
from rlopt.stages.ppo.result import SHOWN, InPercent, PpoResult
from rlopt.stages.sft.stage import train_sft
from rlopt.training.adapters import adapter_config
from rlopt.training.arguments import MICRO_BATCH, has_bf16
from rlopt.training.callbacks import JsonLines
from rlopt.training.checkpoints import newest_checkpoint, step_of
from rlopt.training.early_stopping import EarlyStopping
from rlopt.training.freezing import freeze
from rlopt.training.learning_rates import reinforced_rate
from rlopt.training.ppo.learn import PpoSettings, improve
from rlopt.training.rewards import LiftScale, Monitor, TitleRewards
from rlopt.wording import counted

SCALE_ITEMS, SCALE_ITEMS_LARGE = 256, 64
GENERATE_BATCH = 64
GROUP = 8  # titles an item for GRPO and RLOO
WARMUP_SHARE = 20


def train_ppo(run: Run, config: PpoConfig | None = None, *, force: bool = False) -> PpoResult:
    """Improve the SFT policy against the reward model on the train items; writes ``ppo/`` of the run.

    With ``config.algorithm`` "grpo" or "rloo" a rival of PPO does, and writes the folder of its name. Trains the SFT
    policy first when the run has none, and says so. Interrupted, it goes on from the last checkpoint; finished with
    these settings, rules and earlier stages, it returns what it had found. Under ``accelerate launch`` the processes
    share each batch, and the first of them writes.

    Parameters
    ----------
    run
        A run with a finished ``fit-reward``.
    config
        Settings of the stage.
    force
        Train anew although nothing changed.

    Raises
    ------
    StageOrderError
        Before ``fit-reward``.
    PolicyError
        When the SFT policy cannot be loaded, something asked for is not installed, or training breaks down.
    """
    config = config or PpoConfig()
    run.require("fit-reward")
    if not run.done("sft"):
        note("This run has no supervised policy yet: training it first (rlopt sft).")
        train_sft(run, SftConfig(**{"seed": config.seed, **(run.preset().get("sft") or {})}))
    quiet_loading()
    name = config.algorithm
    arms = run.arms().of_items(run.splits().train)
    rules = load(RulesConfig, preset=run.preset())
    if config.kl_coef == 0 and config.kl_target is not None:
        note("With a kl_coef of 0 there is no penalty that could grow: kl_target has no effect")
    inputs = rules_inputs(rules)
    if not force and run.current(name, config, inputs) and (run / name).is_dir():
        note(f"{name.upper()} is finished with these settings: nothing to do (--force trains anew).")
        return PpoResult.of(run, name)
    with run.stage(name, config, inputs) as record:
        policy = _start(run, config)
        model = RewardModel.load(run / "reward", encodings=run / ENCODINGS)
        torch.set_num_threads(threads.for_model(policy.model.num_parameters()))
        settings = _settings(config, policy, run)
        checkpoints = run.checkpoint_dir(name, record.key)
        done = step_of(newest_checkpoint(checkpoints))
        metrics = run.metrics(name)
        if processes.is_first():
            metrics.truncate_after(done)
        rewards = _rewards(run, policy, model, arms, config, rules, settings.updates_a_rollout)
        stopping = None
        if rewards.monitor is not None:
            titles = settings.minibatches * settings.batch_size
            stopping = EarlyStopping(settings.steps, rewards.monitor.every, titles, metrics.rows())
        note(
            f"{name.upper()} on {counted(len(arms.items), 'item')}, {counted(settings.steps, 'update')} of "
            f"{counted(settings.batch_size, 'title')}"
        )
        with track(name.upper(), settings.steps, start=done) as bar:
            callbacks = [JsonLines(metrics, InPercent(bar), SHOWN)]
            improved = improve(policy, run / "sft", arms.items, rewards, settings, checkpoints, callbacks, stopping)
        result = PpoResult.measured(run / name, stopping.kept_step if stopping else settings.steps, metrics.rows())
        if processes.is_first():
            _save(run, config, improved, result, metrics.rows(), len(arms.items))
            record.notes.update({k: v for k, v in result.to_dict().items() if k != "folder"})
    if processes.is_first():
        shutil.rmtree(run / "checkpoints" / name, ignore_errors=True)
    return result


def _start(run: Run, config: PpoConfig) -> TitlePolicy:
    """The SFT policy, where PPO can go on from it, with what shall not learn frozen."""
    policy = load_policy(run / "sft")
    if policy.prefix is not None:
        raise PolicyError(
            "The SFT policy has learned a prefix, and PPO improves weights, into which a prefix cannot be merged. "
            f"Train another one first: rlopt sft --learn lora --run {run.path}"
        )
    learn, _, last_n = _learning(config, run.record("sft")["config"])
    freeze(policy.model, learn, last_n)
    return policy


def _rewards(
    run: Run,
    policy: TitlePolicy,
    model: RewardModel,
    arms: Arms,
    config: PpoConfig,
    rules: RulesConfig,
    updates_a_rollout: int,
) -> TitleRewards:
    """What is optimised, and the monitor that only watches, at every so many rollouts."""
    every = -(-config.monitor_every // updates_a_rollout) * updates_a_rollout
    watched = load_monitor(run) if config.monitor else None
    return TitleRewards(
        arms.items,
        policy.renderer,
        model.predict,
        lift_scale(policy, model, arms, config),
        constraints_for(arms, rules),
        config.risk_aversion,
        int(policy.tokenizer.eos_token_id),
        Monitor(watched.predict, item_baseline(watched, arms), every) if watched else None,
    )


def _save(
    run: Run, config: PpoConfig, policy: TitlePolicy, result: PpoResult, rows: list[JsonObject], n_items: int
) -> None:
    """The policy's folder with its card, and the figure of what was gained for how far it moved."""
    with run.replacing(config.algorithm) as folder:
        policy.save(folder)
        card = policy_card(
            config.algorithm,
            base_model=run.record("sft")["config"].get("model"),
            parameters=policy.model.num_parameters(),
            n_items=n_items,
            figures={k: v for k, v in result.to_dict().items() if k != "folder"},
            settings=config.model_dump(mode="json"),
            versions=package_versions(),
            slots=isinstance(policy.renderer, SlotRenderer),
        )
        (folder / "README.md").write_text(card, encoding="utf-8")
    if figure := gains_against_kl(rows):
        atomic_write(run / "metrics" / f"{config.algorithm}.svg", figure)


def lift_scale(policy: TitlePolicy, model: RewardModel, arms: Arms, config: PpoConfig) -> LiftScale:
    """Baseline of each item: `item_baseline`; the rest over SFT titles, fewer of a model that is slow to write."""
    n_titles = SCALE_ITEMS if policy.model.num_parameters() < threads.SMALL_MODEL else SCALE_ITEMS_LARGE
    rng = np.random.default_rng(config.seed)
    sample = np.sort(rng.permutation(len(arms.items))[:n_titles])
    items: Sequence[Item] = [arms.items[i] for i in sample]
    titles = [title.text for (title,) in policy.generate(items, 1, seed=config.seed, batch_size=GENERATE_BATCH)]
    optimised = cautious_reward(model.predict(items, titles), config.risk_aversion)
    return LiftScale.fit(item_baseline(model, arms), sample, optimised)


def item_baseline(model: RewardModel, arms: Arms) -> FloatArray:
    """Mean predicted reward of each item's logged titles, shape (n_items,), > 0."""
    predicted = model.predict(arms.arm_items, list(arms.title)).reward
    count = np.bincount(arms.item_index, minlength=len(arms.items))
    total = np.bincount(arms.item_index, weights=predicted, minlength=len(arms.items))
    return np.maximum(total / np.maximum(count, 1), 1e-12)


def _settings(config: PpoConfig, policy: TitlePolicy, run: Run) -> PpoSettings:
    small = policy.model.num_parameters() < threads.SMALL_MODEL
    sft = run.record("sft")["config"]
    learn, rank, _ = _learning(config, sft)
    pretrained = sft.get("model") is not None and not config.peft_config  # adapters take larger steps
    shared = {name: getattr(config, name) for name in PpoSettings.__dataclass_fields__ if hasattr(config, name)}
    own: dict[str, Any] = {
        "generations": config.generations or (1 if config.algorithm == "ppo" else GROUP),
        "critic_warmup": min(config.critic_warmup, config.steps // WARMUP_SHARE),
        "learning_rate": config.learning_rate or reinforced_rate(learn, pretrained),
        "adapters": adapter_config(learn, rank, config.steps, config.peft_config),
        "micro_batch_size": config.batch_size if small else MICRO_BATCH,
        "train_trunk": config.critic == "own",
        "bf16": has_bf16() if config.bf16 is None else config.bf16,
        "gradient_checkpointing": (
            torch.cuda.is_available() and not small
            if config.gradient_checkpointing is None
            else config.gradient_checkpointing
        ),
    }
    return PpoSettings(**{**shared, **own})


def _learning(config: PpoConfig, sft: JsonObject) -> tuple[str, int, int]:
    """What learns, the rank of its adapters, and its blocks."""
    if config.peft_config:
        return "full", config.lora_rank, config.last_n  # adapters of its own freeze the rest themselves
    if config.learn != "auto":
        return config.learn, config.lora_rank, config.last_n
    defaults = {name: PpoConfig.model_fields[name].default for name in ("lora_rank", "last_n")}
    return sft.get("learn", "full"), sft.get("lora_rank", defaults["lora_rank"]), sft.get("last_n", defaults["last_n"])
