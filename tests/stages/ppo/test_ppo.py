"""``rlopt ppo``: what it tells of a training, and what the same command does when that is finished."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reward.model.reward_model import RewardModel
from rlopt.config import PpoConfig, SftConfig
from rlopt.run import DATA, Run
from rlopt.stages.ppo.result import InPercent, PpoResult
from rlopt.stages.ppo.stage import train_ppo
from rlopt.stages.ppo.update import STANDS_ON
from rlopt.stages.sft.stage import train_sft
from tests.conftest import Outcome
from tests.stages.menu import make_arms, make_run

Rlopt = Callable[..., Outcome]
TreeHash = Callable[[Path], str]
QUICK = ("--steps", 3, "--batch-size", 8, "--no-monitor")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a small reward model, SFT, and PPO of three updates by the real command."""
    from rlopt.cli.main import run as command

    folder = tmp_path_factory.mktemp("trained") / "run"
    run = make_run(folder, make_arms(45, impressions=20_000))
    RewardModel.fit(run.arms().of_items(run.splits().train), n_members=1, seed=0).save(folder / "reward")
    train_sft(run, SftConfig(steps=4, batch_size=8))
    assert command(["ppo", *map(str, QUICK), "--run", str(folder)]) == 0
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    """A copy of it."""
    return Run.open(shutil.copytree(trained, tmp_path / "run"))


def rows(n: int, **figures: float) -> list[dict[str, Any]]:
    return [{"step": step + 1, "objective/predicted_lift": 0.01 * (step + 1), **figures} for step in range(n)]


def test_means_are_over_the_last_updates_of_the_policy_that_is_kept(tmp_path: Path) -> None:
    result = PpoResult.measured(tmp_path / "ppo", 50, rows(60))
    assert (result.steps, result.updates, result.averaged) == (50, 60, 20)
    assert result.predicted_lift == pytest.approx(0.01 * sum(range(31, 51)) / 20)
    assert result.monitor_lift is None
    short = PpoResult.measured(tmp_path / "ppo", 3, rows(3))
    assert (short.updates, short.averaged, short.predicted_lift) == (3, 3, pytest.approx(0.02))


def test_a_person_reads_percentages_of_what_and_what_comes_next() -> None:
    figures = {"objective/kl": 3.456, "constraints/violated": 0.02, "monitor/lift": -0.031}
    text = PpoResult.measured(Path("runs/a/ppo"), 50, rows(60, **figures)).to_text()
    first, means, *table, last = text.splitlines()
    assert first == "PPO: kept the policy of update 50 of 60, where the monitor stood highest."
    assert "last 20 updates" in means
    assert [" ".join(line.split()) for line in table] == [
        "predicted lift +40.5% over the logged titles, by its own reward model",
        "monitor's lift -3.1% the same by a reward model of other items",
        "KL 3.46 nats per title from the SFT policy",
        "rules broken 2.0% of the titles",
    ]
    assert last.endswith("Next: rlopt offline-eval --run runs/a")
    rival = PpoResult.measured(Path("runs/a/rloo"), 1, rows(1)).to_text()
    assert "RLOO: kept the policy of the last update, 1." in rival
    assert "In it, of titles as they were sampled:" in rival
    assert "rlopt offline-eval --policy rloo --run runs/a" in rival


def test_the_bar_shows_lifts_and_shares_in_percent() -> None:
    told: dict[str, Any] = {}

    class Spy:
        def update(self, n: float = 1, **numbers: float | str) -> None:
            told.update(n=n, **numbers)

        def set(self, done: float, **numbers: float | str) -> None:
            told.update(done=done, **numbers)

    bar = InPercent(Spy())
    bar.set(7, lift=0.123, kl=3.2, explained=0.5, violations=0.001)
    assert told == {"done": 7, "lift": "+12.3%", "kl": 3.2, "explained": "50.0%", "violations": "0.1%"}
    bar.update(lift="none")
    assert told["lift"] == "none"


def test_a_finished_training_is_not_done_again(rlopt: Rlopt, run: Run, tree_hash: TreeHash) -> None:
    before = tree_hash(run.path)
    again = rlopt("ppo", *QUICK, "--run", run.path)
    assert again.code == 0
    assert "PPO is finished with these settings: nothing to do (--force trains again)." in again.err
    assert "kept the policy of the last update, 3." in again.out
    assert "Next: rlopt offline-eval --run" in again.out
    assert tree_hash(run.path) == before
    known = rlopt("ppo", *QUICK, "--run", run.path, "--json").json
    notes = {name: value for name, value in run.record("ppo")["notes"].items() if name != STANDS_ON}
    assert known == {**notes, "folder": str(run / "ppo")}


@pytest.mark.parametrize("change", ["settings", "rules", "force", "folder"])
def test_it_is_done_again_where_something_changed_or_it_is_asked_for(run: Run, change: str) -> None:
    finished = run.record("ppo")["finished"], (run / "ppo" / "model.safetensors").stat().st_mtime_ns
    config = PpoConfig(steps=2 if change == "settings" else 3, batch_size=8, monitor=False)
    if change == "rules":
        (run / DATA / "preset.json").write_text(json.dumps({"constraints": {"banned": ["cheap"]}}))
    if change == "folder":
        shutil.rmtree(run / "ppo")
    result = train_ppo(run, config, force=change == "force")
    assert result.updates == config.steps
    assert (run.record("ppo")["finished"], (run / "ppo" / "model.safetensors").stat().st_mtime_ns) != finished
    assert run.current("ppo", config) == (change != "rules")  # the rules count among its inputs


def test_the_stage_decides_whether_sft_comes_first(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    config, trained = PpoConfig(steps=1, batch_size=8, monitor=False), run.record("sft")
    other = SftConfig(steps=2, batch_size=8)
    train_ppo(run, config, other)  # the run has a policy: any will do
    assert run.record("sft") == trained
    train_ppo(run, config, other, sft_as_given=True)
    assert "another model: retraining it" in capsys.readouterr().err
    assert run.current("sft", other)
    trained = run.record("sft")
    train_ppo(run, config, other, sft_as_given=True)
    assert run.record("sft") == trained
    shutil.rmtree(run / "sft")
    manifest = json.loads((run / "manifest.json").read_text())
    del manifest["stages"]["sft"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    (run / DATA / "preset.json").write_text(json.dumps({"sft": {"steps": 3, "batch_size": 8}}))
    train_ppo(run, PpoConfig(steps=1, batch_size=8, monitor=False, seed=4))
    assert "no supervised policy yet: training it first" in capsys.readouterr().err
    assert run.current("sft", SftConfig(steps=3, batch_size=8, seed=4))
