"""History of a reward model, log by log: ``reward/history.jsonl``, and the arms of each log.

The first line is the fit, each further one an update: date, log, fingerprints of its files and of its counts, rows,
the figures of the comparison, and which model was kept. So the same rows are never counted twice.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator

from reward.arms import Arms
from reward.evidence.contest import Contest
from reward.logs.plans import PlanName
from reward.logs.source import find_files
from reward.logs.sources.local import LocalSource
from reward.logs.store import save_arms
from reward.plain import JsonObject, Plain, plain
from reward.saved import whole_lines
from rlopt.files import fingerprint, to_json
from rlopt.manifest import now
from rlopt.progress import note
from rlopt.stages.common.parts import PARTS

HISTORY = "history.jsonl"
PENDING = "updates"
"""Folder of the run with the arms of logs whose update was not kept; the next update takes them in."""
Event = Literal["fit", "update", "trial"]


@dataclass(frozen=True)
class UpdateOutcome(Plain):
    """Outcome of an update: which model was kept ("old" or "new"), why, and the comparison where there was one."""

    kept: str
    why: str
    figures: Annotated[Contest | None, BeforeValidator(lambda found: found or None)]

    def to_dict(self) -> JsonObject:
        """Plain JSON data; no comparison is an empty object."""
        return {**super().to_dict(), "figures": plain(self.figures or {})}


@dataclass(frozen=True)
class Entry(Plain):
    """One line of the history: a log and its outcome.

    Parameters
    ----------
    date
        When, ISO.
    event
        "fit", "update", or "trial": an update whose model was not kept.
    logs
        The log as it was named.
    files
        Fingerprint of each of its files.
    counts
        As in `counts_digest`.
    items, arms, impressions, clicks
        Size of the log.
    outcome
        Of an update, None of a fit; its values stand in the line itself.
    """

    date: str
    event: Event
    logs: str
    files: tuple[str, ...]
    counts: str
    items: int
    arms: int
    impressions: int
    clicks: int
    outcome: UpdateOutcome | None = None

    @classmethod
    def of(
        cls, event: Event, logs: LocalSource, files: Sequence[str], arms: Arms, outcome: UpdateOutcome | None = None
    ) -> "Entry":
        """Make the entry of a log."""
        return cls(
            now(),
            event,
            str(logs),
            tuple(files),
            counts_digest(arms),
            items=len(arms.items),
            arms=len(arms),
            impressions=int(arms.impressions.sum()),
            clicks=int(arms.clicks.sum()),
            outcome=outcome,
        )

    def to_dict(self) -> JsonObject:
        """Plain JSON data, the outcome's values beside the others."""
        line = super().to_dict()
        outcome = line.pop("outcome") or {}
        return {**line, **outcome}


def read_history(reward: Path) -> list[Entry]:
    """The lines of the history in a ``reward`` folder; none for a run that was fitted before there was one.

    Raises
    ------
    DataError
        If a line is damaged.
    """
    path = reward / HISTORY
    return [_entry(line, path) for line, _ in whole_lines(path)] if path.exists() else []


def _entry(line: str, path: Path) -> Entry:
    found = Entry.from_json(line, path)
    return found if found.event == "fit" else replace(found, outcome=UpdateOutcome.from_json(line, path))


def history_text(lines: Sequence[Entry]) -> str:
    """Content of the file."""
    return "".join(f"{to_json(line)}\n" for line in lines)


def log_fingerprints(logs: LocalSource) -> dict[Path, str]:
    """Fingerprint of every log file; notes files with the same content."""
    found = {path: fingerprint(path) for path in find_files(logs)}
    first: dict[str, Path] = {}
    for path, digest in found.items():
        if first.setdefault(digest, path) != path:
            note(f"{path} holds the same bytes as {first[digest]}: their rows count twice")
    return found


def logs_fingerprint(files: Mapping[Path, str]) -> str:
    """Hash over the names and contents of all log files, from `log_fingerprints`."""
    digest = hashlib.blake2b(digest_size=16)
    for path, content in files.items():
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()


def plan_fingerprints(texts: Iterable[str]) -> dict[str, str]:
    """Plan as on the command line -> hash of its file.

    Raises
    ------
    LogError
        If there is no such file.
    """
    return {f"plan {text}": fingerprint(PlanName.parse(text).file) for text in texts}


def counts_digest(arms: Arms) -> str:
    """Hash of all (item, title) pairs with their counts: the same rows in another file format have the same one."""
    digest = hashlib.blake2b(digest_size=16)
    rows = zip(arms.item_ids, arms.title, arms.impressions.tolist(), arms.clicks.tolist(), strict=True)
    for row in sorted(rows):
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def save_parts(parts: Sequence[Arms], data: Path) -> None:
    """Write the arms of each log; a single one is the run's ``arms.parquet`` already."""
    for number, part in enumerate(parts if len(parts) > 1 else ()):
        save_arms(part, data / PARTS / f"{number:03d}")
