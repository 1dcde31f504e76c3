"""A foreign package called reward or envs is named in one line, and never run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlopt import neighbours

SCRIPT = "import sys; sys.argv[0] = 'rlopt'; sys.path.pop(0); from rlopt.cli.main import main; main()"


def run(root: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture(params=["reward.py", "envs.py", "reward/__init__.py"])
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with a module of the user's that has the name of one of ours."""
    path = tmp_path / request.param
    path.parent.mkdir(exist_ok=True)
    path.write_text("open('executed', 'w').close()\n")
    return path


@pytest.mark.parametrize(
    "arguments", [["--help"], ["demo", "--help"], ["score", "titles.parquet", "-o", "out.parquet"]]
)
def test_as_a_module_it_refuses_in_one_line(root: Path, tmp_path: Path, foreign: Path, arguments: list[str]) -> None:
    done = run(root, tmp_path, "-m", "rlopt", *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"Error: {foreign}" if foreign.name != "__init__.py" else f"Error: {tmp_path}")
    assert "belongs to rlopt" in line
    assert not (tmp_path / "executed").exists()


def test_as_a_command_it_works(root: Path, tmp_path: Path, foreign: Path) -> None:
    """The working directory is not on the command's path."""
    for arguments in (
        ["--help"],
        ["demo", "--help"],
        ["simulate", "-o", "logs.parquet", "--items", "5", "--impressions", "900"],
    ):
        done = run(root, tmp_path, "-c", SCRIPT, *arguments)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "logs.parquet").exists()
    assert not (tmp_path / "executed").exists()


def test_an_import_says_it_too(root: Path, tmp_path: Path, foreign: Path) -> None:
    done = run(root, tmp_path, "-c", "import rlopt")
    assert done.stderr.strip().splitlines()[-1].startswith("ImportError: ")
    assert "belongs to rlopt" in done.stderr
    assert not (tmp_path / "executed").exists()


def test_a_package_installed_over_ours_is_told(root: Path, tmp_path: Path) -> None:
    for name in ("rlopt", "reward", "envs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text((root / name / "__init__.py").read_text(encoding="utf-8"))
    (tmp_path / "rlopt" / "neighbours.py").write_text((root / "rlopt" / "neighbours.py").read_text(encoding="utf-8"))
    assert run(tmp_path, tmp_path, "-c", "import rlopt").returncode == 0
    (tmp_path / "reward" / "__init__.py").write_text("open('executed', 'w').close()\n")
    done = run(tmp_path, tmp_path, "-c", "import rlopt")
    assert "is another project's package 'reward', installed over" in done.stderr
    (tmp_path / "reward" / "__init__.py").unlink()
    (tmp_path / "reward").rmdir()
    assert "'reward' that belongs to rlopt is missing" in run(tmp_path, tmp_path, "-c", "import rlopt").stderr
    assert not (tmp_path / "executed").exists()


def test_ours_are_ours() -> None:
    assert neighbours.stranger() is None
