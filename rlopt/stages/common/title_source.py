"""Source of the titles to evaluate or test: a policy of the run, or a folder or file from elsewhere."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from reward.logs.sources.local import LocalCopy, LocalSource
from rlopt.algorithms import DEFAULT, POLICIES
from rlopt.files import fingerprint
from rlopt.run import Run
from rlopt.stages.common.policies import policy_folder

PLACE = "place"  # in the notes of an evaluation: where the candidate was found
RESERVED = (*POLICIES, "best_of", "logged")
TABLES = (".parquet", ".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".gz")


@dataclass(frozen=True)
class TitleSource:
    """Source of the titles to evaluate.

    Parameters
    ----------
    name
        Name in the report: "ppo", or the name of the folder or file.
    path
        A policy folder, or a file of titles.
    table
        The user's name of the table that the file is a copy of; None where it is no copy.
    """

    name: str
    path: Path
    table: str | None = None

    @classmethod
    def find(cls, run: Run, policy: str) -> "TitleSource":
        """A policy of the run by its name, else a folder or a file.

        Raises
        ------
        StageOrderError
            If the run has not trained the policy yet.
        PolicyError
            If there is no such folder or file.
        """
        if policy in POLICIES:
            run.require("sft", policy)
            return cls(policy, policy_folder(run, policy))
        path = Path(policy)
        if not (path.is_file() and path.suffix.lower() in TABLES):
            path = policy_folder(run, policy, or_else=", or a parquet, CSV or JSONL file with item_id and title")
        name = re.sub(r"[^\w.-]+", "-", path.resolve().stem).strip("-.")[:60] or "titles"
        name = f"{name}-titles" if name in RESERVED else name
        return cls(_own_name(run, name, path), path)

    @classmethod
    def of_table(cls, run: Run, copy: LocalCopy) -> "TitleSource":
        """Titles of a table in memory, a database or whatever else was copied."""
        return cls(_own_name(run, "titles", copy.path), copy.path, copy.name)

    @property
    def file(self) -> LocalSource:
        """The file as it is read; messages call it what the user does."""
        return self.path if self.table is None else LocalCopy(self.table, self.path)

    @property
    def place(self) -> str:
        """Place where it was found."""
        return self.table or str(self.path.resolve())

    @property
    def from_run(self) -> bool:
        """True for a policy that this run has trained."""
        return self.name in POLICIES

    @property
    def is_policy(self) -> bool:
        """True for a folder, False for a file of titles."""
        return self.from_run or self.path.is_dir()

    @property
    def stage(self) -> str:
        """Name of its evaluation in the manifest."""
        return "offline-eval" if self.name == DEFAULT.name else f"offline-eval-{self.name}"

    @property
    def folder(self) -> str:
        """Folder of the run that its evaluation is written to."""
        return "eval" if self.name == DEFAULT.name else f"eval-{self.name}"

    def fingerprints(self) -> dict[str, str]:
        """Fingerprints of inputs from outside of the run."""
        return {} if self.from_run else {"policy": fingerprint(self.path)}


def _own_name(run: Run, name: str, path: Path) -> str:
    """``name``, or with a short hash of the place behind it where another file or folder of the run has the name.

    The same content is the same candidate wherever it lies, and a file that changed in its place is its successor.
    """
    stage = TitleSource(name, path).stage
    content = run.manifest
    before = content["stages"].get(stage) or content["unfinished"].get(stage)
    if before is None:
        return name
    place = before.get("notes", {}).get(PLACE) or before["config"].get("policy")
    if not isinstance(place, str) or Path(place).resolve() == path.resolve():
        return name
    if before.get("inputs", {}).get("policy") == fingerprint(path):
        return name
    return f"{name}-{hashlib.blake2b(str(path.resolve()).encode(), digest_size=3).hexdigest()}"
