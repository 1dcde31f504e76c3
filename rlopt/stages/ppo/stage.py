"""``rlopt ppo``: the title policy, improved by PPO, or by a rival of it, against the reward model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from reward.arms import Arms
from reward.arrays import FloatArray
from reward.items import Item
from reward.model.caution import cautious_reward
from reward.model.reward_model import RewardModel
from reward.plain import JsonObject
from rlopt import processes, threads
from rlopt.algorithms import ALGORITHMS, SFT
from rlopt.config import PpoConfig, SftConfig
from rlopt.errors import PolicyError
from rlopt.files import atomic_write, fingerprint
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.title_policy import TitlePolicy
from rlopt.progress import note, track
from rlopt.report.cards import policy_card
from rlopt.report.figures import gains_against_kl
from rlopt.run import Run, package_versions
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.policies import load_policy
from rlopt.stages.common.rules import rules_inputs
from rlopt.stages.common.trainings import steps_done
from rlopt.stages.ppo.result import SHOWN, InPercent, PpoResult
from rlopt.stages.ppo.update import STANDS_ON, GoneOn, check_update, keep_sft, stands_on
from rlopt.stages.sft.stage import train_sft
from rlopt.training.adapters import adapter_config
from rlopt.training.arguments import train_settings
from rlopt.training.callbacks import JsonLines
from rlopt.training.early_stopping import EarlyStopping
from rlopt.training.freezing import freeze
from rlopt.training.learning_rates import reinforced_rate
from rlopt.training.ppo.learn import improve
from rlopt.training.ppo.settings import Held, PpoSettings
from rlopt.training.rewards import LiftScale, Monitor, TitleRewards
from rlopt.training.trackers import check_trackers, kept_in
from rlopt.wording import counted

SCALE_ITEMS, SCALE_ITEMS_LARGE = 256, 64
GENERATE_BATCH = 64
WARMUP_SHARE = 20


def train_ppo(
    run: Run,
    config: PpoConfig | None = None,
    sft: SftConfig | None = None,
    *,
    sft_as_given: bool = False,
    force: bool = False,
    update: bool = False,
) -> PpoResult:
    """Improve the SFT policy against the reward model on the train items; writes ``ppo/`` of the run.

    ``config.algorithm`` may name a rival of PPO, which writes a folder with its name. Trains the SFT policy
    first when the run has none, and says so. Interrupted, it goes on from the last checkpoint; finished with
    these settings, rules and earlier stages, it returns what it had found. Under ``accelerate launch`` the processes
    share each batch, and the first of them writes.

    Parameters
    ----------
    run
        A run with a finished ``fit-reward``.
    config
        Settings of the stage.
    sft
        Settings of the SFT policy, where it has to be trained; by default those of the run's preset.
    sft_as_given
        Train it again where the run has one of other settings than ``sft``.
    force
        Train again although nothing changed.
    update
        Go on from the run's policy, after ``fit-reward --update``, held to it and to the SFT policy.

    Raises
    ------
    StageOrderError
        Before ``fit-reward``, and an update before a first training.
    PolicyError
        If an update has nothing that it could go on from (`rlopt.stages.ppo.update.check_update`), the SFT policy
        cannot be loaded, something asked for is not installed, or training breaks down.
    """
    config = config or PpoConfig()
    name = config.algorithm
    opened = OpenedRun(run)
    check_trackers(config.report_to)
    inputs = rules_inputs(opened.rules)
    if update:
        check_update(run, config)
        if not force and run.done(name):
            note("PPO has learned from the run's present reward: nothing to do (--force continues anyway).")
            return PpoResult.of(run, name)
        keep_sft(run)
        inputs |= {"last policy": fingerprint(run / name)}
    else:
        _train_sft_first(run, config, inputs, sft, sft_as_given)
    _say_what_has_no_effect(config)
    if not force and run.current(name, config, inputs) and (run / name).is_dir():
        note(f"{ALGORITHMS[name].label} is finished with these settings: nothing to do (--force trains again).")
        return PpoResult.of(run, name)
    with run.stage(name, config, inputs) as record, kept_in(run / "metrics", name, config.report_to):
        gone_on = GoneOn.of(opened) if update else None
        policy = _start(opened, config, name if update else SFT)
        settings = _settings(config, policy, run)
        improved, kept_step = _improved(opened, config, policy, settings, record.checkpoints, gone_on)
        result = PpoResult.measured(run / name, kept_step, run.metrics(name).rows())
        if processes.is_first():
            if gone_on is not None:
                baseline = item_baseline(opened.reward, opened.train_arms)
                result = replace(result, **gone_on.forgetting(improved, opened, baseline, config.seed))
            _save(opened, config, improved, result)
            record.notes.update({k: v for k, v in result.to_dict().items() if k != "folder"})
            record.notes[STANDS_ON] = stands_on(run)
    return result


def _train_sft_first(
    run: Run, config: PpoConfig, inputs: Mapping[str, str], sft: SftConfig | None, as_given: bool
) -> None:
    """Train the SFT policy where the run has none, or another one than it must have."""
    if not run.done("sft"):
        note("This run has no supervised policy yet: training it first (rlopt sft).")
        train_sft(run, sft or SftConfig(**{"seed": config.seed, **(run.preset().get("sft") or {})}))
    elif sft is not None and as_given and not run.current("sft", sft, inputs):
        note("The run's supervised policy is another model: retraining it from --model.")
        train_sft(run, sft)


def _say_what_has_no_effect(config: PpoConfig) -> None:
    if config.kl_coef == 0 and config.kl_target is not None:
        note("kl_target has no effect with a kl_coef of 0: there is no penalty to adapt")


def _start(opened: OpenedRun, config: PpoConfig, name: str) -> TitlePolicy:
    """The policy of this name, where PPO can go on from it, with what shall not learn frozen."""
    policy = load_policy(opened.run / name)  # may depend on the reward before its update
    if policy.prefix is not None:
        raise PolicyError(
            "The SFT policy has learned a prefix, and PPO improves weights, into which a prefix cannot be merged. "
            f"Train another one first: rlopt sft --learn lora --run {opened.run.path}"
        )
    learn, _, last_n = _learning(config, opened.run.record("sft")["config"])
    freeze(policy.model, learn, last_n)
    return policy


def _improved(
    opened: OpenedRun,
    config: PpoConfig,
    policy: TitlePolicy,
    settings: PpoSettings,
    checkpoints: Path,
    gone_on: GoneOn | None,
) -> tuple[TitlePolicy, int]:
    """The policy after training, and the update after which it was as it is kept."""
    run, name, items = opened.run, config.algorithm, opened.train_arms.items
    label, metrics = ALGORITHMS[name].label, run.metrics(name)
    done = steps_done(metrics, checkpoints)  # long before the other processes read them
    rewards = _rewards(opened, gone_on.sft if gone_on else policy, config, settings.updates_a_rollout)
    held = Held(gone_on.last.model, gone_on.sft.model) if gone_on else None
    replayed = gone_on.replayed if gone_on else None
    note(
        f"{label} on {counted(len(items), 'item')}, {counted(settings.steps, 'update')} of "
        f"{counted(settings.batch_size, 'title')}"
    )
    stopping = None
    if rewards.monitor is not None:
        stopping = EarlyStopping(settings.steps, rewards.monitor.every, settings.titles_a_rollout, metrics.rows())
    with track(label, settings.steps, start=done) as bar:
        callbacks = [JsonLines(metrics, InPercent(bar), SHOWN)]
        improved = improve(
            policy, run / "sft", items, rewards, settings, checkpoints, callbacks, stopping, held, replayed
        )
    return improved, stopping.kept_step if stopping else settings.steps


def _rewards(opened: OpenedRun, policy: TitlePolicy, config: PpoConfig, updates_a_rollout: int) -> TitleRewards:
    """Reward to optimise, and the monitor that only watches, after every n rollouts."""
    arms, model = opened.train_arms, opened.reward
    every = -(-config.monitor_every // updates_a_rollout) * updates_a_rollout
    watched = opened.monitor if config.monitor else None
    return TitleRewards(
        arms.items,
        policy.renderer,
        model.predict,
        lift_scale(policy, model, arms, config),
        opened.constraints,
        config.risk_aversion,
        int(policy.tokenizer.eos_token_id),
        Monitor(watched.predict, item_baseline(watched, arms), every) if watched else None,
        opened.belonging if opened.rules.belonging else None,
    )


def _save(opened: OpenedRun, config: PpoConfig, policy: TitlePolicy, result: PpoResult) -> None:
    """The policy's folder with its card, and the figure of the gain against the KL."""
    run = opened.run
    with run.replacing(config.algorithm) as folder:
        policy.save(folder)
        card = policy_card(
            config.algorithm,
            base_model=run.record("sft")["config"].get("model"),
            parameters=policy.model.num_parameters(),
            n_items=len(opened.train_arms.items),
            figures={k: v for k, v in result.to_dict().items() if k != "folder"},
            settings=config.model_dump(mode="json"),
            versions=package_versions(),
            slots=isinstance(policy.renderer, SlotRenderer),
            observational=opened.observational,
        )
        (folder / "README.md").write_text(card, encoding="utf-8")
    if figure := gains_against_kl(run.metrics(config.algorithm).rows()):
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
    """The settings, and what they leave open."""
    sft = run.record("sft")["config"]
    learn, rank, _ = _learning(config, sft)
    pretrained = sft.get("model") is not None and not config.peft_config  # adapters take larger steps
    shared = train_settings(
        policy.model,
        steps=config.steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate or reinforced_rate(learn, pretrained),
        save_every=config.save_every,
        seed=config.seed,
        adapters=adapter_config(learn, rank, config.steps, config.peft_config),
        bf16=config.bf16,
        gradient_checkpointing=config.gradient_checkpointing,
        report_to=config.report_to,
    )
    return PpoSettings(
        **vars(shared),
        config=config,
        generations=config.generations or ALGORITHMS[config.algorithm].generations,
        critic_warmup=min(config.critic_warmup, config.steps // WARMUP_SHARE),
    )


def _learning(config: PpoConfig, sft: JsonObject) -> tuple[str, int, int]:
    """Part of the model that learns, the rank of its adapters, and its blocks."""
    if config.peft_config:
        return "full", config.lora_rank, config.last_n  # adapters of its own freeze the rest themselves
    if config.learn != "auto":
        return config.learn, config.lora_rank, config.last_n
    defaults = {name: PpoConfig.model_fields[name].default for name in ("lora_rank", "last_n")}
    return sft.get("learn", "full"), sft.get("lora_rank", defaults["lora_rank"]), sft.get("last_n", defaults["last_n"])
