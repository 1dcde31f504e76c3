"""The run directory: stages, order, atomicity, locks."""

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from rlopt.config import PpoConfig, RewardConfig
from rlopt.errors import RunError, StageOrderError
from rlopt.files import atomic_path, atomic_write, fingerprint, to_json
from rlopt.run import Run
from tests.other_process import holding

TreeHash = Callable[[Path], str]


def finish(run: Run, stage: str, seed: int = 0) -> None:
    with run.stage(stage, {"seed": seed}):
        pass


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.open(tmp_path / "run", create=True)


def test_a_run_that_does_not_exist_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(StageOrderError, match=r"no run at .*nowhere.*rlopt fit-reward LOGS"):
        Run.open(tmp_path / "nowhere")


def test_opening_creates_nothing(tmp_path: Path) -> None:
    Run.open(tmp_path / "run", create=True)
    assert not (tmp_path / "run").exists()


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match=r"holds other files.*--run"):
        Run.open(tmp_path, create=True)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="is a file, not a run directory"):
        Run.open(tmp_path / "file", create=True)


@pytest.mark.parametrize("text", ["{", "[]", '{"stages": 3}', "\x00\xff"])
def test_a_damaged_manifest_is_one_line_and_stays(run: Run, text: str) -> None:
    finish(run, "fit-reward")
    (run / "manifest.json").write_text(text)
    with pytest.raises(RunError, match=r"manifest\.json .*Restore it") as caught:
        Run.open(run.path)
    assert "\n" not in str(caught.value)
    assert (run / "manifest.json").read_text() == text


def test_a_manifest_of_another_format_is_refused(run: Run) -> None:
    finish(run, "fit-reward")
    manifest = run.manifest | {"format": 99}
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="has format 99"):
        Run.open(run.path)


def test_the_manifest_keeps_what_a_stage_did(run: Run) -> None:
    config = RewardConfig(seed=7)
    with run.stage("fit-reward", config, {"logs.parquet": "abc"}) as record:
        record.notes["arms"] = 12
    kept = Run.open(run.path).record("fit-reward")
    assert kept["config"] == config.model_dump(mode="json")
    assert kept["seed"] == 7
    assert kept["inputs"] == {"logs.parquet": "abc"}
    assert kept["notes"] == {"arms": 12}
    assert kept["versions"]["rlopt"] == version("rlopt")
    assert kept["seconds"] >= 0
    assert run.manifest["unfinished"] == {}


def test_a_missing_stage_names_its_command(run: Run) -> None:
    finish(run, "fit-reward")
    with pytest.raises(StageOrderError, match=r"has no 'ppo' yet. Run first: rlopt ppo --run"):
        run.require("fit-reward", "ppo")


def test_an_interrupted_stage_is_not_done_and_remembers_its_settings(run: Run) -> None:
    with pytest.raises(KeyboardInterrupt), run.stage("ppo", PpoConfig(steps=5)):
        raise KeyboardInterrupt
    assert not run.done("ppo")
    with pytest.raises(StageOrderError, match=r"was interrupted\. Continue it with: rlopt ppo"):
        run.require("ppo")
    with run.stage("ppo", PpoConfig(steps=5)) as record:
        assert record.interrupted is not None
        assert record.interrupted["steps"] == 5
    assert run.done("ppo")


def test_checkpoints_go_when_their_stage_is_done_and_stay_when_it_fails(run: Run) -> None:
    def interrupted() -> None:
        with run.stage("ppo", PpoConfig(steps=5)) as record:
            record.checkpoints.mkdir(parents=True)
            (record.checkpoints / "step").write_text("5")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    finish(run, "tag")
    with run.stage("ppo", PpoConfig(steps=5)) as again:
        assert (again.checkpoints / "step").read_text() == "5"
    assert not (run / "checkpoints" / "ppo").exists()


def test_checkpoints_stay_where_the_stage_of_another_name_is_done(run: Run) -> None:
    with run.stage("ppo", {}) as record:
        record.checkpoints.mkdir(parents=True)
        finish(run, "sft")
        assert record.checkpoints.is_dir()
    assert not record.checkpoints.exists()


