"""``rlopt sft``: the supervised policy, PPO's starting point and reference, and the evaluation's baseline."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reward.logs.sources.local import Source
from rlopt import processes
from rlopt.config import SftConfig
from rlopt.errors import PolicyError
from rlopt.policy.constraints import Constraints
from rlopt.policy.pretrained import quiet_loading
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.sound_targets import Pairs, honest_pairs, say_what_is_promised, short_enough, sound_pairs
from rlopt.policy.title_policy import TitlePolicy
from rlopt.progress import note, track
from rlopt.report.cards import policy_card
from rlopt.reviewing.decided import Reviews
from rlopt.run import Run, package_versions
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.policies import compute_with
from rlopt.stages.common.rules import rules_for_targets, rules_inputs
from rlopt.stages.common.trainings import LAST_STEPS, steps_done
from rlopt.stages.sft.approved import approved_pairs
from rlopt.stages.sft.catalogue import read_catalogue
from rlopt.stages.sft.data import (
    Lesson,
    TitleRates,
    best_pairs,
    hold_out,
    improvement_pairs,
    logged_pairs,
    reward_weights,
)
from rlopt.stages.sft.result import SftResult
from rlopt.stages.sft.start import loaded_policy, prompted_policy, starting_policy, with_examples
from rlopt.training.adapters import adapter_config
from rlopt.training.arguments import TrainSettings, train_settings
from rlopt.training.augment import Augmentation
from rlopt.training.callbacks import JsonLines
from rlopt.training.freezing import set_dropout
from rlopt.training.learning_rates import supervised_rate
from rlopt.training.sft import CountLearning, fine_tune
from rlopt.training.trackers import check_trackers, kept_in


def train_sft(
    run: Run,
    config: SftConfig | None = None,
    *,
    force: bool = False,
    reviews: str | None = None,
    catalogue: Source | None = None,
    columns: str | None = None,
    query: str | None = None,
    preset: Mapping[str, Any] | None = None,
) -> SftResult:
    """Learn to write the titles of the train items' logs; writes ``sft/`` of the run.

    With ``catalogue`` (item_id, title, and the items' fields) the run begins without clicks: it learns those titles,
    and `generate` can write before there is a reward. ``columns``, ``query``, ``preset``: then as in `fit_reward`.

    Interrupted, it goes on from the last checkpoint; finished with these settings, it returns what it had found, unless
    ``force`` trains again. With ``reviews``, the database of ``rlopt review``, it also learns the titles that
    people approved or wrote.

    Raises
    ------
    StageOrderError
        Before ``fit-reward``, without a catalogue.
    RunError, LogError
        As in `rlopt.stages.sft.catalogue.read_catalogue`.
    PolicyError
        If the items have no fields the embedded model could copy from, ``config.model`` cannot be loaded, or the
        logs hold nothing to learn for the task.
    ReviewError
        If the reviews cannot be read.
    """
    config = config or SftConfig()
    if catalogue is not None:
        read_catalogue(run, catalogue, columns=columns, query=query, preset=preset, seed=config.seed)
    opened = OpenedRun(run, rewarded=False)
    decided = Reviews() if reviews is None else Reviews.read(reviews)
    check_trackers(config.report_to)
    _say_what_is_odd(config)
    inputs = rules_inputs(opened.rules) | ({"reviews": decided.digest} if decided.approved else {})
    if not force and run.current("sft", config, inputs) and (run / "sft").is_dir():
        note("SFT is finished with these settings: nothing to do (--force trains again).")
        return SftResult(run / "sft", **run.record("sft")["notes"])
    quiet_loading()
    with run.stage("sft", config, inputs) as record, kept_in(run / "metrics", "sft", config.report_to):
        way = _trained if config.shots is None else _prompted
        policy, learned, pairs = way(opened, config, record.checkpoints, decided)
        size = policy.model.num_parameters()
        result = SftResult.measured(run / "sft", size, learned, pairs, run.metrics("sft").rows())
        if processes.is_first():
            _save(run, config, policy, result)
        record.notes.update({k: v for k, v in result.to_dict().items() if k != "folder"})
    processes.wait()  # the folder is whole before another process reads it
    return result


def _say_what_is_odd(config: SftConfig) -> None:
    if config.model is None and config.gguf_file is not None:
        raise PolicyError("--gguf-file names a file of --model. Give both.")
    if config.model is None and config.shots is None and config.learn != "full":
        note(f"The tiny model begins from random weights, and with --learn {config.learn} most of them stay random")
    if {"steps", "epochs"} <= config.model_fields_set and config.steps:
        note("--steps is given: --epochs has no effect")


def _trained(
    opened: OpenedRun, config: SftConfig, checkpoints: Path, reviews: Reviews
) -> tuple[TitlePolicy, int, Pairs]:
    """The policy after training, how many weights learned, and from what."""
    loaded = loaded_policy(config, checkpoints)  # before the logs are read: it may be unfit
    pairs = _pairs(opened, config, reviews)
    fair = rules_for_targets(pairs, opened.rules)
    policy = starting_policy(config, loaded, pairs, fair, checkpoints)
    compute_with(policy.model)
    lesson = _lesson(config, policy, pairs, fair)
    trained, learned = _train(opened, config, policy, lesson, checkpoints)
    return trained, learned, lesson.pairs


def _prompted(opened: OpenedRun, config: SftConfig, _: Path, reviews: Reviews) -> tuple[TitlePolicy, int, Pairs]:
    """A policy that is shown examples, of which nothing learned, and the examples."""
    policy = prompted_policy(config)
    examples = best_pairs(opened.train_arms, _title_rates(opened)) if config.shots else []
    examples += approved_pairs(opened, reviews) if config.shots else []
    examples = honest_pairs(examples, rules_for_targets(opened.train_arms.pairs, opened.rules))
    if processes.is_first():
        opened.run.metrics("sft").truncate_after(0)  # those of an earlier training
    return with_examples(policy, config, examples), 0, examples


def _pairs(opened: OpenedRun, config: SftConfig, reviews: Reviews) -> Pairs:
    """Examples for the task, from logs and people, with the altered copies asked for."""
    arms = opened.train_arms
    pairs = logged_pairs(arms) if config.task == "generate" else improvement_pairs(arms, _title_rates(opened))
    pairs += approved_pairs(opened, reviews)
    return Augmentation.of(config).apply(pairs)


def _title_rates(opened: OpenedRun) -> TitleRates:
    """Click rates of the titles, with clicks weighted by the overdispersion that the reward model found."""
    worth = opened.reward.click.basis.noise.overdispersion if opened.run.rewarded else 1.0
    return TitleRates.of(opened.train_arms, worth)


def _lesson(config: SftConfig, policy: TitlePolicy, pairs: Pairs, fair: Constraints) -> Lesson:
    """Split the examples into those to learn from and those held out."""
    if isinstance(policy.renderer, SlotRenderer):
        sound = sound_pairs(policy.renderer.slots, pairs, fair)
    else:
        sound = honest_pairs(pairs, fair)
    say_what_is_promised(pairs, sound, fair)
    pairs = short_enough(policy, sound)
    return Lesson(pairs, []) if config.early_stopping is None else hold_out(pairs, config.held_out, config.seed)


def _train(
    opened: OpenedRun, config: SftConfig, policy: TitlePolicy, lesson: Lesson, checkpoints: Path
) -> tuple[TitlePolicy, int]:
    """The trained policy, and how many weights learned."""
    settings = _settings(config, policy, len(lesson.pairs))
    by_reward = config.weight_by == "reward"
    weights = reward_weights(opened.reward, opened.train_arms, lesson.pairs) if by_reward else None
    metrics = opened.run.metrics("sft")
    count = CountLearning()
    note(f"SFT on {len(lesson.pairs)} titles, {policy.model.num_parameters() / 1e6:.1f} M parameters")
    with track("SFT", settings.steps, start=steps_done(metrics, checkpoints)) as bar:
        shown = {"loss": "loss", "eval_loss": "held-out"}
        trained = fine_tune(
            policy,
            lesson.pairs,
            settings,
            checkpoints,
            [JsonLines(metrics, bar, shown), count],
            recipe=config,
            held_out=lesson.held_out,
            weights=weights,
        )
    if config.dropout:
        set_dropout(trained.model, 0.0)
    return trained, count.count


def _save(run: Run, config: SftConfig, trained: TitlePolicy, result: SftResult) -> None:
    """The policy's folder with its card."""
    with run.replacing("sft") as folder:
        trained.save(folder)
        card = policy_card(
            "sft",
            base_model=config.model,
            parameters=result.parameters,
            n_items=result.items,
            figures={
                "titles": result.titles,
                "weights that learned": result.learned,
                f"loss, last {LAST_STEPS} steps": result.loss,
                "loss on held-out items": result.held_out_loss,
            },
            settings=config.model_dump(mode="json"),
            versions=package_versions(),
            slots=isinstance(trained.renderer, SlotRenderer),
            prefix=trained.prefix is not None,
            rewarded=run.rewarded,
        )
        (folder / "README.md").write_text(card, encoding="utf-8")


def _settings(config: SftConfig, policy: TitlePolicy, n_titles: int) -> TrainSettings:
    steps = config.steps or max(1, round(config.epochs * n_titles / config.batch_size))
    return train_settings(
        policy.model,
        steps=steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate or supervised_rate(config.learn, config.model is not None),
        adapters=adapter_config(
            config.learn, config.lora_rank, steps, dropout=config.dropout, prefix_length=config.prefix_length
        ),
        save_every=config.save_every if config.early_stopping is None else min(config.save_every, steps),
        seed=config.seed,
        # a prefix lies in the cache, which checkpointing goes without
        gradient_checkpointing=False if config.learn == "prefix" else None,
        report_to=config.report_to,
    )
