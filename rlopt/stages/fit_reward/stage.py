"""``rlopt fit-reward``: from logs to the reward model, the judge and the splits every later stage keeps to."""

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reward.arms import Arms
from reward.doctor.examine import LogReport, examine
from reward.encoders.encoder import Encoder
from reward.errors import LogError
from reward.evidence.learning_curve import LearningCurve
from reward.logs.log_levels import levelled
from reward.logs.read import read_logs
from reward.logs.schema import ColumnMapping
from reward.logs.splits import Splits, split_items
from reward.logs.store import load_arms, save_arms
from reward.logs.update import faded, merge_arms
from reward.model.judge import Judge
from reward.model.persistence import POLICY_ENCODER
from reward.model.reward_model import RewardModel
from reward.plain import JsonObject, Plain, plain
from rlopt import threads
from rlopt.config import RewardConfig
from rlopt.errors import RunError
from rlopt.files import atomic_write, disk_errors, to_json
from rlopt.progress import note, track
from rlopt.run import DATA, FINDINGS, Run
from rlopt.stages.common.columns import column_mapping
from rlopt.stages.common.log_report import read_report
from rlopt.stages.common.truth import MARKET
from rlopt.stages.fit_reward.card import write_card
from rlopt.stages.fit_reward.encoder import keep_policy, reads_with_policy, run_encoder
from rlopt.stages.fit_reward.evidence import FitEvidence, evidence_lines, evidence_text, measure, read_evidence
from rlopt.stages.fit_reward.history import (
    HISTORY,
    PENDING,
    Entry,
    history_text,
    log_fingerprints,
    read_history,
    save_parts,
)
from rlopt.stages.fit_reward.monitor import MONITOR, fit_monitor
from rlopt.stages.fit_reward.tree_engine import check_engine, tree_engine
from rlopt.wording import counted

EVIDENCE = "evidence.json"


def fit_reward(
    run: Run,
    logs: str | Path,
    config: RewardConfig | None = None,
    *,
    columns: str | None = None,
    preset: Mapping[str, Any] | None = None,
    tmp_dir: str | Path | None = None,
    scheduler: str | None = None,
    force: bool = False,
) -> "FitRewardResult":
    """Learn from logs what a title earns; writes ``data/``, ``reward/``, ``monitor/`` and ``judge/`` of the run.

    Parameters
    ----------
    run
        A run directory, new or not.
    logs
        File, folder or glob of parquet, CSV or JSONL.
    config
        Settings of the stage.
    columns
        The user's column names, as in ``--columns``.
    preset
        Content of a YAML preset: its ``columns`` and ``exclude`` apply here, its other sections are kept in the
        run for the stages to come.
    tmp_dir
        Where the log engine spills; the system's temporary folder by default.
    scheduler
        Address of the Dask cluster that trains the trees with ``engine`` "dask"; None starts one on this machine.
    force
        Fit again although settings and logs are those of the last time.

    Raises
    ------
    LogError
        When the logs cannot be read, hold forbidden values, or the log doctor says that they teach nothing.
    SplitError, ModelError
        When the items cannot be split, or no model can be fitted on them.
    RunError
        When the run cannot be written.
    """
    config = config or RewardConfig()
    check_engine(config, scheduler)
    kept = {**(preset or {}), "columns": column_mapping(columns, preset).to_dict()}
    settings = {
        **config.model_dump(mode="json", exclude={"memory_limit"}),
        **{name: kept.get(name) or {} for name in ("columns", "exclude")},
    }
    files = log_fingerprints(logs)
    inputs = {"logs": logs_fingerprint(files)}
    if not force and run.current("fit-reward", settings, inputs):
        note("Same logs and settings as the last time: nothing to do (--force fits again).")
        atomic_write(run / DATA / "preset.json", to_json(kept, indent=2))
        return FitRewardResult.of(run)
    if not force:
        _check_updates(run)
    _say_what_is_replaced(run, logs, inputs)
    with run.stage("fit-reward", settings, inputs) as record:
        checkpoints = run.checkpoint_dir("fit-reward", record.key)
        encoder = run_encoder(run, config)
        arms, report = aggregate(logs, config, kept, tmp_dir, checkpoints)
        _check_report(logs, report)
        splits = split_items(
            arms,
            judge_share=config.judge_share,
            test_share=config.test_share,
            seed=config.seed,
            time_split=config.time_split,
        )
        keep(arms, report, checkpoints)
        effective = joined_arms([arms], config.half_life_days)
        curve = LearningCurve(config.seed) if config.learning_curve else None
        monitor, rest = fit_monitor(effective.of_items(splits.train), config, encoder)
        model = fit_model(rest, config, encoder, checkpoints, curve, scheduler)
        judge = fit_judge(effective.of_items(splits.judge), config, encoder) if splits.judge else None
        evidence = measure(model, arms, splits, config.seed, curve)
        history = (Entry.of("fit", logs, list(files.values()), arms),)
        fitted = Fitted(arms, splits, rest, model, monitor, judge, report, evidence, (arms,), history)
        save(run, fitted, settings, kept, market_beside(logs))
        record.notes.update(logs=str(logs), arms=len(arms), items=len(arms.items))
    for leftover in (run / "checkpoints" / "fit-reward", run / PENDING):
        shutil.rmtree(leftover, ignore_errors=True)
    return FitRewardResult.of(run)


