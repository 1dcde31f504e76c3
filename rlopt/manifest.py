"""The manifest of a run: which stages are done, with which settings and inputs, and on which results they stand."""

import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from reward.plain import JsonObject
from reward.saved import SavedError, check_kind, parse_json, read_bytes
from rlopt.algorithms import ALGORITHMS
from rlopt.errors import RunError, StageOrderError
from rlopt.files import atomic_write, to_json

FORMAT = 1
_PACKAGES = ("rlopt", "duckdb", "lightgbm", "numpy", "peft", "scikit-learn", "torch", "transformers", "trl")
_COMMANDS = {
    "fit-reward": "rlopt fit-reward LOGS",
    "catalogue": "rlopt sft CATALOGUE",
    "sft": "rlopt sft",
    **{name: algorithm.command for name, algorithm in ALGORITHMS.items()},
    "offline-eval": "rlopt offline-eval",
    "compare": "rlopt compare",
    "probe": "rlopt probe",
    "tag": "rlopt tag fit TITLES",
}
_NEEDS = {
    "catalogue": (),
    "fit-reward": (),
    "sft": ("catalogue", "fit-reward"),  # never both
    **dict.fromkeys(ALGORITHMS, ("fit-reward", "sft")),
    "offline-eval": ("fit-reward", "sft", "ppo"),
    "compare": ("fit-reward", "sft"),
    "probe": ("fit-reward",),
}
_REPLACES = {"fit-reward": "catalogue"}  # whose folders it rewrites
_WAY_OUT = "Restore it from a copy, or use another run directory with --run."


@dataclass(frozen=True)
class _Done:
    config: JsonObject
    inputs: dict[str, str]
    after: dict[str, str]
    key: str
    notes: JsonObject
    seconds: float


@dataclass(frozen=True)
class _Before:
    record: _Done
    folders: list[str]


@dataclass(frozen=True)
class _Begun:
    config: JsonObject
    key: str
    seconds: float
    before: _Before | None = None  # the records that it is about to replace


@dataclass(frozen=True)
class _Shape:
    format: int
    stages: dict[str, _Done]
    unfinished: dict[str, _Begun]


