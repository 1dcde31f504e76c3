"""Results as users have them: ramp-ups, items with splits of their own, bots."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stages.menu import make_arms, make_run


@pytest.fixture
def cases(shared_data: Path) -> Path:
    folder = shared_data.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"inputs of users are not here: no folder {folder}")
    return folder


@pytest.fixture
def analyze(tmp_path: Path, rlopt: Callable[..., Any]) -> Callable[..., Any]:
    run = make_run(tmp_path / "run", make_arms(30))
    return lambda *arguments: rlopt("ab-analyze", *arguments, "--run", run.path, "--final", "--json").json


def test_a_lift_through_a_ramp_up_is_found(cases: Path, analyze: Callable[..., Any]) -> None:
    for split in ("0.5", "0.255"):
        found = analyze(cases / "ab_rollout" / "results.csv", "--split", split)["outcome"]
        assert found["decision"] == "better"
        assert found["low"] < 0.2 < found["high"]
        assert found["split"]["changed"] is True


def test_items_with_their_own_splits_show_no_difference(cases: Path, analyze: Callable[..., Any]) -> None:
    found = analyze(cases / "ab_rollout" / "mix.csv")["outcome"]
    assert found["decision"] == "undecided"
    assert abs(found["lift"]) < 0.1
    assert found["split"]["by_item"] is True


def test_bots_make_a_test_invalid_and_are_named(cases: Path, analyze: Callable[..., Any]) -> None:
    found = analyze(cases / "ab_bots" / "bots.csv")
    assert found["outcome"]["decision"] == "invalid"
    assert set(found["mismatched_items"][:3]) == {"p0000", "p0001", "p0002"}


def test_a_split_that_is_off_is_invalid(cases: Path, analyze: Callable[..., Any]) -> None:
    assert analyze(cases / "ab_bots" / "srm_plain.csv")["outcome"]["decision"] == "invalid"
