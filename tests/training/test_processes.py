"""Two processes (gloo, on the CPU) learn what one learns from the same batches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
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


def test_rewards_are_computed_from_the_same_titles(sft_folder: Path) -> None:
    """The noise a row gets does not depend on who draws it."""
    from rlopt.training.rollouts import SharedNoise

    scores = torch.randn(6, 20)
    whole = SharedNoise(6, 0, 6, 0.7, 3, scores.device)(None, scores)
    halves = [SharedNoise(3, first, 6, 0.7, 3, scores.device)(None, scores[first : first + 3]) for first in (0, 3)]
    assert torch.equal(whole, torch.cat(halves))


def test_noisy_logits_are_draws_from_the_softmax() -> None:
    from rlopt.training.rollouts import SharedNoise

    logits, temperature, n = torch.tensor([0.5, -1.0, 2.0, 0.0]), 1.3, 40_000
    drawn = SharedNoise(n, 0, n, temperature, 0, logits.device)(None, logits.expand(n, 4)).argmax(-1)
    expected = torch.softmax(logits / temperature, -1)
    seen = torch.bincount(drawn, minlength=4) / n
    assert (seen - expected).abs().max() < 4 * (0.25 / n) ** 0.5
