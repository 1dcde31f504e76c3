"""kill -9 during sft and ppo: the same command continues and ends with the weights of an undisturbed run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rlopt.run import Run
from tests.conftest import Outcome
from tests.e2e.killing import kill_when

Rlopt = Callable[..., Outcome]
TreeHash = Callable[[Path], str]
SFT = ("sft", "--steps", 60, "--batch-size", 32)
PPO = ("ppo", "--steps", 24, "--batch-size", 16, "--save-every", 4)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with reward, SFT and PPO, none of them interrupted."""
    from rlopt.cli.main import run
    from rlopt.config import SimulateConfig
    from rlopt.stages.simulate import simulate

    folder = tmp_path_factory.mktemp("training")
    simulate(folder / "logs.parquet", SimulateConfig(items=120, impressions=1_000_000, rows="arms"))
    preset = folder / "preset.yaml"
    preset.write_text("reward: {members: 1}\nsft: {save_every: 10}\n", encoding="utf-8")
    place = ["--run", str(folder / "run")]
    for arguments in (["fit-reward", str(folder / "logs.parquet"), "--config", str(preset)], SFT, PPO):
        assert run([*map(str, arguments), *place]) == 0
    return folder / "run"


def before(stage: str, undisturbed: Path, target: Path) -> Path:
    """A copy of the run as it was before ``stage``."""
    shutil.copytree(undisturbed, target)
    manifest = json.loads((target / "manifest.json").read_text())
    for later in ("sft", "ppo")[("sft", "ppo").index(stage) :]:
        del manifest["stages"][later]
        shutil.rmtree(target / later)
        (target / "metrics" / f"{later}.jsonl").unlink()
    (target / "manifest.json").write_text(json.dumps(manifest))
    return target


def steps_done(run: Path, stage: str) -> int:
    path = run / "metrics" / f"{stage}.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


@pytest.mark.parametrize(
    ("stage", "command", "step"), [("sft", SFT, 25), ("ppo", PPO, 1), ("ppo", PPO, 9), ("ppo", PPO, 22)]
)
def test_the_same_command_continues_and_ends_with_the_same_weights(
    stage: str, command: tuple, step: int, undisturbed: Path, rlopt: Rlopt, tmp_path: Path, tree_hash: TreeHash
) -> None:
    run = before(stage, undisturbed, tmp_path / "run")
    kill_when(lambda: steps_done(run, stage) >= step, *command, "--run", run)
    assert not Run.open(run).done(stage)
    assert not (run / stage).exists()

    assert rlopt(*command, "--run", run).code == 0
    assert (run / stage / "model.safetensors").read_bytes() == (undisturbed / stage / "model.safetensors").read_bytes()
    steps = [json.loads(line)["step"] for line in (run / "metrics" / f"{stage}.jsonl").read_text().splitlines()]
    assert steps == list(range(1, len(steps) + 1))


def test_the_policy_loads_and_writes_where_rlopt_is_not_installed(undisturbed: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import importlib.abc, sys\n"
        "class Block(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name.split('.')[0] in ('rlopt', 'reward', 'envs', 'trl'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "folder = sys.argv[1]\n"
        "model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)\n"
        "assert not any(info[k] for k in ('missing_keys', 'unexpected_keys', 'mismatched_keys')), info\n"
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
        "ids = tokenizer('<|title|>', return_tensors='pt').input_ids\n"
        "print(tokenizer.decode(model.generate(ids, max_new_tokens=12)[0], skip_special_tokens=True))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(undisturbed / "ppo")], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
