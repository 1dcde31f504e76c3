"""The calibration history of a run: prediction and outcome of every test, each once."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from reward.logs.source import find_files
from reward.logs.sources.local import LocalCopy, LocalSource
from reward.plain import JsonObject, plain
from rlopt.algorithms import POLICIES
from rlopt.files import fingerprint
from rlopt.ope.past_tests import HISTORY
from rlopt.progress import note
from rlopt.run import Run
from rlopt.stages.ab.analysis import Analysis
from rlopt.stages.ab.results import Results
from rlopt.stages.common.title_source import TitleSource

KEPT = (
    "policy", "metric", "planned_lift", "last_date", "outcome", "prediction", "agrees", "difference_z", "told_apart",
    "mismatched_items", "decision", "variant",
)  # fmt: skip


def identity(run: Run, policy: str, results: LocalSource, read: Results) -> JsonObject:
    """Identify a test by its first day, or by the items of results without days, and the policy by its content."""
    return {
        "results": _digest(sorted(map(fingerprint, find_files(results)))),
        "test": _digest([read.first_date] if read.first_date is not None else sorted(set(read.items))),
        "candidate": _content(run, policy),
    }


def remember(run: Run, analysis: Analysis, results: LocalSource, known: JsonObject) -> None:
    """Append prediction and outcome to the calibration history; the same results against the same prediction once.

    The location of the files is kept for people.
    """
    said = analysis.to_dict()
    row = {**known, "file": _place(results), **{name: said[name] for name in KEPT}}
    history = run.metrics(HISTORY)
    if _without_places(row) in map(_without_places, history.rows()):
        note("The calibration history already has these results")
    else:
        history.write(row)


def _place(results: LocalSource) -> str:
    return results.name if isinstance(results, LocalCopy) else str(Path(results).resolve())


def _without_places(row: JsonObject) -> JsonObject:
    return {name: value for name, value in plain(row).items() if name not in ("file", "policy")}


def _content(run: Run, policy: str) -> str:
    """A policy of the run by its name, one from elsewhere by its content."""
    return policy if policy in POLICIES else TitleSource.find(run, policy).fingerprints()["policy"]


def _digest(texts: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(texts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
