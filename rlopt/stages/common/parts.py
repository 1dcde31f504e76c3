"""The logs a run has learned from, one by one, and whether two fits of it are of one line."""

import hashlib
from pathlib import Path

from reward.arms import Arms
from reward.logs.store import load_arms
from rlopt.files import to_json
from rlopt.run import Run

PARTS = "parts"
_SIDES = ("seed", "judge_share", "test_share", "time_split")


def load_parts(data: Path) -> list[Arms]:
    """Arms of each log the run was fitted on, oldest first; a run that was never updated has one."""
    folders = sorted((data / PARTS).glob("*/"))
    return [load_arms(folder) for folder in folders] or [load_arms(data)]


def lineage(run: Run) -> str:
    """Hash of what decides the side of each item: the same after ``fit-reward --update``, another after a new fit.

    Raises
    ------
    StageOrderError
        If the run is not fitted.
    """
    record = run.record("fit-reward")
    said = {name: record["config"].get(name) for name in _SIDES} | {"logs": record["inputs"].get("logs")}
    return hashlib.blake2b(to_json(said).encode(), digest_size=16).hexdigest()