@dataclass(frozen=True)
class FitRewardResult(Plain):
    """What `fit_reward` left in the run.

    Parameters
    ----------
    items, arms, impressions
        Size of the logs.
    train, judge, test
        Items on each side of the split.
    warnings
        What the log doctor warns of.
    evidence
        How good the reward is on items it has not seen; None (in JSON an empty object) where none were held out.
    """

    run: str
    items: int
    arms: int
    impressions: int
    train: int
    judge: int
    test: int
    warnings: tuple[str, ...]
    evidence: FitEvidence | None

    @classmethod
    def of(cls, run: Run) -> "FitRewardResult":
        """The result a finished stage left."""
        report = read_report(run / DATA)
        splits = run.splits()
        return cls(
            run=str(run.path),
            items=report.items,
            arms=report.arms,
            impressions=report.impressions,
            train=len(splits.train),
            judge=len(splits.judge),
            test=len(splits.test),
            warnings=report.warnings,
            evidence=read_evidence(run / "reward" / EVIDENCE),
        )

    def to_dict(self) -> JsonObject:
        """Plain JSON data."""
        return {**super().to_dict(), "evidence": plain(self.evidence or {})}

    def to_text(self) -> str:
        """For a person."""
        lines = [
            f"{counted(self.items, 'item')} with {counted(self.arms, 'title')}, "
            f"{counted(self.impressions, 'impression')}: "
            f"{counted(self.train, 'item trains', 'items train')}, {self.judge:,} judge, {self.test:,} test.",
            *evidence_lines(self.evidence),
            f"Reward model: {self.run}/reward (card: README.md). Next: rlopt ppo --run {self.run}",
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Fitted:
    """All that the stage made, before it is saved.

    ``parts`` are the arms of each log, ``arms`` their sums, ``learned`` those that the reward model learned from.
    """

    arms: Arms
    splits: Splits
    learned: Arms
    model: RewardModel
    monitor: RewardModel | None
    judge: Judge | None
    report: LogReport
    evidence: FitEvidence | None
    parts: tuple[Arms, ...]
    history: tuple[Entry, ...]


def logs_fingerprint(files: Mapping[Path, str]) -> str:
    """Hash over the names and contents of all log files, from `reward_history.log_fingerprints`."""
    digest = hashlib.blake2b(digest_size=16)
    for path, content in files.items():
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()


def _say_what_is_replaced(run: Run, logs: str | Path, inputs: dict[str, str]) -> None:
    before = run.manifest["stages"].get("fit-reward")
    if before is not None and before["inputs"] != inputs:
        note(
            f"{run.path} was fitted on {before['notes'].get('logs', 'other logs')}: its reward is replaced by that of "
            f"{logs}, and policies and evaluations have to follow. --run DIR begins another run"
        )


def _check_updates(run: Run) -> None:
    """Refuse to fit anew what ``--update`` has learned more from.

    Raises
    ------
    RunError
        Where the run holds updates; ``--force`` fits anew all the same.
    """
    updates = [line.logs for line in read_history(run / "reward") if line.event == "update"]
    if updates:
        raise RunError(
            f"Run {run.path} has learned from {len(updates)} more logs since its fit (last: {updates[-1]}), which a "
            "fit from these logs alone would forget. Add --update to learn from them too, or choose a new --run, or "
            "--force."
        )


def aggregate(
    logs: str | Path,
    config: RewardConfig,
    kept: Mapping[str, Any],
    tmp_dir: str | Path | None,
    checkpoints: Path,
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
        memory_limit=config.memory_limit,
        threads=threads.available(),
        tmp_dir=tmp_dir,
    )
    report = examine(data, judge_share=config.judge_share, test_share=config.test_share)
    for warning in report.warnings:
        note(f"Warning: {warning}")
    return data.arms, report


def _check_report(logs: str | Path, report: LogReport) -> None:
    if stops := report.stops:
        more = f" (and {len(stops) - 1} more: rlopt check-logs)" if len(stops) > 1 else ""
        raise LogError(f"{logs} cannot teach a reward. {stops[0].message}{more}")


def joined_arms(parts: Sequence[Arms], half_life_days: float | None = None) -> Arms:
    """The arms of all logs in one table, their counts faded by age where a half life is set.

    Raises
    ------
    LogError
        Where a half life is set and a log has no times.
    """
    parts = levelled(parts)
    if half_life_days is None:
        return merge_arms(parts)
    end = max((float(part.last_seen.max()) for part in parts if part.last_seen is not None and len(part)), default=0.0)
    return merge_arms([faded(part, half_life_days, end) for part in parts])


def keep(arms: Arms, report: LogReport, checkpoints: Path) -> None:
    """Keep what an interrupted stage need not do again; only after nothing can be refused any more."""
    if not (checkpoints / FINDINGS).exists():
        with disk_errors(checkpoints):
            save_arms(arms, checkpoints)
        atomic_write(checkpoints / FINDINGS, to_json(report))


def fit_model(
    arms: Arms,
    config: RewardConfig,
    encoder: Encoder | None,
    checkpoints: Path,
    curve: LearningCurve | None = None,
    scheduler: str | None = None,
) -> RewardModel:
    """The reward model of train arms; an interrupted stage finds the members it has."""
    outcomes = 2 if arms.conversions is not None and arms.conversions.any() else 1
    with (
        tree_engine(config, scheduler) as trees,
        track("reward model", outcomes * config.members) as bar,
        disk_errors(checkpoints),
    ):

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
        )


