"""kill -9 during fit-reward: the same command continues, and ends with the model an undisturbed run ends with."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from rlopt.run import Run
from tests.conftest import Outcome
from tests.e2e.killing import kill_when, signal_when

Rlopt = Callable[..., Outcome]
TreeHash = Callable[[Path], str]
MEMBERS = 4


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from rlopt.config import SimulateConfig
    from rlopt.stages.simulate import simulate

    out = tmp_path_factory.mktemp("logs") / "logs.parquet"
    simulate(out, SimulateConfig(items=200, impressions=1_000_000, rows="arms"))
    return out


@pytest.fixture(scope="module")
def undisturbed(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from rlopt.cli.main import run

    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    assert run(["fit-reward", str(logs), "--run", str(folder), "--members", str(MEMBERS)]) == 0
    return folder


@pytest.mark.parametrize("moment", ["findings.json", "members/click-0.npz", "members/click-2.npz"])
def test_the_same_command_continues(
    moment: str, logs: Path, undisturbed: Path, rlopt: Rlopt, tmp_path: Path, tree_hash: TreeHash
) -> None:
    run = tmp_path / "run"
    arguments = ("fit-reward", logs, "--run", run, "--members", MEMBERS)

    def reached() -> bool:
        return any((run / "checkpoints").glob(f"fit-reward/*/{moment}"))

    kill_when(reached, *arguments)
    assert not Run.open(run).done("fit-reward")
    refused = rlopt("sft", "--run", run)
    assert "was interrupted. Continue it with: rlopt fit-reward LOGS" in refused.err
    kept = {path.name: path.stat().st_mtime_ns for path in run.glob("checkpoints/fit-reward/*/members/*.npz")}

    assert rlopt(*arguments).code == 0
    for folder in (run, undisturbed):
        (folder / "reward" / "history.jsonl").unlink(missing_ok=True)  # says when
    for part in ("reward", "monitor", "judge", "data"):
        assert tree_hash(run / part) == tree_hash(undisturbed / part), part
    assert not (run / "checkpoints" / "fit-reward").exists()
    assert "members/" not in moment or kept


def test_a_killed_refit_leaves_the_old_model_whole(
    logs: Path, undisturbed: Path, rlopt: Rlopt, tmp_path: Path, tree_hash: TreeHash
) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    before = {part: tree_hash(run / part) for part in ("reward", "judge", "data")}
    arguments = ("fit-reward", logs, "--run", run, "--members", MEMBERS, "--seed", 1)
    kill_when(lambda: any(run.glob("checkpoints/fit-reward/*/members/click-0.npz")), *arguments)
    assert {part: tree_hash(run / part) for part in before} == before
    assert rlopt("score", logs, "-o", tmp_path / "scored.parquet", "--run", run).code == 0


def test_a_finished_stage_is_not_done_twice(logs: Path, undisturbed: Path, rlopt: Rlopt, tree_hash: TreeHash) -> None:
    before = tree_hash(undisturbed)
    outcome = rlopt("fit-reward", logs, "--run", undisturbed, "--members", MEMBERS)
    assert outcome.code == 0
    assert "nothing to do" in outcome.err
    assert tree_hash(undisturbed) == before


@pytest.mark.parametrize("moment", ["manifest.json", "checkpoints/fit-reward/*/members/click-0.npz"])
def test_ctrl_c_says_how_to_continue(moment: str, logs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ("fit-reward", logs, "--run", run, "--members", MEMBERS)
    code, errors = signal_when(signal.SIGINT, lambda: any(run.glob(moment)), *arguments)
    assert code == 130
    assert errors.strip().splitlines()[-1] == ("Error: Interrupted. The same command continues where this one stopped.")
    assert "Traceback" not in errors
