"""Seeds end where the libraries' do, and a word list is looked at before it is read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from reward.features.phraselist import MAX_BYTES, PhraseList, PhraseListError
from reward.seeds import MAX_SEED
from rlopt.config import load
from rlopt.config.presets import STAGES
from rlopt.errors import ConfigError, PolicyError
from rlopt.files import fingerprints
from rlopt.training.augment import Variants
from tests.conftest import Outcome

Rlopt = Callable[..., Outcome]


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_takes_the_largest_seed_and_no_larger(name: str) -> None:
    assert STAGES[name](seed=MAX_SEED).seed == MAX_SEED
    for seed in (-1, MAX_SEED + 1, 2**64, 10**400):
        with pytest.raises(ValidationError):
            STAGES[name](seed=seed)
    with pytest.raises(ConfigError, match=r"seed must be less than or equal to 4294967295\. Got 4294967296"):
        load(STAGES[name], overrides={"seed": MAX_SEED + 1})


@pytest.mark.parametrize("command", ["fit-reward x", "demo"])  # the others look for their run first
@pytest.mark.parametrize("seed", ["-1", "4294967296", "1e400", "9" * 5000])
def test_commands_say_the_range(rlopt: Rlopt, command: str, seed: str) -> None:
    outcome = rlopt(*command.split(), f"--seed={seed}")
    assert outcome.code in (1, 2)  # a setting out of its range, or an option that is no number
    assert "seed" in outcome.err.splitlines()[-1]
    assert "bug" not in outcome.err


def test_the_largest_seed_works_from_logs_to_titles(rlopt: Rlopt, tmp_path: Path) -> None:
    seed = f"--seed={MAX_SEED}"
    run = ["--run", tmp_path / "run", seed]
    preset = tmp_path / "preset.yaml"
    preset.write_text(
        "reward: {members: 1}\nsft: {steps: 4, batch_size: 8}\nppo: {steps: 2, batch_size: 8, critic_warmup: 1}\n"
        "eval: {samples: 1, best_of: 2, draws: 50}\n"
    )
    logs = tmp_path / "logs.parquet"
    shop = ["--items", "60", "--impressions", "300000", "--rows", "arms"]
    assert rlopt("simulate", "-o", logs, *shop, seed).code == 0
    assert rlopt("fit-reward", logs, "--config", preset, *run).code == 0
    assert rlopt("ppo", *run).code == 0
    assert rlopt("offline-eval", *run).code == 0
    assert rlopt("generate", logs, "-o", tmp_path / "t.parquet", "--n", "2", *run).code == 0


@pytest.fixture(params=["huge", "pipe", "device", "folder", "gone", "image"])
def no_list(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Something that is no list of words."""
    path = tmp_path / "words.txt"
    if request.param == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    elif request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "image":
        path.write_bytes(b"\x89PNG\xff")
    return path


def test_what_is_no_list_is_not_read(no_list: Path) -> None:
    with pytest.raises(PhraseListError, match=r"words\.txt"):
        PhraseList.read(no_list)
    with pytest.raises(PolicyError, match=r"words\.txt"):
        Variants.read(no_list)
    if not no_list.is_file() or no_list.stat().st_size > MAX_BYTES:
        assert fingerprints([no_list]) == {}


def test_a_list_behind_a_link_is_read(tmp_path: Path) -> None:
    """A list is the user's own file, wherever it lies."""
    (tmp_path / "real").write_text("best\n")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert PhraseList.read(tmp_path / "link").phrases == ("best",)