class Manifest:
    """``manifest.json`` of a run directory; every change is read, changed and written whole.

    ``stages`` holds a record for each finished stage, ``unfinished`` one for each stage that was begun.

    Parameters
    ----------
    folder
        The run directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "manifest.json"

    def read(self) -> JsonObject:
        """The manifest as it stands on disk; an empty one where nothing was written yet.

        Raises
        ------
        RunError
            If the file cannot be read as a manifest, or is of another format.
        """
        if not os.path.lexists(self.path):
            return {"format": FORMAT, "created": now(), "stages": {}, "unfinished": {}}
        try:
            text = read_bytes(self.path, _WAY_OUT)
            content: JsonObject = parse_json(text, self.path, JsonObject, _WAY_OUT)
            if content.get("format", FORMAT) != FORMAT:
                raise RunError(
                    f"{self.path} has format {content['format']!r:.40}, and this rlopt reads format {FORMAT}. "
                    "Use the rlopt version that wrote it, or another run directory with --run."
                )
            check_kind(text, self.path, _Shape, _WAY_OUT)
        except SavedError as error:
            raise RunError(str(error)) from error
        return content

    def write(self, content: JsonObject) -> None:
        """Replace the file."""
        atomic_write(self.path, to_json(content, indent=2) + "\n")

    def done(self, stage: str) -> bool:
        """True where ``stage`` is finished and stands on the present results of the stages it needs."""
        content = self.read()
        return stage in content["stages"] and not _outdated(stage, content)

    def require(self, *stages: str) -> JsonObject:
        """Check that these stages are done; returns the manifest.

        Raises
        ------
        StageOrderError
            If one is missing, was interrupted, or was done before a stage it stands on changed. The message says
            what to run.
        """
        content = self.read()
        for stage in stages:
            command = f"{_COMMANDS.get(stage, f'rlopt {stage}')} --run {self.folder}"
            if stage in content["stages"]:
                if changed := _outdated(stage, content):
                    gone = changed[0] == "catalogue" and changed[0] not in content["stages"]
                    what = "logs took the place of its catalogue" if gone else f"'{changed[0]}' changed"
                    raise StageOrderError(
                        f"'{stage}' of run {self.folder} was done before {what}. Run it again: {command}"
                    )
            elif stage == "fit-reward" and "catalogue" in content["stages"]:
                raise StageOrderError(
                    f"Run {self.folder} has learned from titles alone: it has no reward yet, and knows sft and "
                    f"generate only. Show titles and log them, then: {command} (--observational where each item had "
                    "one title); rlopt explore then plans what to show next."
                )
            elif stage in content["unfinished"]:
                raise StageOrderError(f"'{stage}' of run {self.folder} was interrupted. Continue it with: {command}")
            else:
                raise StageOrderError(f"Run {self.folder} has no '{stage}' yet. Run first: {command}")
        return content

    def key(self, stage: str, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
        """Hash of a stage's settings, inputs and the stages it stands on; equal keys mean equal results."""
        basis = {"config": settings, "inputs": inputs, "after": self._stands_on(stage)}
        return hashlib.blake2b(to_json(basis).encode(), digest_size=16).hexdigest()

    def begin(self, stage: str, settings: Mapping[str, Any], key: str) -> tuple[JsonObject | None, float]:
        """Note that ``stage`` begins.

        Returns
        -------
        The settings of an earlier attempt that was not finished (None without one), and the seconds spent on it if
        it was the same.
        """
        content = self.read()
        earlier = content["unfinished"].get(stage)
        spent: float = earlier["seconds"] if earlier and earlier["key"] == key else 0.0
        content["unfinished"][stage] = {"config": settings, "key": key, "seconds": spent, "started": now()}
        self.write(content)
        return (earlier["config"] if earlier else None), spent

    def pause(self, stage: str, seconds: float) -> None:
        """Note how long an interrupted stage took."""
        content = self.read()
        if stage in content["unfinished"]:
            content["unfinished"][stage]["seconds"] = round(seconds, 3)
            self.write(content)

    def abandon(self, stage: str) -> None:
        """Forget that ``stage`` was begun: what it had done before stands."""
        content = self.read()
        if content["unfinished"].pop(stage, None) is not None:
            self.write(content)

    def withdraw(self, stage: str, folder: str | None = None) -> None:
        """Call a finished stage, and the one that it replaces, not done.

        If it replaces the one ``folder``, `reinstate` takes that back.
        """
        content = self.read()
        gone = [content["stages"].pop(name, None) for name in (stage, _REPLACES.get(stage, stage))]
        begun = content["unfinished"][stage]
        if folder is not None and gone[0] is not None:
            begun["before"] = {"record": gone[0], "folders": [folder]}
        elif folder is not None and begun.get("before"):
            begun["before"]["folders"].append(folder)
        self.write(content)

    def withdrawn(self) -> list[str]:
        """Folders whose stages `reinstate` would call done again."""
        begun = self.read()["unfinished"].values()
        return [folder for stage in begun if stage.get("before") for folder in stage["before"]["folders"]]

    def reinstate(self) -> None:
        """Call stages that were withdrawn and not finished done as they were, once their folders are back."""
        content = self.read()
        back = {stage: begun.pop("before") for stage, begun in content["unfinished"].items() if begun.get("before")}
        content["stages"] |= {stage: before["record"] for stage, before in back.items()}
        if back:
            self.write(content)

    def finish(
        self,
        stage: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        notes: Mapping[str, Any],
        seconds: float,
    ) -> None:
        """Note that ``stage`` is done."""
        content = self.read()
        content["unfinished"].pop(stage, None)
        content["stages"][stage] = {
            "config": settings,
            "seed": settings.get("seed"),
            "inputs": inputs,
            "after": self._stands_on(stage),
            "key": self.key(stage, settings, inputs),
            "notes": notes,
            "versions": package_versions(),
            "seconds": round(seconds, 3),
            "finished": now(),
        }
        self.write(content)

    def _stands_on(self, stage: str) -> dict[str, str]:
        done = self.read()["stages"]
        return {need: done[need]["key"] for need in _needs(stage) if need in done}


def _needs(stage: str) -> tuple[str, ...]:
    """Stages that this one stands on, where they are done."""
    if stage.startswith("offline-eval-"):  # of another policy than ppo, which may be none of the run's
        return "fit-reward", "sft", stage.removeprefix("offline-eval-")
    return _NEEDS.get(stage, ())


def _outdated(stage: str, content: JsonObject) -> list[str]:
    """Stages that changed, or were started again, since ``stage`` was done on them."""
    stood_on: dict[str, str] = content["stages"][stage]["after"]
    return [
        need
        for need in _needs(stage)
        if need in stood_on
        and (
            need not in content["stages"]
            or content["stages"][need]["key"] != stood_on[need]
            or _outdated(need, content)
        )
    ]


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a stage computes."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
