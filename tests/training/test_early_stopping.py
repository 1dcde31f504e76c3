"""The monitor: watched with weight 0, and what ends the training past its peak, with the peak's weights."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy import ITEMS, Predicted, fresh_policy, likes_new, ppo_settings, toy_rewards
from transformers import TrainerCallback

from reward.items import Item
from rlopt.policy.title_policy import TitlePolicy
from rlopt.training.early_stopping import EarlyStopping
from rlopt.training.ppo.learn import improve
from rlopt.training.rewards import Monitor, spread_of_items

STD, TITLES = 0.2, 64


class Folders:
    """Stands in for a trainer: a checkpoint folder after every 10 steps."""

    def __init__(self, folder: Path, stopping: EarlyStopping) -> None:
        self.args = SimpleNamespace(output_dir=str(folder), save_steps=10)
        self.state = SimpleNamespace(global_step=0, best_metric=None, best_model_checkpoint=None)
        self.control = SimpleNamespace(should_training_stop=False)
        self.stopping = stopping

    def play(self, lifts: Sequence[float]) -> int:
        """Steps until the stopping stops the training."""
        for lift in lifts:
            self.state.global_step += 1
            logs = {"monitor/lift": lift, "monitor/std": STD}
            self.stopping.on_log(self.args, self.state, self.control, logs)
            if self.state.global_step % 10 == 0:
                (Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}").mkdir()
                self.stopping.on_save(self.args, self.state, self.control)
            if self.control.should_training_stop:
                break
        return self.state.global_step


def noisy(mean: np.ndarray, seed: int) -> list[float]:
    rng = np.random.default_rng(seed)
    return (mean + rng.normal(0, STD / np.sqrt(TITLES), len(mean))).tolist()


def test_a_training_that_keeps_gaining_is_left_alone(tmp_path: Path) -> None:
    mean = np.concatenate([np.linspace(0, 0.3, 100), np.full(100, 0.3)])
    for seed in range(20):
        stopping = EarlyStopping(200, 1, TITLES)
        (tmp_path / str(seed)).mkdir()
        assert Folders(tmp_path / str(seed), stopping).play(noisy(mean, seed)) == 200
        assert not stopping.has_fallen
        assert stopping.kept_step == 200


def test_a_fall_stops_it_near_the_peak(tmp_path: Path) -> None:
    mean = np.concatenate([np.linspace(0, 0.3, 80), np.linspace(0.3, -0.2, 120)])
    for seed in range(10):
        stopping = EarlyStopping(200, 1, TITLES)
        (tmp_path / str(seed)).mkdir()
        fake = Folders(tmp_path / str(seed), stopping)
        assert fake.play(noisy(mean, seed)) < 160
        assert stopping.has_fallen
        assert 70 <= stopping.kept_step <= 100
        assert fake.state.best_model_checkpoint.endswith(f"checkpoint-{stopping.kept_step}")


def test_it_sees_again_what_was_seen_before_an_interruption(tmp_path: Path) -> None:
    lifts = noisy(np.concatenate([np.linspace(0, 0.3, 40), np.linspace(0.3, 0.2, 20)]), 0)
    first = EarlyStopping(200, 1, TITLES)
    fake = Folders(tmp_path, first)
    fake.play(lifts)
    rows = [{"step": step + 1, "monitor/lift": lift, "monitor/std": STD} for step, lift in enumerate(lifts)]
    again = EarlyStopping(200, 1, TITLES, [*rows, {"step": 61, "monitor/lift": 9.0, "monitor/std": STD}])
    again.on_train_begin(fake.args, fake.state, fake.control)
    assert (again.looks, again.best, again.below) == (first.looks, first.best, first.below)


def test_steps_without_a_look_are_no_looks() -> None:
    stopping = EarlyStopping(200, 5, TITLES)
    stopping.on_log(SimpleNamespace(), SimpleNamespace(global_step=1), SimpleNamespace(), {"objective/kl": 1.0})
    assert stopping.looks == []


def dislikes_new(items: Sequence[Item], titles: Sequence[str]) -> Predicted:
    """The customers the optimised reward knows nothing of."""
    return Predicted(0.03 - likes_new(items, titles).reward, np.zeros(len(titles)))


class Weights(TrainerCallback):
    """The policy's weights after each step."""

    def __init__(self) -> None:
        self.after: dict[int, dict[str, torch.Tensor]] = {}

    def on_step_end(self, args, state, control, model=None, **_):
        self.after[state.global_step] = {name: t.detach().clone() for name, t in model.state_dict().items()}


def test_ppo_returns_the_policy_of_the_peak(sft_folder: Path, tmp_path: Path) -> None:
    policy, weights = TitlePolicy.load(sft_folder), Weights()
    monitor = Monitor(dislikes_new, np.full(len(ITEMS), 0.015), 1)
    rewards = replace(toy_rewards(policy), monitor=monitor)
    stopping = EarlyStopping(60, 1, 16)
    settings = ppo_settings(60, learning_rate=6e-3, kl_coef=0.0, save_every=5)
    trained = improve(policy, sft_folder, ITEMS, rewards, settings, tmp_path, [weights], stopping)
    assert stopping.has_fallen
    assert max(weights.after) < 60
    kept = weights.after[stopping.kept_step]
    assert all(torch.equal(tensor, kept[name]) for name, tensor in trained.model.state_dict().items())


def test_the_monitor_is_not_optimised(sft_folder: Path, tmp_path: Path) -> None:
    weights = []
    for watched in (False, True):
        policy = TitlePolicy.load(sft_folder)
        rewards = toy_rewards(policy)
        if watched:
            rewards = replace(rewards, monitor=Monitor(dislikes_new, np.full(len(ITEMS), 0.015), 2))
        trained = improve(policy, sft_folder, ITEMS, rewards, ppo_settings(3), tmp_path / str(watched))
        weights.append(trained.model.state_dict())
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_the_monitor_looks_at_every_so_many_updates() -> None:
    monitor = Monitor(dislikes_new, np.full(len(ITEMS), 0.02), 5)
    rewards = replace(toy_rewards(fresh_policy()), monitor=monitor)
    watch = rewards.functions()[-1]
    logged: dict[str, float] = {}
    batch = {"completions": ["a new b", "a"], "item_index": [0, 1], "log_metric": logged.__setitem__}
    assert watch(**batch, trainer_state=SimpleNamespace(global_step=4)) == [None, None]
    assert logged == {}
    assert watch(**batch, trainer_state=SimpleNamespace(global_step=5)) == pytest.approx([-0.5, 0.0])
    assert logged == pytest.approx({"monitor/lift": -0.25, "monitor/std": 0.25 * np.sqrt(2)})  # n - 1


def test_titles_of_one_item_do_not_count_as_many() -> None:
    """The error of the mean is that of the items' means, whatever the number of titles per item."""
    rng = np.random.default_rng(0)
    errors, means = [], []
    for _ in range(2000):
        item = np.repeat(np.arange(8), 8)
        values = rng.normal(size=8)[item] + 0.5 * rng.normal(size=64)
        means.append(values.mean())
        errors.append(spread_of_items(values, item) / np.sqrt(64))
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(means), rel=0.05)
    alone = rng.normal(size=64)
    assert spread_of_items(alone, np.arange(64)) == pytest.approx(alone.std(ddof=1))
    assert spread_of_items(alone, np.zeros(64, dtype=np.int64)) == pytest.approx(alone.std() * 8)
