"""``rlopt sft``: the supervised policy, PPO's starting point and reference, and the evaluation's baseline."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from reward.arms import Arms
from reward.arrays import FloatArray
from reward.model.reward_model import RewardModel
from reward.plain import Plain
from rlopt import processes, threads
from rlopt.config import RulesConfig, SftConfig, load
from rlopt.errors import PolicyError
from rlopt.policy.constraints import Constraints
from rlopt.policy.pretrained import quiet_loading
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.sound_targets import (
    Pairs,
    honest_pairs,
    say_what_is_promised,
    short_enough,
    sound_pairs,
)
from rlopt.policy.title_policy import TitlePolicy
from rlopt.progress import note, track
from rlopt.report.cards import policy_card
from rlopt.run import ENCODINGS, Run, package_versions
from rlopt.stages.common.rules import rules_for_targets, rules_inputs
from rlopt.stages.sft.data import (
    Lesson,
    TitleRates,
    best_pairs,
    hold_out,
    improvement_pairs,
    logged_pairs,
    reward_weights,
)
from rlopt.stages.sft.start import loaded_policy, prompted_policy, starting_policy, with_examples
from rlopt.training.adapters import adapter_config
from rlopt.training.arguments import MICRO_BATCH, TrainSettings, check_trackers, has_bf16
from rlopt.training.augment import Augmentation, Variants
from rlopt.training.backtranslation import back_translate
from rlopt.training.callbacks import JsonLines
from rlopt.training.checkpoints import newest_checkpoint, step_of
from rlopt.training.freezing import set_dropout
from rlopt.training.learning_rates import supervised_rate
from rlopt.training.sft import CountLearning, Recipe, fine_tune

LAST_STEPS = 20


@dataclass(frozen=True)
class SftResult(Plain):
    """What came of the supervised training.

    Parameters
    ----------
    parameters, learned
        Weights of the policy, and how many of them (or of its adapters) were trained.
    titles, items
        What it learned from.
    steps
        Steps it took; ``kept_step`` is the one whose weights were kept.
    loss, held_out_loss
        Mean over the last steps, and on held-out titles at ``kept_step``; None without any.
    """

    folder: Path
    parameters: int
    learned: int
    titles: int
    items: int
    steps: int
    kept_step: int
    loss: float | None
    held_out_loss: float | None


def train_sft(run: Run, config: SftConfig | None = None, *, force: bool = False) -> SftResult:
    """Learn to write the titles of the train items' logs; writes ``sft/`` of the run.

    Interrupted, it goes on from the last checkpoint; finished with these settings, it returns what it had found, unless
    ``force`` asks to train anew.

    Raises
    ------
    StageOrderError
        Before ``fit-reward``.
    PolicyError
        When the items have no fields the embedded model could copy from, ``config.model`` cannot be loaded, or the
        logs hold nothing to learn for the task.
    """
    config = config or SftConfig()
    run.require("fit-reward")
    check_trackers(config.report_to)
    _say_what_is_odd(config)
    rules = load(RulesConfig, preset=run.preset())
    inputs = rules_inputs(rules)
    if not force and run.current("sft", config, inputs) and (run / "sft").is_dir():
        note("SFT is finished with these settings: nothing to do (--force trains anew).")
        return SftResult(run / "sft", **run.record("sft")["notes"])
    quiet_loading()
    with run.stage("sft", config, inputs) as record:
        checkpoints = run.checkpoint_dir("sft", record.key)
        if config.shots is None:
            loaded = loaded_policy(config, checkpoints)  # before the logs are read: it may be unfit
            arms = run.arms().of_items(run.splits().train)
            pairs = _pairs(run, config, arms)
            fair = rules_for_targets(pairs, rules)
            policy = starting_policy(config, loaded, pairs, fair, checkpoints)
            torch.set_num_threads(threads.for_model(policy.model.num_parameters()))
            lesson = _lesson(config, policy, pairs, fair)
            trained, learned = _train(run, config, policy, lesson, arms, checkpoints)
        else:
            policy = prompted_policy(config)
            arms = run.arms().of_items(run.splits().train)
            examples = best_pairs(arms, _title_rates(run, arms)) if config.shots else []
            lesson = Lesson(honest_pairs(examples, rules_for_targets(arms.pairs, rules)), [])
            trained, learned = with_examples(policy, config, lesson.pairs), 0
            if processes.is_first():
                run.metrics("sft").truncate_after(0)  # those of an earlier training
        result = _result(run, trained, learned, lesson)
        if processes.is_first():
            _save(run, config, trained, result)
        record.notes.update({k: v for k, v in result.to_dict().items() if k != "folder"})
    if processes.is_first():
        shutil.rmtree(run / "checkpoints" / "sft", ignore_errors=True)
    processes.wait()  # the folder is whole before another process reads it
    return result


def _say_what_is_odd(config: SftConfig) -> None:
    if config.model is None and config.gguf_file is not None:
        raise PolicyError("--gguf-file names a file of --model. Give both.")
    if config.model is None and config.shots is None and config.learn != "full":
        note(f"The tiny model begins from random weights, and with --learn {config.learn} most of them stay random")
    if {"steps", "epochs"} <= config.model_fields_set and config.steps:
        note("--steps is given: --epochs has no effect")


def _pairs(run: Run, config: SftConfig, arms: Arms) -> Pairs:
    """What to learn for the task, with the altered copies asked for."""
    pairs = logged_pairs(arms) if config.task == "generate" else improvement_pairs(arms, _title_rates(run, arms))
    models = config.back_translation
    return Augmentation(
        config.copies,
        config.shuffle_fields,
        config.drop_fields,
        Variants.read(config.variants) if config.variants is not None else None,
        (lambda known: back_translate(known, *models)) if models is not None else None,
    ).apply(pairs, config.seed)


def _lesson(config: SftConfig, policy: TitlePolicy, pairs: Pairs, fair: Constraints) -> Lesson:
    """What is learned, and what is held out."""
    if isinstance(policy.renderer, SlotRenderer):
        sound = sound_pairs(policy.renderer.slots, pairs, fair)
    else:
        sound = honest_pairs(pairs, fair)
    say_what_is_promised(pairs, sound, fair)
    pairs = short_enough(policy, sound)
    return Lesson(pairs, []) if config.early_stopping is None else hold_out(pairs, config.held_out, config.seed)


def _title_rates(run: Run, arms: Arms) -> TitleRates:
    """What the logs say of each title, clicks counted for what the reward model found them to be worth."""
    model = RewardModel.load(run / "reward", encodings=run / ENCODINGS)
    return TitleRates.of(arms, model.click.basis.noise.overdispersion)


def _train(
    run: Run, config: SftConfig, policy: TitlePolicy, lesson: Lesson, arms: Arms, checkpoints: Path
) -> tuple[TitlePolicy, int]:
    """The trained policy, and how many weights learned."""
    settings = _settings(config, policy, len(lesson.pairs))
    metrics = run.metrics("sft")
    done = step_of(newest_checkpoint(checkpoints))
    if processes.is_first():
        metrics.truncate_after(done)
    count = CountLearning()
    note(f"SFT on {len(lesson.pairs)} titles, {policy.model.num_parameters() / 1e6:.1f} M parameters")
    with track("SFT", settings.steps, start=done) as bar:
        shown = {"loss": "loss", "eval_loss": "held-out"}
        trained = fine_tune(
            policy,
            lesson.pairs,
            settings,
            checkpoints,
            [JsonLines(metrics, bar, shown), count],
            recipe=Recipe(
                optimizer=config.optimizer,
                schedule=config.schedule,
                weight_decay=config.weight_decay,
                patience=config.early_stopping,
            ),
            held_out=lesson.held_out,
            weights=_weights(run, config, arms, lesson.pairs),
        )
    if config.dropout:
        set_dropout(trained.model, 0.0)
    return trained, count.count


def _weights(run: Run, config: SftConfig, arms: Arms, pairs: Pairs) -> FloatArray | None:
    """What each title counts in the loss; None: all alike."""
    if config.weight_by == "none":
        return None
    return reward_weights(RewardModel.load(run / "reward", encodings=run / ENCODINGS), arms, pairs)


def _result(run: Run, trained: TitlePolicy, learned: int, lesson: Lesson) -> SftResult:
    """The figures, read from the metrics."""
    rows = run.metrics("sft").rows()
    steps = max((row["step"] for row in rows), default=0)
    looks = [(row["eval_loss"], row["step"]) for row in rows if "eval_loss" in row]
    best = min(looks) if looks else None
    kept = best[1] if best else steps
    losses = [row["loss"] for row in rows if "loss" in row and row["step"] <= kept][-LAST_STEPS:]
    return SftResult(
        run / "sft",
        trained.model.num_parameters(),
        learned,
        len(lesson.pairs),
        len({item.item_id for item, _ in lesson.pairs}),
        steps,
        kept,
        float(np.mean(losses)) if losses else None,
        best[0] if best else None,
    )


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
        )
        (folder / "README.md").write_text(card, encoding="utf-8")


def _settings(config: SftConfig, policy: TitlePolicy, n_titles: int) -> TrainSettings:
    small = policy.model.num_parameters() < threads.SMALL_MODEL
    steps = config.steps or max(1, round(config.epochs * n_titles / config.batch_size))
    return TrainSettings(
        steps=steps,
        batch_size=config.batch_size,
        micro_batch_size=config.batch_size if small else MICRO_BATCH,
        learning_rate=config.learning_rate or supervised_rate(config.learn, config.model is not None),
        adapters=adapter_config(
            config.learn, config.lora_rank, steps, dropout=config.dropout, prefix_length=config.prefix_length
        ),
        save_every=config.save_every if config.early_stopping is None else min(config.save_every, steps),
        seed=config.seed,
        bf16=has_bf16(),
        # a prefix lies in the cache, which checkpointing goes without
        gradient_checkpointing=torch.cuda.is_available() and not small and config.learn != "prefix",
        report_to=config.report_to,
    )
