"""The lock of a folder: within one process, over a fork, after a death, and without the kernel's locks."""

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlopt.errors import RunError
from rlopt.lock import HOLDER, LOCK, locked
from rlopt.run import Run
from tests.other_process import holding

WITHOUT_UNIX = """
import builtins, os
if hasattr(os, "sched_getaffinity"):
    del os.sched_getaffinity
imported = builtins.__import__
def without_fcntl(name, *more, **named):
    if name == "fcntl":
        raise ModuleNotFoundError("No module named 'fcntl'", name="fcntl")
    return imported(name, *more, **named)
builtins.__import__ = without_fcntl
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock of ``tmp_path``, and dies without letting go."""
    with holding(tmp_path, "from rlopt.lock import locked", "locked(Path(sys.argv[1]), 'rlopt ppo')") as process:
        yield process


def _refused(folder: Path) -> bool:
    try:
        with locked(folder, "rlopt sft"):
            return False
    except RunError:
        return True


def _in_a_child(folder: Path) -> bool:
    """True if a forked child is refused the lock."""
    if not (child := os.fork()):
        os._exit(7 if _refused(folder) else 8)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_two_runs_of_one_path_share_the_lock(tmp_path: Path) -> None:
    first, second = (Run.open(tmp_path / "run", create=True) for _ in range(2))
    with first.stage("ppo", {}):
        with second.stage("sft", {}):
            pass
        with pytest.raises(RunError, match="by another thread"), _other_thread(first.path):
            pass
        assert _in_a_child(first.path), "the lock was lost when the second one let go"
    assert not _in_a_child(first.path)


class _other_thread:  # noqa: N801  a context manager, named as one
    """Takes the lock in another thread and raises what came of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.error = folder, None

    def __enter__(self) -> None:
        def take() -> None:
            try:
                with locked(self.folder, "another"):
                    pass
            except RunError as error:
                self.error = error

        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
        if self.error is not None:
            raise self.error

    def __exit__(self, *_: object) -> None:
        pass


def test_reading_and_closing_the_lock_file_does_not_let_go(tmp_path: Path) -> None:
    """A POSIX record lock ends when any descriptor of the file is closed, whoever opened it."""
    with locked(tmp_path, "rlopt ppo"):
        (tmp_path / LOCK).read_bytes()
        assert _in_a_child(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_hold_what_its_parent_holds(tmp_path: Path) -> None:
    with locked(tmp_path, "rlopt ppo"):
        assert _in_a_child(tmp_path)
        assert _in_a_child(tmp_path), "the child that ended took the lock with it"


def test_another_process_is_named_and_its_death_ends_the_lock(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    for _ in range(2):  # who asks does not wipe the name out
        with (
            pytest.raises(RunError, match=rf"being written by rlopt ppo \(process {holder.pid}\)"),
            locked(tmp_path, "x"),
        ):
            pass
    holder.kill()
    holder.wait(60)
    with locked(tmp_path, "rlopt sft"):
        assert (tmp_path / HOLDER).read_text() == f"rlopt sft (process {os.getpid()})\n"
    assert not (tmp_path / HOLDER).exists()


@pytest.mark.parametrize("name", [LOCK, HOLDER])
def test_a_link_in_its_place_is_not_written_through(tmp_path: Path, name: str) -> None:
    (tmp_path / "run").mkdir()
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "run" / name).symlink_to(victim)
    try:
        with locked(tmp_path / "run", "rlopt sft"):
            pass
    except RunError as error:
        assert "is a link" in str(error)  # noqa: PT017  either is right
    assert victim.read_text() == "mine"


def test_commands_work_without_fcntl_and_affinity(tmp_path: Path, root: Path) -> None:
    """Systems other than Linux: the command line, a lock that holds, one that ends with its process."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_UNIX)
    script = textwrap.dedent("""
        import os, sys
        assert not hasattr(os, "sched_getaffinity")
        try:
            import fcntl
        except ImportError:
            pass
        else:
            raise SystemExit("fcntl is here")
        from pathlib import Path
        from rlopt.cli.main import run
        from rlopt.errors import RunError
        from rlopt.lock import locked
        folder = Path(sys.argv[1])
        os.environ.pop("RLOPT_THREADS", None)
        assert run(["simulate", "-o", str(folder / "logs.parquet"), "--items", "60", "--impressions", "300000",
                    "--rows", "arms"]) == 0
        assert run(["fit-reward", str(folder / "logs.parquet"), "--run", str(folder / "run"), "--members", "1"]) == 0
        child = os.fork()
        if not child:
            with locked(folder, "a child"):
                os._exit(9)
        os.waitpid(child, 0)
        with locked(folder, "the next"):
            child = os.fork()
            if not child:
                try:
                    with locked(folder, "another"):
                        os._exit(8)
                except RunError:
                    os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    """)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(tmp_path)], env=environment, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "reward" / "meta.json").exists()
