"""The run directory: what a chain of stages shares, what each has done, with which settings and inputs.

A stage is finished when the manifest says so, and the manifest says so last: whatever kills a process, the next one
finds either the old result or the new one. Layout: docs/architecture.md, section 4. ``fit-reward`` writes ``data/``
(arms, items, splits, settings of the logs); ``checkpoints/`` is for stages under way.
"""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reward.plain import JsonObject
from reward.saved import read_json
from rlopt import processes
from rlopt.config import StageConfig
from rlopt.errors import RloptError, RunError, StageOrderError
from rlopt.files import (
    JsonlWriter,
    atomic_path,
    atomic_write,
    disk_errors,
    fingerprint,
    fingerprints,
    needs_recovery,
    recover_folders,
    refuse_links,
    replacing_folders,
)
from rlopt.lock import HOLDER, LOCK, locked
from rlopt.manifest import Manifest, package_versions

if TYPE_CHECKING:
    from reward.arms import Arms
    from reward.logs.splits import Splits

__all__ = [
    "CATALOGUE",
    "DATA",
    "FINDINGS",
    "JsonlWriter",
    "Run",
    "StageRecord",
    "atomic_path",
    "atomic_write",
    "fingerprint",
    "package_versions",
]

DATA = "data"
CATALOGUE = "catalogue"  # the stage that ``rlopt sft CATALOGUE`` begins a run without clicks with
FINDINGS = "findings.json"  # in DATA: what the log doctor found
BELONGING = "belonging"  # model of whether titles belong to their items
ENCODINGS = "cache/encodings.sqlite"  # encodings of titles; may be deleted at any time


@dataclass
class StageRecord:
    """State of a running stage; the manifest keeps it when the stage is done.

    Parameters
    ----------
    key
        Hash of the stage's settings, inputs and the stages it stands on: equal keys mean equal results.
    checkpoints
        Folder for work that an interrupted stage need not repeat; not made, and removed when the stage is done.
    interrupted
        The settings of an earlier attempt that was not finished, None where there is none.
    notes
        Anything the stage wants to keep (small, JSON): ``record.notes["kl"] = 2.1``.
    unchanged
        Set by a stage that decided to leave everything unchanged: the manifest keeps its earlier record.
    """

    key: str
    checkpoints: Path
    interrupted: JsonObject | None = None
    notes: JsonObject = field(default_factory=dict)
    unchanged: bool = False