def test_checkpoints_of_a_stage_that_left_everything_as_it_was_go_too(run: Run) -> None:
    finish(run, "fit-reward")
    with run.stage("fit-reward", {"seed": 1}) as record:
        record.checkpoints.mkdir(parents=True)
        record.unchanged = True
    assert not record.checkpoints.exists()
    assert run.record("fit-reward")["seed"] == 0


def test_a_refused_input_leaves_no_trace(run: Run, tree_hash: TreeHash) -> None:
    with pytest.raises(ValueError, match="bad"), run.stage("fit-reward", {}):
        raise ValueError("bad")
    assert not run.path.exists()
    finish(run, "fit-reward")
    before = tree_hash(run.path)
    with pytest.raises(RunError), run.stage("fit-reward", {"seed": 1}):
        raise RunError("bad")
    assert tree_hash(run.path) == before


def test_a_changed_reward_makes_what_stands_on_it_outdated(run: Run) -> None:
    for stage in ("fit-reward", "sft", "ppo"):
        finish(run, stage)
    finish(run, "fit-reward", seed=0)  # same settings, same inputs: same result
    assert run.done("ppo")
    finish(run, "fit-reward", seed=1)
    assert not run.done("sft")
    assert not run.done("ppo")
    with pytest.raises(StageOrderError, match=r"'ppo' .* was done before 'fit-reward' changed"):
        run.require("ppo")
    finish(run, "sft")
    assert run.done("sft")
    assert not run.done("ppo")


def test_a_changed_sft_makes_ppo_outdated(run: Run) -> None:
    for stage in ("fit-reward", "sft", "ppo"):
        finish(run, stage)
    finish(run, "sft", seed=3)
    assert not run.done("ppo")


def test_replacing_swaps_whole_folders(run: Run) -> None:
    for content in ("old", "new"):
        with run.replacing("reward") as folder:
            (folder / "model.txt").write_text(content)
    assert (run / "reward" / "model.txt").read_text() == "new"
    assert sorted(p.name for p in run.path.iterdir()) == ["reward"]


def test_what_a_stage_saves_can_be_read_by_whom_the_umask_lets(run: Run) -> None:
    before = os.umask(0o027)
    try:
        with run.replacing("reward") as folder:
            (folder / "deep").mkdir(mode=0o700)
            secret = folder / "deep" / "model.safetensors"
            secret.touch(mode=0o600)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (run / "reward").rglob("*")}
    assert modes == {"deep": 0o750, "model.safetensors": 0o640}


def test_a_failed_replacement_keeps_the_old_folders(run: Run, tree_hash: TreeHash) -> None:
    with run.replacing_all("reward", "judge") as folders:
        for name, folder in folders.items():
            (folder / "model.txt").write_text(name)
    before = tree_hash(run.path)
    with pytest.raises(ZeroDivisionError), run.replacing_all("reward", "judge") as folders:
        (folders["reward"] / "model.txt").write_text(str(1 / 0))
    assert tree_hash(run.path) == before


def test_a_kill_between_two_moves_is_mended(run: Run) -> None:
    finish(run, "fit-reward")
    with run.replacing("reward") as folder:
        (folder / "model.txt").write_text("old")
    (run / "reward").rename(run / ".old-reward")
    (run / ".tmp-reward-xyz").mkdir()
    assert (Run.open(run.path) / "reward" / "model.txt").read_text() == "old"
    assert not (run / ".tmp-reward-xyz").exists()


def test_a_kill_between_two_moves_leaves_the_stage_undone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(run, "fit-reward")

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    monkeypatch.setattr("rlopt.files._swap", kill)
    with pytest.raises(Killed), run.stage("fit-reward", {"seed": 1}), run.replacing_all("reward", "judge"):
        pass
    assert not run.done("fit-reward")
    with pytest.raises(StageOrderError, match="interrupted"):
        run.require("fit-reward")


def dying(step: int, work: Callable[[], None]) -> bool:
    """Do ``work`` in a child process that dies before its change number ``step`` to the disk; whether it died."""
    child = os.fork()
    if child == 0:
        left = step

        def count(event: str, given: tuple[object, ...]) -> None:
            nonlocal left
            writes = event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR)
            left -= bool(writes) or event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod")
            if left <= 0:
                os._exit(9)

        sys.addaudithook(count)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize("folders", [["ppo"], ["ppo", "ppo", "extra"]])
