"""Base of an update, and the checks that no row is counted twice: fingerprints, counts, times."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reward.arms import Arms
from reward.doctor.examine import LogReport
from reward.errors import LogError
from reward.logs.sources.local import LocalSource
from reward.logs.splits import Splits
from reward.logs.store import load_arms, save_arms
from reward.logs.update import merge_arms, overlap
from reward.model.reward_model import RewardModel
from reward.plain import JsonObject
from reward.saved import read_json
from reward.saved_models import POLICY_ENCODER
from rlopt.config import RewardConfig
from rlopt.errors import ConfigError
from rlopt.files import atomic_write, disk_errors, to_json
from rlopt.progress import note
from rlopt.run import DATA, ENCODINGS, Run, kept_preset
from rlopt.stages.common.log_report import read_report
from rlopt.stages.common.parts import load_parts
from rlopt.stages.common.truth import MARKET
from rlopt.stages.fit_reward.history import (
    HISTORY,
    PENDING,
    Entry,
    counts_digest,
    history_text,
    read_history,
)

_OF_THE_RUN = ("seed", "judge_share", "test_share", "time_split", "conversion_window_hours", "observational")
_BASE = "base"
_RECORD = "record.json"


@dataclass(frozen=True)
class _Copied:
    config: JsonObject
    inputs: dict[str, str]


@dataclass(frozen=True)
class Base:
    """Base of an update: the finished run, or the copy that an interrupted saving left in its checkpoints."""

    folder: Path
    settings: JsonObject
    inputs: dict[str, str]
    market: bytes | None

    @classmethod
    def of(cls, run: Run) -> "Base":
        """The run's fit.

        Raises
        ------
        StageOrderError
            If there is none.
        """
        market = (run / MARKET).read_bytes() if (run / MARKET).exists() else None
        if not run.done("fit-reward"):
            for record in sorted(run.path.glob(f"checkpoints/fit-reward/*/{_BASE}/{_RECORD}")):
                saved = read_json(record, _Copied)
                return cls(record.parent, saved["config"], saved["inputs"], market)
        record_of = run.record("fit-reward")
        return cls(run.path, record_of["config"], record_of["inputs"], market)

    @property
    def config(self) -> RewardConfig:
        """Settings of the fit, without its plans, which are of its own logs."""
        known = RewardConfig.model_fields.keys() - {"plan"}
        return RewardConfig(**{name: self.settings[name] for name in known if name in self.settings})

    def keep_copy(self, run: Run, checkpoints: Path, logs: LocalSource) -> None:
        """Copy what saving is about to replace, so that a kill in the midst of it loses nothing."""
        target = checkpoints / _BASE
        if self.folder == target:
            return
        with disk_errors(checkpoints):
            shutil.rmtree(target, ignore_errors=True)
            for name in (DATA, "reward", *([POLICY_ENCODER] if (run / POLICY_ENCODER).is_dir() else [])):
                shutil.copytree(run / name, target / name)
        record = {"config": self.settings, "inputs": self.inputs, "logs": str(logs)}
        atomic_write(target / _RECORD, to_json(record))

    def parts(self) -> list[Arms]:
        """Arms of each log so far."""
        return load_parts(self.folder / DATA)

    def splits(self) -> Splits:
        """Sides so far."""
        return Splits.read(self.folder / DATA / "splits.json")

    def report(self) -> LogReport:
        """Report of the log doctor."""
        return read_report(self.folder / DATA)

    def preset(self) -> JsonObject:
        """The run's preset with its column mapping."""
        return kept_preset(self.folder / DATA / "preset.json")

    def ignored(self) -> set[str]:
        """Columns that the run does not take for context."""
        return set(self.report().dropped_columns)

    def model(self, run: Run) -> RewardModel:
        """The present model."""
        return RewardModel.load(self.folder / "reward", encodings=run / ENCODINGS)

    def history(self) -> list[Entry]:
        """Lines so far."""
        return read_history(self.folder / "reward")


def check_settings(config: RewardConfig, base: RewardConfig) -> None:
    """Refuse settings that would move items to other sides of the split.

    Raises
    ------
    ConfigError
        If one differs from the run's.
    """
    for name in _OF_THE_RUN:
        if getattr(config, name) != getattr(base, name):
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(
                f"{flag} cannot change in an update: this run has {getattr(base, name)}, and items keep their side. "
                f"Leave it out, or fit in another run. Got {getattr(config, name)}."
            )


def seen(base: Base, logs: LocalSource, files: Sequence[str], digest: str, force: bool) -> Entry | None:
    """The line of the history that tells of this very log.

    Raises
    ------
    LogError
        If only some of its files were learned before.
    """
    for line in base.history():
        common = set(files) & set(line.files)
        if line.event == "trial" and (force or common != set(files)):
            continue
        if common == set(files):
            return line
        if common:
            raise LogError(
                f"{logs} holds {len(common)} of its {len(files)} files that were learned on {line.date[:10]} "
                "already. Name only the new files, as a glob or in a folder of their own."
            )
    if digest in base.inputs.values():
        return Entry("an earlier day", "fit", str(logs), (), "", items=0, arms=0, impressions=0, clicks=0)
    return None


def check_rows(base: Base, logs: LocalSource, new: Arms, force: bool) -> None:
    """Refuse rows that were learned before, as far as counts and times tell."""
    counts = counts_digest(new)
    for line in base.history():
        if line.counts == counts and not (force and line.event == "trial"):
            raise LogError(
                f"{logs} holds the same counts of the same titles as {line.logs}, learned on {line.date[:10]}. "
                "Give only new rows."
            )
    old = merge_arms(base.parts())
    if old.last_seen is None or new.first_seen is None:
        note(f"Without timestamps rlopt cannot tell if it has learned rows of {logs} before: they would count twice")
    between = overlap(old, new)
    if between is not None and not force:
        begin, end = (datetime.fromtimestamp(t, UTC).isoformat(sep=" ", timespec="minutes")[:16] for t in between)
        raise LogError(
            f"{logs} begins at {begin}, before the logs learned so far end at {end} (UTC): rows that both hold would "
            "count twice. Give only new rows, or --force where they are others."
        )


def pending(run: Run, digest: str, history: Sequence[Entry]) -> list[Arms]:
    """Arms of earlier logs whose update was not kept, without this one's and without those learned since.

    A kill between the end of an update and the removal of what it took in leaves arms that are learned already.
    """
    learned = {line.counts for line in history if line.event != "trial"}
    folders = [folder for folder in sorted((run / PENDING).glob("*/")) if not folder.name.endswith(digest)]
    return [arms for arms in map(load_arms, folders) if counts_digest(arms) not in learned]


def set_aside(run: Run, new: Arms, digest: str, history: Sequence[Entry]) -> None:
    """Keep the arms of a log whose update was not kept for the next one, and say so in the history."""
    for known in (run / PENDING).glob(f"*-{digest}"):
        shutil.rmtree(known)
    number = len(list((run / PENDING).glob("*/")))
    with disk_errors(run / PENDING):
        save_arms(new, run / PENDING / f"{number:03d}-{digest}")
    atomic_write(run / "reward" / HISTORY, history_text(history))
