"""``rlopt ppo --update``: what it goes on from, what it refuses, and what it tells of earlier items."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reward.model.reward_model import RewardModel
from rlopt.config import PpoConfig, SftConfig
from rlopt.errors import PolicyError, StageOrderError
from rlopt.run import DATA, Run
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.parts import load_parts
from rlopt.stages.fit_reward.history import save_parts
from rlopt.stages.ppo.stage import train_ppo
from rlopt.stages.ppo.update import GoneOn
from rlopt.stages.sft.stage import train_sft
from tests.conftest import Outcome
from tests.stages.menu import make_arms, make_run

Rlopt = Callable[..., Outcome]
QUICK = ("--steps", 2, "--batch-size", 8, "--no-monitor")
CONFIG = PpoConfig(steps=2, batch_size=8, monitor=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a small reward model, SFT and PPO."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    run = make_run(folder, make_arms(45, impressions=20_000))
    RewardModel.fit(run.arms().of_items(run.splits().train), n_members=1, seed=0).save(folder / "reward")
    train_sft(run, SftConfig(steps=4, batch_size=8))
    train_ppo(run, CONFIG)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    """A copy of it."""
    return Run.open(shutil.copytree(trained, tmp_path / "run"))


def updated(run: Run) -> set[str]:
    """Give the run a new log that shows a third of its items; they are returned."""
    arms = run.arms()
    shown = {item.item_id for item in arms.items[:15]}
    record = run.record("fit-reward")
    with run.stage("fit-reward", record["config"], {**record["inputs"], "update 1": "1"}):
        save_parts([arms, arms.of_items(shown)], run / DATA)
    return shown


def test_it_goes_on_and_tells_of_earlier_items(run: Run, rlopt: Rlopt) -> None:
    shown = updated(run)
    assert len(load_parts(run / DATA)) == 2
    sft = (run / "sft" / "model.safetensors").read_bytes()
    items = OpenedRun(run).train_arms.items
    gone_on = GoneOn.of(OpenedRun(run))
    assert [bool(again) for again in gone_on.replayed] == [item.item_id not in shown for item in items]
    assert gone_on.known.all()
    done = rlopt("ppo", "--update", *QUICK, "--run", run.path)
    assert done.code == 0, done.err
    assert "training it first" not in done.err
    assert (run / "sft" / "model.safetensors").read_bytes() == sft
    run.require("sft", "ppo")
    notes = run.record("ppo")["notes"]
    assert notes["earlier_items"] == sum(gone_on.replayed)
    assert notes["earlier_kl_before"] >= 0
    assert f"On {notes['earlier_items']} earlier items, before and after: predicted lift" in done.out
    assert "earlier_lift_after" in (run / "ppo" / "README.md").read_text()
    assert "objective/kl_last" in run.metrics("ppo").rows()[-1]
    again = rlopt("ppo", "--update", *QUICK, "--run", run.path)
    assert again.code == 0
    assert "has learned from the run's present reward: nothing to do" in again.err


def test_the_same_update_gives_the_same_policy(run: Run, tmp_path: Path) -> None:
    updated(run)
    other = Run.open(shutil.copytree(run.path, tmp_path / "other"))
    for one in (run, other):
        train_ppo(one, CONFIG, update=True)
    same = [(one / "ppo" / "model.safetensors").read_bytes() for one in (run, other)]
    assert same[0] == same[1]
    assert run.record("ppo")["notes"] == other.record("ppo")["notes"]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["rlopt.files.Path.replace", "rlopt.stages.ppo.stage.gains_against_kl"])
def test_killed_while_it_saves_the_last_policy_stands_and_the_same_command_ends_as_if_undisturbed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Between the two moves of the folder, and after both of them before the stage is done."""
    updated(run)
    calm = Run.open(shutil.copytree(run.path, tmp_path / "calm"))
    train_ppo(calm, CONFIG, update=True)
    before, last = (run / "ppo" / "model.safetensors").read_bytes(), run.manifest["stages"]["ppo"]
    replace = Path.replace

    def killed(*given: Path) -> Path:
        if moment.endswith("replace") and given[1].name != "ppo":
            return replace(*given)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("rlopt.run.Run._recover", lambda _: None)  # a killed process clears nothing up
        patched.setattr(moment, killed)
        with pytest.raises(Killed):
            train_ppo(Run.open(run.path), CONFIG, update=True)
    assert (run / ".old-ppo").is_dir()
    assert "ppo" not in run.manifest["stages"]
    again = Run.open(run.path)
    assert (again / "ppo" / "model.safetensors").read_bytes() == before
    assert again.manifest["stages"]["ppo"] == last
    train_ppo(again, CONFIG, update=True)
    assert (again / "ppo" / "model.safetensors").read_bytes() == (calm / "ppo" / "model.safetensors").read_bytes()
    assert again.record("ppo")["notes"] == calm.record("ppo")["notes"]


def test_there_must_be_a_policy_to_go_on_from(tmp_path: Path) -> None:
    bare = Run.open(tmp_path / "bare", create=True)
    with bare.stage("fit-reward", {"seed": 0}, {"logs": "1"}):
        pass
    with pytest.raises(StageOrderError, match="has no 'ppo' yet"):
        train_ppo(bare, CONFIG, update=True)


def test_a_new_fit_or_another_reference_cannot_be_gone_on_from(run: Run, rlopt: Rlopt) -> None:
    with pytest.raises(PolicyError, match="--update goes on with PPO's policy, not with grpo"):
        train_ppo(run, PpoConfig(algorithm="grpo"), update=True)
    assert rlopt("ppo", "--update", "--model", "x", "--run", run.path).code == 2
    train_sft(run, SftConfig(steps=2, batch_size=8))
    with pytest.raises(PolicyError, match=r"SFT policy of run .* is another one since PPO"):
        train_ppo(run, CONFIG, update=True)
    record = run.record("fit-reward")
    with run.stage("fit-reward", record["config"], {"logs": "others"}):
        pass
    with pytest.raises(PolicyError, match="refitted since PPO"):
        train_ppo(run, CONFIG, update=True)
