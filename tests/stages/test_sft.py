"""``rlopt sft`` on a small menu: what may learn, what is held out, what PPO can go on from."""

from pathlib import Path

import pytest

from rlopt.config import PpoConfig, SftConfig
from rlopt.errors import PolicyError
from rlopt.policy.title_policy import TitlePolicy
from rlopt.run import Run
from rlopt.stages.ppo import train_ppo
from rlopt.stages.sft import train_sft
from rlopt.stages.sft_data import hold_out, logged_pairs
from tests.stages.menu import make_arms, make_run

QUICK = {"steps": 4, "batch_size": 8, "save_every": 2}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", make_arms(30))


def test_ppo_refuses_a_prefix_in_a_line_that_names_the_way_out(run: Run) -> None:
    result = train_sft(run, SftConfig(learn="prefix", prefix_length=4, **QUICK))
    assert TitlePolicy.load(run / "sft").prefix is not None
    assert result.learned == 4 * 2 * 3 * 128  # virtual tokens, keys and values, layers, width
    with pytest.raises(PolicyError, match="rlopt sft --learn lora --run") as error:
        train_ppo(run, PpoConfig(steps=1))
    assert "\n" not in str(error.value)


def test_held_out_items_are_train_items_that_nobody_learns_from(run: Run) -> None:
    pairs = logged_pairs(run.arms().of_items(run.splits().train))
    lesson = hold_out(pairs, 0.2, seed=0)
    learned, watched = ({item.item_id for item, _ in part} for part in (lesson.pairs, lesson.held_out))
    assert learned | watched == set(run.splits().train)
    assert not learned & watched
    assert len(watched) == 2
    assert hold_out(pairs, 0.2, seed=0) == lesson


def test_early_stopping_is_told_in_metrics_and_result(run: Run) -> None:
    result = train_sft(run, SftConfig(early_stopping=1, **QUICK))
    looks = [row for row in run.metrics("sft").rows() if "eval_loss" in row]
    assert [row["step"] for row in looks] == [2, 4]
    assert result.held_out_loss == min(row["eval_loss"] for row in looks)
    assert result.kept_step == min(looks, key=lambda row: row["eval_loss"])["step"]


def test_what_learns_is_counted(run: Run) -> None:
    full = train_sft(run, SftConfig(**QUICK))
    assert full.learned == full.parameters
    head = train_sft(run, SftConfig(learn="head", **QUICK))
    vocabulary = len(TitlePolicy.load(run / "sft").tokenizer)
    assert head.learned == 128 * (vocabulary + 1)
    assert head.parameters == full.parameters + 128 * vocabulary
