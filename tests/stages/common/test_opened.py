"""An opened run: nothing before fit-reward, each part once, nothing heavy before it is asked for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reward.model.judge import Judge
from reward.model.reward_model import RewardModel
from rlopt.errors import PolicyError, StageOrderError
from rlopt.policy.constraints import kinds
from rlopt.run import DATA, Run
from rlopt.stages.common.opened import OpenedRun
from tests.stages.menu import make_arms, make_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", make_arms(30))


def test_a_run_opens_only_after_the_stages_that_are_needed(run: Run, tmp_path: Path) -> None:
    with pytest.raises(StageOrderError, match="has no 'fit-reward' yet"):
        OpenedRun(Run.open(tmp_path / "empty", create=True))
    with pytest.raises(StageOrderError, match="has no 'grpo' yet"):
        OpenedRun(run, "sft", "grpo")
    assert OpenedRun(run, "sft", "ppo").run is run


def test_train_arms_are_those_of_the_train_items(run: Run) -> None:
    opened = OpenedRun(run)
    assert {item.item_id for item in opened.train_arms.items} == set(opened.splits.train)
    assert len(opened.arms.items) == 30
    assert opened.train_arms is opened.train_arms


def test_models_are_loaded_once_from_their_own_folders(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    class Named(str):
        observational = False

    def load(folder: Path, **_: object) -> str:
        loaded.append(folder.name)
        return Named(folder.name)

    monkeypatch.setattr(RewardModel, "load", load)
    monkeypatch.setattr(Judge, "load", load)
    opened = OpenedRun(run)
    assert opened.monitor is None  # no folder
    (run / "monitor").mkdir()
    assert OpenedRun(run).monitor is None  # an empty one: its items were too few
    (run / "monitor" / "meta.json").touch()
    assert OpenedRun(run).monitor == "monitor"
    assert [opened.reward, opened.reward, opened.judge] == ["reward", "reward", "judge"]
    assert loaded == ["monitor", "reward", "judge"]


def test_rules_are_those_of_the_preset(run: Run) -> None:
    assert not OpenedRun(run).rules.banned
    (run / DATA / "preset.json").write_text(json.dumps({"constraints": {"banned": ["cheap"]}}), encoding="utf-8")
    opened = OpenedRun(run)
    assert opened.rules.banned == ("cheap",)
    assert "banned" in kinds(opened.constraints.check(opened.arms.items[0], "cheap shirt"))


def test_a_policy_is_the_run_s_by_name_or_a_folder(run: Run, tmp_path: Path) -> None:
    opened = OpenedRun(run)
    with pytest.raises(StageOrderError, match="has no 'rloo' yet"):
        opened.policy("rloo")
    with pytest.raises(PolicyError, match=r"--policy must be one of ppo, sft.*Got 'none'"):
        opened.policy("none")
    with pytest.raises(PolicyError, match="is not a title policy"):
        opened.policy(str(tmp_path))


def test_real_logs_have_no_truth(run: Run) -> None:
    assert OpenedRun(run).truth is None


def test_planning_a_test_loads_no_language_model() -> None:
    code = (
        "import sys, rlopt.stages.ab.analyze, rlopt.stages.common.opened\n"
        "sys.exit(', '.join(sorted({'torch', 'transformers', 'lightgbm', 'trl', 'peft'} & set(sys.modules))) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