class Run:
    """One run directory. ``run / "reward"`` is a path in it.

    Made by `Run.open`; nothing is written before the first stage begins.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._manifest = Manifest(self.path)
        self._active: list[str] = []

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @classmethod
    def open(cls, path: str | Path, create: bool = False) -> "Run":
        """Open a run directory.

        Parameters
        ----------
        path
            The directory.
        create
            Accept a directory that does not exist yet or is empty.

        Raises
        ------
        StageOrderError
            If there is no run and ``create`` is False.
        RunError
            If the directory is something else or holds a link, or its manifest is damaged or of another format.
        """
        run = cls(Path(path))
        if os.path.lexists(run._manifest.path):
            run.refuse_links()
            if needs_recovery(run.path) or run._manifest.withdrawn():
                with locked(run.path, "recovery"), disk_errors(run.path):
                    run._recover()
        elif run.path.exists() and not run.path.is_dir():
            raise RunError(f"{run.path} is a file, not a run directory. Choose another one with --run.")
        elif run.path.exists() and any(not p.name.startswith(".") for p in run.path.iterdir()):
            raise RunError(
                f"{run.path} holds other files and no manifest.json, so it is no run directory. "
                "Choose an empty or a new one with --run."
            )
        elif not create:
            raise StageOrderError(f"There is no run at {run.path}. Start one with: rlopt fit-reward LOGS --run {path}")
        return run

    def refuse_links(self) -> None:
        """Check that no link lies in the run directory, which may itself be behind one.

        Raises
        ------
        RunError
            If there is one, or a pipe, a socket or a device.
        """
        with disk_errors(self.path):
            refuse_links(self.path, "use another run directory with --run")

    @property
    def manifest(self) -> JsonObject:
        """The manifest as it stands on disk; an empty one where nothing was written yet.

        Raises
        ------
        RunError
            If the file cannot be read as a manifest.
        """
        return self._manifest.read()

    def done(self, stage: str) -> bool:
        """True where ``stage`` is finished and stands on the present results of the stages it needs."""
        return self._manifest.done(stage)

    def current(
        self, stage: str, config: StageConfig | Mapping[str, Any], inputs: Mapping[str, str] | None = None
    ) -> bool:
        """True where ``stage`` is done with exactly these settings and inputs: doing it again would change nothing.

        False where another attempt at it was begun since, and interrupted: it may have left its own metrics.
        """
        return (
            self.done(stage)
            and stage not in self.manifest["unfinished"]
            and bool(
                self.manifest["stages"][stage]["key"]
                == self._manifest.key(stage, _settings(config), _inputs(config, inputs))
            )
        )

    def require(self, *stages: str) -> None:
        """Check that these stages are done.

        Raises
        ------
        StageOrderError
            If one is missing, was interrupted, or was done before a stage it stands on changed. The message says
            what to run.
        """
        self._manifest.require(*stages)

    def record(self, stage: str) -> JsonObject:
        """The manifest's record of a finished stage.

        Raises
        ------
        StageOrderError
            If it is not done.
        """
        record: JsonObject = self._manifest.require(stage)["stages"][stage]
        return record

    @contextmanager
    def stage(
        self, name: str, config: StageConfig | Mapping[str, Any], inputs: Mapping[str, str] | None = None
    ) -> Iterator[StageRecord]:
        """Run one stage: take the run's lock, note that it began, and mark it done when the block ends well.

        Its checkpoints are removed after that; where the block fails, or the process dies, they stay.

        Parameters
        ----------
        name
            "fit-reward", "sft", "ppo", "offline-eval" ...
        config
            Resolved settings; its ``seed`` is noted apart.
        inputs
            Name -> fingerprint of what the stage reads from outside the run.

        Raises
        ------
        RunError
            If another process writes this run, or the disk is full or not writable.
        """
        settings, given = _settings(config), _inputs(config, inputs)
        if not processes.is_first():  # accelerate launch: the first process keeps the books
            yield self._record(name, settings, given)
            return
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path, f"rlopt {name}"), disk_errors(self.path):
            self.refuse_links()
            if not self._active:
                self._recover()
            before = self._manifest.path.read_bytes() if self._manifest.path.exists() else None
            record = self._record(name, settings, given)
            record.interrupted, spent = self._manifest.begin(name, settings, record.key)
            began = time.monotonic()
            self._active.append(name)
            try:
                yield record
            except BaseException as error:
                refused = isinstance(error, (RloptError, ValueError)) and not record.checkpoints.parent.exists()
                with suppress(RunError, OSError):  # the error under way is the one to tell
                    if refused:
                        self._restore(before)
                    else:
                        if self._active == [name]:
                            self._recover()
                        self._manifest.pause(name, spent + time.monotonic() - began)
                raise
            finally:
                self._active.pop()
            if record.unchanged:
                self._manifest.abandon(name)
            else:
                self._manifest.finish(name, settings, given, record.notes, spent + time.monotonic() - began)
            shutil.rmtree(record.checkpoints.parent, ignore_errors=True)
            if not self._active:
                with suppress(RunError, OSError):  # the next stage removes the rest
                    self._recover()

    def _recover(self) -> None:
        """Restore what a killed stage had begun to replace; remove what a finished one has replaced."""
        recover_folders(self.path, put_back=self._manifest.withdrawn())
        self._manifest.reinstate()

    def _record(self, name: str, settings: JsonObject, inputs: dict[str, str]) -> StageRecord:
        key = self._manifest.key(name, settings, inputs)
        return StageRecord(key, self / "checkpoints" / name / key)

    def _restore(self, before: bytes | None) -> None:
        """Leave no trace of a stage that refused its input before it had done anything."""
        if before is not None:
            atomic_write(self._manifest.path, before)
            return
        self._manifest.path.unlink(missing_ok=True)
        for name in (LOCK, HOLDER):
            (self / name).unlink(missing_ok=True)
        with suppress(OSError):  # not empty: then it was not ours alone
            self.path.rmdir()

    @contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """A fresh temporary folder that takes the place of ``run / name`` when the block ends well.

        Within a stage the old folder, and the manifest's record of the stage, are there again should the process die
        before the stage is done.
        """
        active = bool(self._active)
        withdraw = partial(self._withdraw, name if os.path.lexists(self / name) else None)
        with replacing_folders(self.path, [name], before_swap=withdraw, keep_old=active) as fresh:
            yield fresh[name]

    @contextmanager
    def replacing_all(self, *names: str) -> Iterator[dict[str, Path]]:
        """Fresh temporary folders that replace ``run / name`` together, after all were written.

        Should the process die within the moves, the stage is not done.
        """
        with replacing_folders(self.path, names, before_swap=self._withdraw) as fresh:
            yield fresh

    def _withdraw(self, folder: str | None = None) -> None:
        """Call the stage under way not done: were the process killed between two moves, nobody takes a mixture."""
        if self._active:
            self._manifest.withdraw(self._active[-1], folder)

    def metrics(self, name: str) -> JsonlWriter:
        """Writer of ``metrics/<name>.jsonl``."""
        return JsonlWriter(self.path / "metrics" / f"{name}.jsonl")

    @property
    def rewarded(self) -> bool:
        """False where the run has learned from titles alone (``rlopt sft CATALOGUE``): there is no reward yet."""
        return not self.done(CATALOGUE)

    def require_titles(self) -> None:
        """Check that the run has items with titles: those of logs, or of a catalogue.

        Raises
        ------
        StageOrderError
            If it has neither.
        """
        if self.rewarded:
            self.require("fit-reward")

    def arms(self) -> "Arms":
        """The aggregated logs that ``fit-reward`` kept, or the catalogue's titles, never shown."""
        from reward.logs.store import load_arms

        self.require_titles()
        return load_arms(self / DATA)

    def splits(self) -> "Splits":
        """Splits of the items: train, judge, test."""
        from reward.logs.splits import Splits

        self.require_titles()
        return Splits.read(self / DATA / "splits.json")

    def preset(self) -> JsonObject:
        """The preset ``fit-reward`` was given (``columns`` and a section a stage); empty without one."""
        path = self / DATA / "preset.json"
        return kept_preset(path) if path.exists() else {}


def kept_preset(path: Path) -> JsonObject:
    """The preset that ``fit-reward`` kept in a file of the run: a table of settings a section.

    Raises
    ------
    SavedError
        If the file is damaged.
    """
    preset: JsonObject = read_json(path, dict[str, JsonObject | None])
    return preset


def _inputs(config: StageConfig | Mapping[str, Any], inputs: Mapping[str, str] | None) -> dict[str, str]:
    """``inputs``, and the files that the settings name."""
    named = config.files() if isinstance(config, StageConfig) else []
    return {**(inputs or {}), **fingerprints(named)}


def _settings(config: StageConfig | Mapping[str, Any]) -> JsonObject:
    return config.model_dump(mode="json") if isinstance(config, StageConfig) else dict(config)
