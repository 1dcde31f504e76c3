"""Fixtures every folder may use: real data where it is at hand, a clean command line, a small simulated shop."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
settings.register_profile(
    "same", derandomize=True
)  # the same examples each time; HYPOTHESIS_PROFILE=default draws anew
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
os.environ["HF_HUB_OFFLINE"] = "1"  # tests use no network, and do not wait for one; read when the hub's client loads


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data sets (RLOPT_SHARED_DATA, else ../shared/data beside the repository)."""
    folder = Path(os.environ.get("RLOPT_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real data sets are not here: no folder {folder} (RLOPT_SHARED_DATA names another)")
    return folder


@pytest.fixture(autouse=True)
def _as_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run from outside, and no ``--json`` from the test before."""
    monkeypatch.delenv("RLOPT_RUN", raising=False)
    monkeypatch.setattr("rlopt.progress._quiet", False)


@dataclass(frozen=True)
class Outcome:
    """Outcome of a command: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Stdout, which must be one JSON object."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


@pytest.fixture
def rlopt(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """``rlopt("score", path, "-o", out)``: the real command line, in this process."""
    from rlopt.cli.main import run

    def call(*arguments: object) -> Outcome:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        return Outcome(code, *capfd.readouterr())

    return call


def folder_hash(folder: Path) -> str:
    """Hash of all names and contents in a folder."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.name != ".lock":
            total.update(str(path.relative_to(folder)).encode())
            total.update(path.read_bytes() if path.is_file() else b"/")
    return total.hexdigest()


@pytest.fixture(scope="session")
def tree_hash() -> Callable[[Path], str]:
    """Hash of all names and contents in a folder; equal hashes mean an untouched folder."""
    return folder_hash


def quick_preset(folder: Path) -> Path:
    """A preset with which the whole chain runs in seconds: it works, and learns next to nothing."""
    path = folder / "preset.yaml"
    path.write_text(
        "reward: {members: 1}\n"
        "sft: {steps: 40, batch_size: 32}\n"
        "ppo: {steps: 3, batch_size: 16, critic_warmup: 1, save_every: 2}\n"
        "eval: {samples: 1, best_of: 2, draws: 100}\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="session", params=["en", "zh"])
def simulated_logs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs of a small simulated shop, one row an arm, with items and market beside them."""
    from rlopt.config import SimulateConfig
    from rlopt.stages.simulate import simulate

    out = tmp_path_factory.mktemp(f"shop-{request.param}") / "logs.parquet"
    simulate(out, SimulateConfig(items=100, impressions=1_000_000, locale=request.param, rows="arms"))
    return out


@pytest.fixture(scope="session")
def fitted_run(simulated_logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a finished fit-reward on `simulated_logs`; copy it before changing it."""
    from rlopt.cli.main import run

    folder = tmp_path_factory.mktemp("fitted")
    preset = quick_preset(folder)
    arguments = ["fit-reward", str(simulated_logs), "--run", str(folder / "run"), "--config", str(preset)]
    assert run(arguments) == 0
    return folder / "run"
