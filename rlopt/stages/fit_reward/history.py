"""What a reward model has learned from, log by log: ``reward/history.jsonl``, and the arms of each log.

The first line is the fit, each further one an update: date, log, fingerprints of its files and of its counts, rows,
the figures of the comparison, and which model was kept. So the same rows are never counted twice.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reward.arms import Arms
from reward.logs.source import find_files
from reward.logs.store import load_arms, save_arms
from reward.saved import read_lines
from rlopt.files import fingerprint, to_json
from rlopt.manifest import now
from rlopt.progress import note

HISTORY = "history.jsonl"
PARTS = "parts"
PENDING = "updates"
"""Folder of the run with the arms of logs whose update was not kept; the next update takes them in."""
Entry = dict[str, Any]


def entry(event: str, logs: str | Path, files: Sequence[str], arms: Arms, **more: Any) -> Entry:
    """One line of the history: a log and what came of it."""
    return {
        "date": now(),
        "event": event,
        "logs": str(logs),
        "files": list(files),
        "counts": counts_digest(arms),
        "items": len(arms.items),
        "arms": len(arms),
        "impressions": int(arms.impressions.sum()),
        "clicks": int(arms.clicks.sum()),
        **more,
    }


def read_history(reward: Path) -> list[Entry]:
    """The lines of the history in a ``reward`` folder; none for a run that was fitted before there was one."""
    path = reward / HISTORY
    return read_lines(path) if path.exists() else []


def history_text(lines: Sequence[Mapping[str, Any]]) -> str:
    """Content of the file."""
    return "".join(f"{to_json(line)}\n" for line in lines)


def log_fingerprints(logs: str | Path) -> dict[Path, str]:
    """Fingerprint of every log file; of files with the same content the user is told."""
    found = {path: fingerprint(path) for path in find_files(logs)}
    first: dict[str, Path] = {}
    for path, digest in found.items():
        if first.setdefault(digest, path) != path:
            note(f"{path} holds the same bytes as {first[digest]}: their rows count twice")
    return found


def counts_digest(arms: Arms) -> str:
    """Hash of all (item, title) pairs with their counts: the same rows in another file format have the same one."""
    digest = hashlib.blake2b(digest_size=16)
    rows = zip(arms.item_ids, arms.title, arms.impressions.tolist(), arms.clicks.tolist(), strict=True)
    for row in sorted(rows):
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def load_parts(data: Path) -> list[Arms]:
    """Arms of each log the run was fitted on, oldest first; a run that was never updated has one."""
    folders = sorted((data / PARTS).glob("*/"))
    return [load_arms(folder) for folder in folders] or [load_arms(data)]


def save_parts(parts: Sequence[Arms], data: Path) -> None:
    """Write the arms of each log; a single one is the run's ``arms.parquet`` already."""
    for number, part in enumerate(parts if len(parts) > 1 else ()):
        save_arms(part, data / PARTS / f"{number:03d}")