def fit_judge(arms: Arms, config: RewardConfig, encoder: Encoder | None) -> Judge:
    """The judge, from the arms of its own items."""
    note(f"Fitting the judge on {len(arms.items)} items of its own")
    return Judge.fit(arms, seed=config.seed, encoder=encoder)


def save(
    run: Run, fitted: Fitted, settings: Mapping[str, Any], preset: Mapping[str, Any], market: bytes | None
) -> None:
    """Write ``data/``, ``reward/``, ``monitor/``, ``judge/`` and the encoder ``policy``; they change together."""
    encoder = [POLICY_ENCODER] if reads_with_policy(settings.get("encoder")) else []
    with run.replacing_all(DATA, "reward", MONITOR, "judge", *encoder) as folders:
        if encoder:
            keep_policy(run, folders[POLICY_ENCODER])
        data = folders[DATA]
        save_arms(fitted.arms, data)
        save_parts(fitted.parts, data)
        (data / "splits.json").write_text(fitted.splits.to_json(), encoding="utf-8")
        (data / "preset.json").write_text(to_json(preset, indent=2), encoding="utf-8")
        (data / FINDINGS).write_text(to_json(fitted.report, indent=2), encoding="utf-8")
        fitted.model.save(folders["reward"])
        (folders["reward"] / EVIDENCE).write_text(evidence_text(fitted.evidence), encoding="utf-8")
        (folders["reward"] / HISTORY).write_text(history_text(fitted.history), encoding="utf-8")
        write_card(
            folders["reward"],
            fitted.model,
            fitted.learned,
            fitted.splits,
            fitted.evidence,
            settings,
            fitted.report.warnings,
        )
        if fitted.monitor is not None:
            fitted.monitor.save(folders[MONITOR])
        if fitted.judge is not None:
            fitted.judge.save(folders["judge"])
    if market is None:
        (run / MARKET).unlink(missing_ok=True)
    else:
        atomic_write(run / MARKET, market)


def market_beside(logs: str | Path) -> bytes | None:
    """The simulator's file beside simulated logs, so that later stages can show the truth; None for real logs."""
    path = Path(logs)
    stem = path.with_suffix("") if path.suffix == ".parquet" else path
    market = stem.with_name(f"{stem.name}.{MARKET}")
    return market.read_bytes() if market.is_file() else None
