"""PPO that goes on from its last policy: two penalties, earlier prompts again, and SFT as the reference throughout."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy import ITEMS, ppo_settings, saved, toy_rewards
from transformers import TrainerCallback

from rlopt.policy.title_policy import TitlePolicy
from rlopt.training.adapters import adapter_config
from rlopt.training.ppo import trainer as ppo_trainer
from rlopt.training.ppo.learn import improve
from rlopt.training.ppo.replay import replay_order
from rlopt.training.ppo.settings import Held


def test_every_rollout_rehearses_its_share_of_earlier_items() -> None:
    earlier = np.arange(100) < 60
    order = replay_order(earlier, rollouts=20, prompts=10, share=0.3, seed=0).reshape(20, 10)
    np.testing.assert_array_equal(earlier[order].sum(axis=1), np.full(20, 3))
    seen = np.bincount(order.ravel(), minlength=100)
    assert set(seen[earlier]) == {1}  # 60 places, 60 earlier items
    assert set(seen[~earlier]) == {3, 4}  # 140 places, 40 others
    np.testing.assert_array_equal(order.ravel(), replay_order(earlier, 20, 10, 0.3, 0))
    assert not earlier[replay_order(earlier, 5, 10, 0.0, 0)].any()
    assert earlier[replay_order(earlier, 5, 10, 1.0, 0)].all()


def test_of_one_kind_alone_all_are_seen() -> None:
    for earlier in (np.ones(7, dtype=bool), np.zeros(7, dtype=bool)):
        assert set(replay_order(earlier, 2, 5, 0.3, 0)) == set(range(7))


@pytest.fixture(scope="module")
def last_folder(sft_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that PPO has moved away from SFT."""
    base = tmp_path_factory.mktemp("last")
    policy = TitlePolicy.load(sft_folder)
    return saved(
        improve(policy, sft_folder, ITEMS, toy_rewards(policy), ppo_settings(15, save_every=100), base / "checkpoints"),
        base / "ppo",
    )


def go_on(
    sft_folder: Path, last_folder: Path, checkpoints: Path, steps: int, *callbacks: TrainerCallback, **changes: Any
) -> TitlePolicy:
    policy = TitlePolicy.load(last_folder)
    held = Held(TitlePolicy.load(last_folder).model, TitlePolicy.load(sft_folder).model)
    settings = ppo_settings(steps, **changes)
    return improve(policy, sft_folder, ITEMS, toy_rewards(policy), settings, checkpoints, callbacks, held=held)


def kl(policy: TitlePolicy, reference: Path) -> float:
    written = [titles[0] for titles in policy.generate(ITEMS, 1, seed=2)]
    tokens = [title.token_ids for title in written]
    return float(policy.kl_to(TitlePolicy.load(reference), ITEMS, tokens).mean())


def test_the_second_penalty_holds_it_to_the_last_policy(sft_folder: Path, last_folder: Path, tmp_path: Path) -> None:
    free = go_on(sft_folder, last_folder, tmp_path / "free", 12, kl_last_coef=0.0, kl_coef=0.0)
    held = go_on(sft_folder, last_folder, tmp_path / "held", 12, kl_last_coef=5.0, kl_coef=0.0)
    assert kl(held, last_folder) < 0.5 * kl(free, last_folder)


class FirstKl(TrainerCallback):
    """KL to the reference in the first update."""

    def __init__(self) -> None:
        self.found: float | None = None

    def on_log(self, args, state, control, logs=None, **_):
        if self.found is None and "objective/kl" in (logs or {}):
            self.found = float(logs["objective/kl"])


@pytest.mark.parametrize("adapters", [False, True], ids=["full", "lora"])
def test_the_reference_stays_sft(sft_folder: Path, last_folder: Path, tmp_path: Path, adapters: bool) -> None:
    first = FirstKl()
    changes = {"adapters": adapter_config("lora", 4, 1)} if adapters else {}
    go_on(sft_folder, last_folder, tmp_path / "checkpoints", 1, first, **changes)
    assert first.found is not None
    assert first.found > 0.05  # before the first update it would be 0 with the last policy for a reference


def test_the_reward_of_a_token_has_both_penalties(
    sft_folder: Path, last_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, torch.Tensor] = {}
    rewards_of, gae = ppo_trainer.token_rewards, ppo_trainer.gae

    def token_rewards(score, log_ratio, mask, coefficient):
        given.update(alone=rewards_of(score, log_ratio, mask, coefficient), mask=mask)
        return given["alone"]

    def seen(rewards, *rest):
        given["both"] = rewards
        return gae(rewards, *rest)

    monkeypatch.setattr(ppo_trainer, "token_rewards", token_rewards)
    monkeypatch.setattr(ppo_trainer, "gae", seen)
    go_on(sft_folder, last_folder, tmp_path / "at-last", 1, kl_last_coef=3.0)
    # Before its first update the policy is the last one: log(pi / pi_last) is 0.
    torch.testing.assert_close(given["both"], given["alone"], atol=1e-4, rtol=0)
    policy = TitlePolicy.load(sft_folder)  # another start: the second penalty is kl_last_coef log(pi / pi_last)
    held = Held(TitlePolicy.load(last_folder).model, TitlePolicy.load(sft_folder).model)
    settings = ppo_settings(1, kl_last_coef=3.0)
    improve(policy, sft_folder, ITEMS, toy_rewards(policy), settings, tmp_path / "at-sft", held=held)
    difference = (given["alone"] - given["both"]) / 3.0
    assert difference[given["mask"] == 0].abs().max() == 0
    assert difference.sum(-1).mean() > 0.05  # a Monte Carlo estimate of KL(sft || last)
