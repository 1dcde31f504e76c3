"""From logs to models: what a fit and an update do alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reward.arms import Arms
from reward.doctor.examine import LogReport, examine
from reward.encoders.encoder import Encoder
from reward.errors import ModelError
from reward.evidence.learning_curve import LearningCurve
from reward.logs.log_levels import levelled
from reward.logs.read import read_logs
from reward.logs.schema import ColumnMapping
from reward.logs.sources.local import LocalSource
from reward.logs.splits import Splits
from reward.logs.store import load_arms, save_arms
from reward.logs.update import faded, merge_arms
from reward.model.boosting import TreeFitter
from reward.model.judge import Judge
from reward.model.reward_model import RewardModel
from rlopt import threads
from rlopt.config import RewardConfig
from rlopt.files import atomic_write, disk_errors, to_json
from rlopt.progress import note, track
from rlopt.run import FINDINGS
from rlopt.stages.common.log_report import read_report
from rlopt.stages.common.monitor import monitor_items

if TYPE_CHECKING:
    from distributed import Client

MONITOR_MEMBERS = 2


def aggregate(
    logs: LocalSource,
    config: RewardConfig,
    kept: Mapping[str, Any],
    tmp_dir: str | Path | None,
    checkpoints: Path,
    client: "Client | None",
    ignore: Iterable[str] = (),
) -> tuple[Arms, LogReport]:
    """Arms of the logs and what the doctor says of them; an interrupted stage finds both where it left them."""
    if (checkpoints / FINDINGS).exists():  # written last
        return load_arms(checkpoints), read_report(checkpoints)
    note(f"Reading {logs}")
    data = read_logs(
        logs,
        columns=ColumnMapping.from_dict(kept["columns"]),
        exclude=kept.get("exclude"),
        ignore=ignore,
        conversion_window_hours=config.conversion_window_hours,
        decimal=config.decimal,
        copies=config.copies,
        event_id=config.event_id,
        missing=config.missing,
        plans=config.plan,
        memory_limit=config.memory_limit,
        threads=threads.available(),
        tmp_dir=tmp_dir,
        client=client,
    )
    report = examine(
        data,
        judge_share=config.judge_share,
        test_share=config.test_share,
        assignment=config.assignment,
        conversions_complete=config.conversions_complete,
        observational=config.observational,
    )
    for warning in report.warnings:
        note(f"Warning: {warning}")
    return data.arms, report


def keep(arms: Arms, report: LogReport, checkpoints: Path) -> None:
    """Keep what an interrupted stage need not do again; only after nothing can be refused any more."""
    if not (checkpoints / FINDINGS).exists():
        with disk_errors(checkpoints):
            save_arms(arms, checkpoints)
        atomic_write(checkpoints / FINDINGS, to_json(report))


def joined_arms(parts: Sequence[Arms], half_life_days: float | None = None) -> Arms:
    """The arms of all logs in one table, their counts faded by age where a half life is set.

    Raises
    ------
    LogError
        If a half life is set and a log has no times.
    """
    parts = levelled(parts)
    if half_life_days is None:
        return merge_arms(parts)
    end = max((float(part.last_seen.max()) for part in parts if part.last_seen is not None and len(part)), default=0.0)
    return merge_arms([faded(part, half_life_days, end) for part in parts])


@dataclass(frozen=True)
class Learned:
    """Models learned from the train items.

    Parameters
    ----------
    arms
        Arms that the reward model learned from: the train items' without the monitor's.
    model, monitor
        The reward model, and the monitor, None where there is none.
    curve
        Learning curve of the fit, None where none was drawn.
    """

    arms: Arms
    model: RewardModel
    monitor: RewardModel | None
    curve: LearningCurve | None


def learn(
    arms: Arms,
    splits: Splits,
    config: RewardConfig,
    encoder: Encoder | None,
    checkpoints: Path,
    trees: TreeFitter,
) -> Learned:
    """Monitor and reward model, from the train items of ``arms``."""
    curve = LearningCurve(config.seed) if config.learning_curve else None
    monitor, rest = fit_monitor(arms.of_items(splits.train), config, encoder)
    return Learned(rest, fit_model(rest, config, encoder, checkpoints, curve, trees), monitor, curve)


def fit_model(
    arms: Arms,
    config: RewardConfig,
    encoder: Encoder | None,
    checkpoints: Path,
    curve: LearningCurve | None,
    trees: TreeFitter,
) -> RewardModel:
    """The reward model of train arms; an interrupted stage finds the members it has."""
    outcomes = 2 if arms.conversions is not None and arms.conversions.any() else 1
    with track("reward model", outcomes * config.members) as bar, disk_errors(checkpoints):

        def show(step: str, _: float) -> None:
            bar.update("model" in step, step=step)

        return RewardModel.fit(
            arms,
            seed=config.seed,
            n_members=config.members,
            click_weight=config.click_weight,
            conversion_weight=config.conversion_weight,
            revenue_weight=config.revenue_weight,
            threads=threads.available(),
            encoder=encoder,
            checkpoint_dir=checkpoints / "members",
            progress=show,
            watch=curve.watch if curve is not None else None,
            trees=trees,
            observational=config.observational,
        )


def fit_monitor(train: Arms, config: RewardConfig, encoder: Encoder | None) -> tuple[RewardModel | None, Arms]:
    """The monitor (None where its items would be too few, or teach nothing) and the arms left for the reward.

    A small ensemble does: only its mean is watched. It reads with the reward's encoder: the titles it will see are
    those that the reward encodes anyway.
    """
    chosen = set(monitor_items(train, config.monitor_share, config.seed))
    if not chosen:
        return None, train
    note(f"Fitting the monitor on {len(chosen)} train items of its own")
    try:
        model = RewardModel.fit(
            train.of_items(chosen),
            seed=config.seed,
            n_members=MONITOR_MEMBERS,
            click_weight=config.click_weight,
            conversion_weight=config.conversion_weight,
            revenue_weight=config.revenue_weight,
            threads=threads.available(),
            encoder=encoder,
            observational=config.observational,
        )
    except ModelError as error:
        note(f"No monitor: {error}")
        return None, train
    return model, train.of_items({item.item_id for item in train.items} - chosen)


def fit_judge(arms: Arms, splits: Splits, config: RewardConfig, encoder: Encoder | None) -> Judge | None:
    """The judge, from the arms of its own items; None where it has none."""
    if not splits.judge:
        return None
    own = arms.of_items(splits.judge)
    note(f"Fitting the judge on {len(own.items)} items of its own")
    return Judge.fit(own, seed=config.seed, encoder=encoder, observational=config.observational)
