"""rlopt compare in a shop where every figure has a closed form."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reward.model.judge import Judge
from reward.model.reward_model import RewardModel
from rlopt.cli.compare import as_table
from rlopt.config import CompareConfig
from rlopt.errors import StageOrderError
from rlopt.policy.title_policy import TitlePolicy
from rlopt.run import Run
from rlopt.stages.compare import CompareResult, Contender, compare
from tests.stages.menu import EFFECT, STYLES, MenuJudge, MenuPolicy, MenuReward, make_arms, make_run, truth

POLICIES = {
    "sft": {"plain": 0.5, "long": 0.3, "new": 0.15, "magic": 0.05},
    "ppo": {"plain": 0.1, "long": 0.1, "new": 0.3, "magic": 0.5},
    "grpo": {"plain": 0.3, "long": 0.3, "new": 0.2, "magic": 0.2},
}
CONFIG = CompareConfig(best_of=(4, 16), samples=8, draws=200)


def value(policy: dict[str, float]) -> float:
    return sum(p * float(np.exp(EFFECT[style])) for style, p in policy.items())


def value_of_best(policy: dict[str, float], n: int) -> float:
    """Expected exp(effect) of the best of n titles; the menu's styles are in the order of their effects."""
    below = np.cumsum([policy[style] for style in STYLES]) ** n
    chance = np.diff(np.r_[0.0, below])
    return float(sum(p * np.exp(EFFECT[style]) for p, style in zip(chance, STYLES, strict=True)))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run with SFT, PPO and GRPO, all of them from the menu."""

    def policy(folder: Path, *_: Any) -> Any:
        return MenuPolicy(POLICIES[Path(folder).name])

    monkeypatch.setattr(TitlePolicy, "load", policy)
    monkeypatch.setattr(Judge, "load", lambda folder, **_: MenuJudge())
    monkeypatch.setattr(RewardModel, "load", lambda folder, **_: MenuReward())
    made = make_run(tmp_path / "run", make_arms(360))
    with made.stage("grpo", {"seed": 0}):
        pass
    return made


@pytest.fixture
def result(run: Run) -> CompareResult:
    return compare(run, CONFIG, truth=truth)


@pytest.fixture
def rows(result: CompareResult) -> dict[str, Contender]:
    return {row.name: row for row in result.contenders}


def test_every_policy_and_both_ways_of_choosing_are_there(rows: dict[str, Contender]) -> None:
    best = [f"{who} {n}" for n in (4, 16) for who in ("best of", "oracle best of")]
    assert list(rows) == ["sft", "ppo", "grpo", *best]
    assert [row.titles_written for row in rows.values()] == [1, 1, 1, 4, 4, 16, 16]


@pytest.mark.parametrize("name", ["ppo", "grpo"])
def test_lift_and_kl_of_a_policy(rows: dict[str, Contender], name: str) -> None:
    expected = value(POLICIES[name]) / value(POLICIES["sft"]) - 1
    row = rows[name]
    assert row.low is not None
    assert row.high is not None
    assert row.low < expected < row.high
    assert row.true_lift == pytest.approx(expected, abs=0.03)
    assert row.kl == pytest.approx(sum(p * np.log(p / POLICIES["sft"][s]) for s, p in POLICIES[name].items()))


@pytest.mark.parametrize("n", [4, 16])
def test_best_of_n_has_its_closed_form(rows: dict[str, Contender], n: int) -> None:
    expected = value_of_best(POLICIES["sft"], n) / value(POLICIES["sft"]) - 1
    for who in ("best of", "oracle best of"):  # here the reward is right, so both choose the same
        assert rows[f"{who} {n}"].true_lift == pytest.approx(expected, abs=0.05)
        assert rows[f"{who} {n}"].kl == pytest.approx(np.log(n) - (n - 1) / n)
    assert rows[f"oracle best of {n}"].lift is None


def test_the_baseline_and_the_files(result: CompareResult, rows: dict[str, Contender], run: Run) -> None:
    assert (rows["sft"].lift, rows["sft"].true_lift, rows["sft"].kl) == (None, 0.0, 0.0)
    kept = json.loads((run / "compare" / "comparison.json").read_text())
    assert [row["name"] for row in kept["contenders"]] == list(rows)
    assert (run / "compare" / "lift_against_kl.svg").read_text().startswith("<svg")
    assert "best of 16" in as_table(result)
    assert "true lift" in as_table(result)


def test_without_the_truth_there_is_no_oracle(run: Run) -> None:
    found = compare(run, CompareConfig(best_of=(4,), draws=50, policies=("grpo",)))
    assert [row.name for row in found.contenders] == ["sft", "grpo", "best of 4"]
    assert all(row.true_lift is None for row in found.contenders)
    assert "true lift" not in as_table(found)


def test_a_policy_the_run_lacks_is_named(run: Run) -> None:
    with pytest.raises(StageOrderError, match="rlopt ppo --algorithm rloo"):
        compare(run, CompareConfig(policies=("rloo",)))
