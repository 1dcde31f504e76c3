"""Policies that learn from titles another policy wrote: the tiny student, and a pruned model that recovers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reward.items import Item
from rlopt.config import ExportConfig, SftConfig
from rlopt.errors import PolicyError
from rlopt.files import JsonlWriter, replacing_folders
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.sound_targets import Pairs, short_enough, sound_pairs
from rlopt.policy.title_policy import TitlePolicy
from rlopt.progress import note, track
from rlopt.stages.common.policies import compute_with, load_policy
from rlopt.stages.common.tiny_policy import tiny_policy
from rlopt.stages.common.titles import write_titles
from rlopt.stages.common.trainings import steps_done
from rlopt.training.arguments import train_settings
from rlopt.training.callbacks import JsonLines
from rlopt.training.learning_rates import supervised_rate
from rlopt.training.sft import fine_tune

SAVE_EVERY = 100


@dataclass(frozen=True)
class Lessons:
    """A policy after learning, and from how much."""

    policy: TitlePolicy
    titles: int
    steps: int


def teacher_pairs(teacher: TitlePolicy, items: Sequence[Item], config: ExportConfig, work: Path) -> Pairs:
    """Finished titles that ``teacher`` samples for ``items``, ``config.titles`` an item; kept in ``work`` as they come.

    Sequence-level distillation (Kim and Rush 2016), from samples instead of beams: a student of the likeliest titles
    alone would lose the teacher's variety.

    Raises
    ------
    PolicyError
        If it finished none.
    """
    with track("Titles to learn from", len(items) * config.titles) as bar:
        written = write_titles(
            "teacher",
            teacher,
            items,
            config.titles,
            temperature=1.0,
            seed=config.seed,
            cache=work / "teacher.jsonl",
            bar=bar,
        )
    rows = zip(written.item.tolist(), written.title, written.finished.tolist(), strict=True)
    pairs = [(items[i], title) for i, title, finished in rows if finished and title]
    if not pairs:
        raise PolicyError(
            f"The policy finished none of {len(written.title)} titles: there is nothing to learn from. "
            "Export one that was trained for longer, or with a higher max_title_tokens."
        )
    return pairs


def distilled(teacher: TitlePolicy, items: Sequence[Item], config: ExportConfig, work: Path) -> Lessons:
    """A tiny model that learned the titles of ``teacher``.

    Raises
    ------
    PolicyError
        If the titles are mostly words that no field of their items holds.
    """
    pairs = teacher_pairs(teacher, items, config, work)
    start = work / "student"
    if not start.exists():
        student = tiny_policy(SftConfig(seed=config.seed, max_title_tokens=teacher.max_title_tokens), pairs)
        with replacing_folders(work, [start.name]) as fresh:
            student.save(fresh[start.name])
    return learned(load_policy(start), pairs, config.epochs, config, work)


def learned(
    policy: TitlePolicy, pairs: Pairs, epochs: float, config: ExportConfig, work: Path, share_of_rate: float = 1.0
) -> Lessons:
    """``policy`` after ``epochs`` passes over ``pairs``; interrupted, it goes on from its last checkpoint."""
    rate = config.learning_rate or supervised_rate("full", pretrained=not isinstance(policy.renderer, SlotRenderer))
    if isinstance(policy.renderer, SlotRenderer):
        pairs = sound_pairs(policy.renderer.slots, pairs)
    pairs = short_enough(policy, pairs)
    steps = max(1, round(epochs * len(pairs) / config.batch_size))
    compute_with(policy.model)
    settings = train_settings(
        policy.model,
        steps=steps,
        batch_size=config.batch_size,
        learning_rate=share_of_rate * rate,
        save_every=SAVE_EVERY,
        seed=config.seed,
    )
    checkpoints, metrics = work / "checkpoints", JsonlWriter(work / "learning.jsonl")
    note(f"Learning {len(pairs)} titles, {policy.model.num_parameters() / 1e6:.1f} M parameters")
    with track("Learning", steps, start=steps_done(metrics, checkpoints)) as bar:
        callback = JsonLines(metrics, bar, {"loss": "loss"})
        trained = fine_tune(policy, pairs, settings, checkpoints, [callback])
    return Lessons(trained, len(pairs), steps)
