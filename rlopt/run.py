"""The run directory: what a chain of stages shares, what each has done, with which settings and inputs.

A stage is finished when the manifest says so, and the manifest says so last: whatever kills a process, the next one
finds either the old result or the new one. Layout: DESIGN section 4, with ``data/`` (arms, items, splits, settings of
the logs) written by ``fit-reward`` and ``checkpoints/`` for stages under way.
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from rlopt.errors import RloptError, RunError, StageOrderError
from rlopt.files import (
    JsonlWriter,
    atomic_path,
    atomic_write,
    disk_errors,
    fingerprint,
    needs_recovery,
    recover_folders,
    replacing_folders,
    to_json,
)
from rlopt.lock import locked

if TYPE_CHECKING:
    from reward.arms import Arms
    from reward.splits import Splits

__all__ = ["JsonlWriter", "Run", "StageRecord", "atomic_path", "atomic_write", "fingerprint"]

FORMAT = 1
DATA = "data"
_PACKAGES = ("rlopt", "duckdb", "lightgbm", "numpy", "peft", "scikit-learn", "torch", "transformers", "trl")
_COMMANDS = {
    "fit-reward": "rlopt fit-reward LOGS",
    "sft": "rlopt sft",
    "ppo": "rlopt ppo",
    "offline-eval": "rlopt offline-eval",
}
_NEEDS = {
    "fit-reward": (),
    "sft": ("fit-reward",),
    "ppo": ("fit-reward", "sft"),
    "offline-eval": ("fit-reward", "sft", "ppo"),
}


@dataclass
class StageRecord:
    """What a stage under way knows of itself; the manifest keeps it when the stage is done.

    Parameters
    ----------
    key
        Hash of the stage's settings, inputs and the stages it stands on: equal keys mean equal results.
    interrupted
        The settings of an earlier attempt that was not finished, None where there is none.
    notes
        Whatever the stage wants to keep (small, JSON): ``record.notes["kl"] = 2.1``.
    """

    key: str
    interrupted: dict[str, Any] | None = None
    notes: dict[str, Any] = field(default_factory=dict)


class Run:
    """One run directory. ``run / "reward"`` is a path in it.

    Made by `Run.open`; nothing is written before the first stage begins.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
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
            When there is no run and ``create`` is False.
        RunError
            When the directory is something else, or its manifest is damaged or of another format.
        """
        run = cls(Path(path))
        if run._manifest_path.exists():
            manifest = run.manifest
            if manifest["format"] != FORMAT:
                raise RunError(
                    f"{run._manifest_path} has format {manifest['format']}, and this rlopt reads format {FORMAT}. "
                    "Use the rlopt version that wrote it, or another run directory with --run."
                )
            if needs_recovery(run.path):
                with locked(run.path, "recovery"), disk_errors(run.path):
                    recover_folders(run.path)
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

    @property
    def _manifest_path(self) -> Path:
        return self.path / "manifest.json"

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest as it stands on disk; an empty one where nothing was written yet.

        Raises
        ------
        RunError
            When the file cannot be read as a manifest.
        """
        if not self._manifest_path.exists():
            return {"format": FORMAT, "created": _now(), "stages": {}, "unfinished": {}}
        try:
            manifest = json.loads(self._manifest_path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(
                f"{self._manifest_path} cannot be read ({_first_line(error)}). Restore it from a copy, "
                "or use another run directory with --run."
            ) from error
        if not isinstance(manifest, dict) or not all(
            isinstance(manifest.get(k), dict) for k in ("stages", "unfinished")
        ):
            raise RunError(
                f"{self._manifest_path} is not a manifest of rlopt (no 'stages'). Restore it from a copy, "
                "or use another run directory with --run."
            )
        return manifest

    def _write_manifest(self, manifest: Mapping[str, Any]) -> None:
        atomic_write(self._manifest_path, to_json(manifest, indent=2) + "\n")

    def done(self, stage: str) -> bool:
        """True where ``stage`` is finished and stands on the present results of the stages it needs."""
        manifest = self.manifest
        return stage in manifest["stages"] and not self._outdated(stage, manifest)

    def current(
        self, stage: str, config: BaseModel | Mapping[str, Any], inputs: Mapping[str, str] | None = None
    ) -> bool:
        """True where ``stage`` is done with exactly these settings and inputs: doing it again would change nothing."""
        key = self.stage_key(stage, _settings(config), inputs)
        return self.done(stage) and bool(self.manifest["stages"][stage]["key"] == key)

    def _outdated(self, stage: str, manifest: dict[str, Any]) -> list[str]:
        """Stages that changed, or were begun anew, since ``stage`` was done on them."""
        stood_on: dict[str, str] = manifest["stages"][stage]["after"]
        return [
            need
            for need in _NEEDS.get(stage, ())
            if need in stood_on
            and (
                need not in manifest["stages"]
                or manifest["stages"][need]["key"] != stood_on[need]
                or self._outdated(need, manifest)
            )
        ]

    def require(self, *stages: str) -> None:
        """Check that these stages are done.

        Raises
        ------
        StageOrderError
            When one is missing, was interrupted, or was done before a stage it stands on changed. The message says
            what to run.
        """
        manifest = self.manifest
        for stage in stages:
            command = f"{_COMMANDS.get(stage, f'rlopt {stage}')} --run {self.path}"
            if stage in manifest["stages"]:
                if changed := self._outdated(stage, manifest):
                    raise StageOrderError(
                        f"'{stage}' of run {self.path} was done before '{changed[0]}' changed. Run it again: {command}"
                    )
            elif stage in manifest["unfinished"]:
                raise StageOrderError(f"'{stage}' of run {self.path} was interrupted. Continue it with: {command}")
            else:
                raise StageOrderError(f"Run {self.path} has no '{stage}' yet. Run first: {command}")

    def record(self, stage: str) -> dict[str, Any]:
        """The manifest's record of a finished stage.

        Raises
        ------
        StageOrderError
            When it is not done.
        """
        self.require(stage)
        record: dict[str, Any] = self.manifest["stages"][stage]
        return record

    @contextmanager
    def stage(
        self, name: str, config: BaseModel | Mapping[str, Any], inputs: Mapping[str, str] | None = None
    ) -> Iterator[StageRecord]:
        """Do one stage: take the run's lock, note that it began, and mark it done when the block ends well.

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
            When another process writes this run, or the disk is full or not writable.
        """
        settings = _settings(config)
        if int(os.environ.get("RANK", "0")) > 0:  # accelerate launch: the first process keeps the books
            yield StageRecord(key=self.stage_key(name, settings, inputs))
            return
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path, f"rlopt {name}"), disk_errors(self.path):
            if needs_recovery(self.path) or any(self.path.glob(".tmp-*")):
                recover_folders(self.path)
            manifest = self.manifest
            before = self._manifest_path.read_bytes() if self._manifest_path.exists() else None
            earlier = manifest["unfinished"].get(name)
            record = StageRecord(
                key=self.stage_key(name, settings, inputs), interrupted=earlier["config"] if earlier else None
            )
            spent = earlier["seconds"] if earlier and earlier["key"] == record.key else 0.0
            unfinished = {"config": settings, "key": record.key, "seconds": spent, "started": _now()}
            self._write_manifest({**manifest, "unfinished": {**manifest["unfinished"], name: unfinished}})
            began = time.monotonic()
            self._active.append(name)
            try:
                yield record
            except BaseException as error:
                refused = isinstance(error, (RloptError, ValueError)) and not (self / "checkpoints" / name).exists()
                with suppress(RunError):  # the error under way is the one to tell
                    if refused:
                        self._restore_manifest(before)
                    else:
                        self._keep_seconds(name, spent + time.monotonic() - began)
                raise
            finally:
                self._active.pop()
            self._mark_done(name, settings, inputs, record, spent + time.monotonic() - began)

    def stage_key(self, name: str, settings: Mapping[str, Any], inputs: Mapping[str, str] | None = None) -> str:
        """Hash of a stage's settings, inputs and the stages it stands on; equal keys mean equal results."""
        basis = {"config": settings, "inputs": dict(inputs or {}), "after": self._stands_on(name)}
        return hashlib.blake2b(to_json(basis).encode(), digest_size=16).hexdigest()

    def _stands_on(self, name: str) -> dict[str, str]:
        done = self.manifest["stages"]
        return {need: done[need]["key"] for need in _NEEDS.get(name, ()) if need in done}

    def _restore_manifest(self, before: bytes | None) -> None:
        """Leave no trace of a stage that refused its input before it had done anything."""
        if before is not None:
            atomic_write(self._manifest_path, before)
            return
        self._manifest_path.unlink(missing_ok=True)
        (self / ".lock").unlink(missing_ok=True)
        with suppress(OSError):  # not empty: then it was not ours alone
            self.path.rmdir()

    def _keep_seconds(self, name: str, seconds: float) -> None:
        manifest = self.manifest
        if name in manifest["unfinished"]:
            manifest["unfinished"][name]["seconds"] = round(seconds, 3)
            self._write_manifest(manifest)

    def _mark_done(
        self,
        name: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str] | None,
        record: StageRecord,
        seconds: float,
    ) -> None:
        manifest = self.manifest
        manifest["unfinished"].pop(name, None)
        manifest["stages"][name] = {
            "config": settings,
            "seed": settings.get("seed"),
            "inputs": dict(inputs or {}),
            "after": self._stands_on(name),
            "key": self.stage_key(name, settings, inputs),
            "notes": record.notes,
            "versions": package_versions(),
            "seconds": round(seconds, 3),
            "finished": _now(),
        }
        self._write_manifest(manifest)

    @contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """A fresh temporary folder that takes the place of ``run / name`` when the block ends well."""
        with self.replacing_all(name) as fresh:
            yield fresh[name]

    @contextmanager
    def replacing_all(self, *names: str) -> Iterator[dict[str, Path]]:
        """Fresh temporary folders that replace ``run / name`` together, after all were written."""
        with replacing_folders(self.path, names, before_swap=self._withdraw) as fresh:
            yield fresh

    def _withdraw(self) -> None:
        """Call the stage under way not done: were the process killed between two moves, nobody takes a mixture."""
        manifest = self.manifest
        if self._active and manifest["stages"].pop(self._active[-1], None) is not None:
            self._write_manifest(manifest)

    def metrics(self, name: str) -> JsonlWriter:
        """Writer of ``metrics/<name>.jsonl``."""
        return JsonlWriter(self.path / "metrics" / f"{name}.jsonl")

    def checkpoint_dir(self, stage: str, key: str) -> Path:
        """Folder for the checkpoints of one stage with these settings and inputs; not made."""
        return self.path / "checkpoints" / stage / key

    def arms(self) -> "Arms":
        """The aggregated logs that ``fit-reward`` kept."""
        from reward.store import load_arms

        self.require("fit-reward")
        return load_arms(self / DATA)

    def splits(self) -> "Splits":
        """Which items train, which fit the judge, which test."""
        from reward.splits import Splits

        self.require("fit-reward")
        return Splits.from_json((self / DATA / "splits.json").read_text(encoding="utf-8"))

    def preset(self) -> dict[str, Any]:
        """The preset ``fit-reward`` was given (``columns`` and a section a stage); empty without one."""
        path = self / DATA / "preset.json"
        if not path.exists():
            return {}
        preset: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return preset


def _settings(config: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    return config.model_dump(mode="json") if isinstance(config, BaseModel) else dict(config)


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a stage computes."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