def test_a_kill_at_any_moment_leaves_the_old_result_or_the_new_one(tmp_path: Path, folders: list[str]) -> None:
    """Folder and record of a stage belong together, whenever its process dies; and the next attempt ends well."""

    def train(run: Run, seed: int) -> None:
        with run.stage("ppo", {"seed": seed}) as record:
            record.notes["seed"] = seed
            for name in folders:
                with run.replacing(name) as folder:
                    (folder / "model.txt").write_text(str(seed))

    def found(path: Path) -> int:
        run = Run.open(path)
        assert run.done("ppo")
        seed = run.record("ppo")["notes"]["seed"]
        assert {(run / name / "model.txt").read_text() for name in folders} == {str(seed)}
        assert not any(entry.name.startswith(".old-") for entry in path.iterdir())
        return int(seed)

    first = Run.open(tmp_path / "first", create=True)
    train(first, 1)
    seen, step, died = [], 0, True
    while died:
        step += 1
        path = Path(shutil.copytree(first.path, tmp_path / str(step)))
        died = dying(step, lambda path=path: train(Run.open(path), 2))  # type: ignore[misc]
        seen.append(found(path))
        train(Run.open(path), 3)
        assert found(path) == 3
    assert seen == sorted(seen)  # the old one, and from some moment on the new one
    assert set(seen) == {1, 2}


def test_two_processes_do_not_write_one_run(run: Run) -> None:
    stage = "Run.open(sys.argv[1], create=True).stage('ppo', {})"
    with (
        holding(run.path, "from rlopt.run import Run", stage) as process,
        pytest.raises(RunError, match=rf"being written by rlopt ppo \(process {process.pid}\)"),
    ):
        finish(run, "sft")
    finish(run, "sft")  # the lock ended with its process
    assert run.done("sft")


def test_a_stage_may_run_another_inside(run: Run) -> None:
    with run.stage("ppo", {}):
        finish(run, "sft")
    finish(run, "offline-eval")
    assert run.done("sft")


def test_other_ranks_of_a_launch_keep_no_books(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    finish(run, "sft")
    assert not run.path.exists()
    with run.stage("sft", {"seed": 0}) as record:
        record.checkpoints.mkdir(parents=True)
    assert record.checkpoints.is_dir()  # the first process still reads them


def test_a_full_disk_is_one_line_and_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "manifest.json"
    atomic_write(target, "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"Cannot write .*: the disk is full"):
        atomic_write(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_library_that_words_a_full_disk_its_own_way_is_understood(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the disk is full"), atomic_path(tmp_path / "model.safetensors"):
        raise RuntimeError("I/O error: No space left on device (os error 28)")


def test_fingerprint_sees_content_and_names(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a").write_text("1")
    (folder / "b").write_text("2")
    first = fingerprint(folder)
    assert first == fingerprint(folder)
    (folder / "b").write_text("3")
    assert fingerprint(folder) != first
    (folder / "b").write_text("2")
    (folder / "b").rename(folder / "c")
    assert fingerprint(folder) != first
    assert fingerprint(folder / "a") != fingerprint(folder / "c")


def test_metrics_survive_a_kill_and_a_resume(run: Run) -> None:
    writer = run.metrics("ppo")
    for step in range(1, 5):
        writer.write({"step": step, "reward": float("nan") if step == 2 else 0.5})
    with writer.path.open("a") as file:
        file.write('{"step": 5, "rew')  # killed while it wrote
    again = run.metrics("ppo")
    again.truncate_after(2)
    again.write({"step": 3, "reward": 0.7})
    assert again.rows() == [
        {"step": 1, "reward": 0.5},
        {"step": 2, "reward": None},
        {"step": 3, "reward": 0.7},
    ]


def test_json_takes_numpy() -> None:
    np = pytest.importorskip("numpy")
    value = {"a": np.float64(1.5), "b": np.arange(2), "c": (float("inf"), Path("x"))}
    assert json.loads(to_json(value)) == {"a": 1.5, "b": [0, 1], "c": [None, "x"]}
