"""generate killed at any moment, or shared by two processes: the output is that of one undisturbed process."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rlopt.stages.generate.proposals import title_hash
from tests.conftest import Outcome
from tests.e2e.killing import kill_when

Rlopt = Callable[..., Outcome]
SHARD = 10
pytestmark = pytest.mark.parametrize("simulated_logs", ["en"], indirect=True)  # a locale changes nothing here


@pytest.fixture(scope="module")
def run(fitted_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from rlopt.cli.main import run

    folder = tmp_path_factory.mktemp("trained") / "run"
    shutil.copytree(fitted_run, folder)
    assert run(["ppo", "--run", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def arguments(run: Path, simulated_logs: Path) -> tuple[object, ...]:
    preset = run.with_name("generate.yaml")
    preset.write_text(f"generate: {{shard_items: {SHARD}, best_of: 8, keep_current: false}}\n", encoding="utf-8")
    return ("generate", simulated_logs.with_name("logs.items.parquet"), "--config", preset, "--run", run)


@pytest.fixture(scope="module")
def undisturbed(arguments: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    from rlopt.cli.main import run

    out = tmp_path_factory.mktemp("undisturbed") / "out.parquet"
    assert run([*map(str, arguments), "-o", str(out)]) == 0
    titles = pq.read_table(out)["title"].drop_null().to_pylist()
    assert len(titles) > 5 * SHARD
    assert len({title_hash(title) for title in titles}) == len(titles)
    return out


@pytest.mark.parametrize("shards", [0, 5])
def test_the_same_command_finishes(
    shards: int, arguments: tuple[object, ...], undisturbed: Path, rlopt: Rlopt, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    parts = tmp_path / ".out.parquet.parts"
    kill_when(lambda: len([*parts.glob("[0-9]*.parquet")]) > shards, *arguments, "-o", out)
    assert not out.exists()
    assert rlopt(*arguments, "-o", out).code == 0
    assert pq.read_table(out).equals(pq.read_table(undisturbed))
    assert not parts.exists()


def test_two_processes_write_what_one_does(arguments: tuple[object, ...], undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    launch = ["accelerate.commands.launch", "--multi_gpu", "--num_machines", "1", "--mixed_precision", "no"]
    launch += ["--dynamo_backend", "no", "--num_processes", "2", "--main_process_port", "0", "-m", "rlopt"]
    command = [sys.executable, "-m", *launch, *map(str, arguments), "-o", str(out)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert pq.read_table(out).equals(pq.read_table(undisturbed))
    assert done.stdout.count("without title") == 1  # one of them speaks
