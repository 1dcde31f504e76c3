"""GRPO and RLOO on PPO's rewards: they learn, resume, and log the same KL; impossible settings are refused."""

import json
from pathlib import Path

import pytest
import torch
from test_ppo_learns import StopAt, share_of_new, train, weights
from toy import ppo_settings
from transformers import TrainerCallback

from rlopt.algorithms import ALGORITHMS
from rlopt.errors import PolicyError
from rlopt.policy.title_policy import TitlePolicy
from rlopt.training.arguments import share_out
from rlopt.training.ppo.kl import AdaptiveKL

RIVALS = [name for name, algorithm in ALGORITHMS.items() if algorithm.needs_group]


class Logged(TrainerCallback):
    def __init__(self) -> None:
        self.rows: list[dict] = []

    def on_log(self, args, state, control, logs=None, **_):
        self.rows.append(json.loads(json.dumps(logs)))


@pytest.mark.parametrize("algorithm", RIVALS)
def test_a_rival_learns_what_is_rewarded(sft_folder: Path, tmp_path: Path, algorithm: str) -> None:
    log = Logged()
    changes = {"algorithm": algorithm, "generations": 4, "kl_coef": 0.02}
    after = train(sft_folder, tmp_path, 30, (log,), **changes)
    assert share_of_new(after) > share_of_new(TitlePolicy.load(sft_folder)) + 0.1
    kl = [row["objective/kl"] for row in log.rows if "objective/kl" in row]
    assert len(kl) == 30
    assert kl[0] == pytest.approx(0.0, abs=1e-5)
    assert min(kl) > -1e-5
    assert kl[-1] > 0.01


@pytest.mark.parametrize("algorithm", RIVALS)
def test_a_rival_is_held_to_the_target_as_ppo_is(sft_folder: Path, tmp_path: Path, algorithm: str) -> None:
    free, held = Logged(), Logged()
    changes = {"algorithm": algorithm, "generations": 4, "kl_coef": 0.05}
    train(sft_folder, tmp_path / "free", 8, (free,), **changes)
    train(sft_folder, tmp_path / "held", 30, (held,), kl_target=0.02, **changes)
    without, steps = ([row for row in log.rows if "objective/kl" in row] for log in (free, held))
    assert {row["objective/kl_coef"] for row in without} == {0.05}
    expected = AdaptiveKL(0.05, 0.02)
    for row in steps:
        assert row["objective/kl_coef"] == pytest.approx(expected.coefficient)
        expected.update(row["objective/kl"])
    assert steps[-1]["objective/kl_coef"] > 0.055


@pytest.mark.parametrize("algorithm", RIVALS)
def test_a_rival_without_a_penalty_knows_no_reference(sft_folder: Path, tmp_path: Path, algorithm: str) -> None:
    log = Logged()
    train(sft_folder, tmp_path, 2, (log,), algorithm=algorithm, generations=4, kl_coef=0.0)
    assert len([row for row in log.rows if "reward" in row]) == 2
    assert not any("objective/kl" in row for row in log.rows)


@pytest.mark.parametrize("algorithm", RIVALS)
def test_an_interrupted_rival_ends_with_the_same_weights(sft_folder: Path, tmp_path: Path, algorithm: str) -> None:
    changes = {"algorithm": algorithm, "generations": 4, "kl_target": 0.01}
    whole = weights(train(sft_folder, tmp_path / "whole", 5, **changes))
    with pytest.raises(KeyboardInterrupt):
        train(sft_folder, tmp_path / "broken", 5, (StopAt(3),), **changes)
    resumed = weights(train(sft_folder, tmp_path / "broken", 5, **changes))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "grpo"}, "at least 2"),
        ({"generations": 3}, "whole groups of 3"),
        ({"vllm": "colocate"}, "for pretrained models"),
        ({"report_to": ("nowhere",)}, "must be one of tensorboard"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(
    sft_folder: Path, tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(PolicyError, match=message) as caught:
        train(sft_folder, tmp_path, 2, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("batch", "micro", "processes", "expected"),
    [(64, 64, 1, (64, 1)), (64, 8, 1, (8, 8)), (60, 8, 1, (6, 10)), (64, 64, 2, (32, 1)), (64, 8, 4, (8, 2))],
)
def test_a_step_sees_exactly_its_batch(batch: int, micro: int, processes: int, expected: tuple[int, int]) -> None:
    size, times = share_out(batch, micro, processes)
    assert (size, times) == expected
    assert size * times * processes == batch


def test_processes_that_cannot_share_a_batch_are_told() -> None:
    with pytest.raises(PolicyError, match="multiple of 3"):
        share_out(64, 64, 3)


def test_checkpoints_fall_between_rollouts() -> None:
    from rlopt.training.arguments import shared_arguments

    made = shared_arguments(ppo_settings(20, save_every=5), Path("x"), multiple=2)
    assert made["save_steps"] == 6
