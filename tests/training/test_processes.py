"""Two processes (gloo, on the CPU) learn what one learns from the same batches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

SCRIPT = Path(__file__).parent / "two_processes.py"
SAME = ("objective/kl", "objective/scores", "loss/policy", "loss/value", "val/explained_variance", "policy/entropy")


@pytest.fixture(scope="module")
def results(sft_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of one process's and of two processes' trainings."""
    out = tmp_path_factory.mktemp("processes")
    # --multi_gpu is accelerate's name for "several processes by torchrun"; without GPUs they speak gloo
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1", "--mixed_precision", "no"]
    launch += ["--dynamo_backend", "no", "--num_processes", "2", "--main_process_port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for how in ([], launch):
        command = [sys.executable, *how, str(SCRIPT), str(sft_folder), str(out)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    return out


@pytest.mark.parametrize("algorithm", ["ppo", "rloo"])
def test_two_processes_end_where_one_does(results: Path, sft_folder: Path, algorithm: str) -> None:
    before = load_file(sft_folder / "model.safetensors")
    alone, shared = (load_file(results / f"{algorithm}-{n}" / "model.safetensors") for n in (1, 2))
    moved = max(float((alone[name] - before[name]).abs().max()) for name in alone)
    apart = max(float((alone[name] - shared[name]).abs().max()) for name in alone)
    assert moved > 1e-3
    assert apart < 0.02 * moved
    rows = [json.loads((results / f"{algorithm}-{n}" / "metrics.json").read_text()) for n in (1, 2)]
    for one, two in zip(*rows, strict=True):
        for name in (name for name in SAME if name in one):
            assert one[name] == pytest.approx(two[name], rel=2e-3, abs=2e-4), name
