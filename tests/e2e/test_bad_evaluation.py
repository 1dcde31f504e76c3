"""Evaluations without an answer, through the real command line: exit code 1, one line, the last report untouched."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reward.logs.store import save_arms
from rlopt.run import DATA, Run
from tests.conftest import Outcome
from tests.stages.menu import make_arms, make_run

Rlopt = Callable[..., Outcome]
TreeHash = Callable[[Path], str]


def split(run: Run, **sides: list[str]) -> None:
    path = run / DATA / "splits.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | sides))


def without_clicks(run: Run) -> None:
    arms = run.arms()
    save_arms(replace(arms, clicks=np.zeros(len(arms))), run / DATA)


def ids(*numbers: int) -> list[str]:
    return [f"i{n:04d}" for n in numbers]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Stages done, no model on disk: whatever is refused is refused before one is loaded."""
    run = make_run(tmp_path / "run", make_arms(30))
    (run / "eval").mkdir()
    (run / "eval" / "report.json").write_text("{}")
    return run


BAD: dict[str, tuple[Callable[[Run], Any], str]] = {
    "no test items": (lambda run: split(run, test=[]), r"no test items \(fit-reward --test-share 0\)"),
    "no judge items": (lambda run: split(run, judge=[]), r"no judge items"),
    "one test item": (lambda run: split(run, test=ids(2)), r"at least two test items, and this run has one"),
    "no clicks": (without_clicks, r"test items have no click at all"),
    "an item on two sides": (lambda run: split(run, test=ids(2, 0)), r"an item is on two sides"),
    "a judge that has seen the test": (lambda run: split(run, judge=ids(1, 2)), r"an item is on two sides"),
    "splits of other logs": (lambda run: split(run, test=["x", "y"]), r"logs lack 2 test items of its splits .*'x'"),
    "damaged splits": (lambda run: (run / DATA / "splits.json").write_text("{"), r"splits"),
    "damaged arms": (lambda run: (run / DATA / "arms.parquet").write_bytes(b"PAR1"), r"arms"),
}


@pytest.mark.parametrize("name", BAD)
def test_refusals(name: str, rlopt: Rlopt, run: Run, tree_hash: TreeHash) -> None:
    spoil, pattern = BAD[name]
    spoil(run)
    before = tree_hash(run / "eval")
    outcome = rlopt("offline-eval", "--run", run.path, "--gate")
    assert outcome.code == 1
    assert outcome.out == ""
    (line,) = outcome.err.strip().splitlines()
    assert line.startswith("Error: ")
    assert re.search(pattern, line), line
    assert "bug in rlopt" not in line
    assert tree_hash(run / "eval") == before


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        ("item_id\ni0002\n", r"seen.csv shares 1 item with the test items of this run \(first: 'i0002'\)"),
        ("item_id\ni0001\n", r"shares 1 item with the judge items of this run"),
        ("sku\ni0001\n", r"item_id"),
        ("", r"is empty"),
        (None, r"There is no file .*seen.csv\.$"),
    ],
)
def test_trained_on(content: str | None, pattern: str, rlopt: Rlopt, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "seen.csv"
    if content is not None:
        file.write_text(content)
    outcome = rlopt("offline-eval", "--run", run.path, "--trained-on", file)
    assert outcome.code == 1
    (line,) = outcome.err.strip().splitlines()
    assert re.search(pattern, line), line


def test_a_mistyped_nothing_is_no_file(rlopt: Rlopt, run: Run) -> None:
    outcome = rlopt("offline-eval", "--run", run.path, "--trained-on", "none")
    assert outcome.code == 1
    assert "run or nothing. There is no file none. Did you mean nothing?" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["--samples", "0"], r"samples must be"),
        (["--min-lift", "nan"], r"min_lift must be"),
        (["--support-share", "2"], r"support_share must be"),
    ],
)
def test_bad_settings(arguments: list[str], pattern: str, rlopt: Rlopt, run: Run) -> None:
    outcome = rlopt("offline-eval", "--run", run.path, *arguments)
    assert outcome.code == 1
    assert re.search(pattern, outcome.err), outcome.err
