"""PPO finds what is rewarded; checkpoints, resumption, PEFT and gradient accumulation do what they promise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy import ITEMS, ppo_settings, toy_rewards
from transformers import AutoModelForCausalLM, TrainerCallback

from rlopt.errors import PolicyError
from rlopt.policy.title_policy import TitlePolicy
from rlopt.training.adapters import adapter_config
from rlopt.training.checkpoints import newest_checkpoint
from rlopt.training.ppo import learn
from rlopt.training.ppo.learn import improve
from rlopt.training.ppo.trainer import PPOTrainer


def share_of_new(policy: TitlePolicy) -> float:
    titles = [title.text for titles in policy.generate(ITEMS, 4, seed=1) for title in titles]
    return float(np.mean(["new" in title for title in titles]))


def train(folder: Path, checkpoints: Path, steps: int, callbacks: tuple = (), **changes: object) -> TitlePolicy:
    policy = TitlePolicy.load(folder)
    settings = ppo_settings(steps, **changes)
    return improve(policy, folder, ITEMS, toy_rewards(policy), settings, checkpoints, callbacks)


def weights(policy: TitlePolicy) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}


class StopAt(TrainerCallback):
    """Ends a run as a kill would: after a step, without a word."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def test_ppo_writes_what_is_rewarded(sft_folder: Path, tmp_path: Path) -> None:
    before = share_of_new(TitlePolicy.load(sft_folder))
    after = train(sft_folder, tmp_path, 30)
    assert 0.3 < before < 0.9
    assert share_of_new(after) > before + 0.1


def test_a_heavy_kl_penalty_keeps_the_policy_at_home(sft_folder: Path, tmp_path: Path) -> None:
    free = train(sft_folder, tmp_path / "free", 25)
    held = train(sft_folder, tmp_path / "held", 25, kl_coef=5.0)
    sft = TitlePolicy.load(sft_folder)

    def kl(policy: TitlePolicy) -> float:
        written = [titles[0] for titles in policy.generate(ITEMS, 1, seed=2)]
        return float(policy.kl_to(sft, ITEMS, [title.token_ids for title in written]).mean())

    assert kl(held) < 0.5 * kl(free)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_an_interrupted_run_ends_with_the_same_weights(sft_folder: Path, tmp_path: Path, stop: int) -> None:
    whole = weights(train(sft_folder, tmp_path / "whole", 6))
    with pytest.raises(KeyboardInterrupt):
        train(sft_folder, tmp_path / "broken", 6, (StopAt(stop),))
    resumed = weights(train(sft_folder, tmp_path / "broken", 6))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_several_epochs_and_generations_resume_equally(sft_folder: Path, tmp_path: Path) -> None:
    changes = {"epochs": 2, "minibatches": 2, "generations": 4, "kl_target": 1.0, "critic": "own"}
    whole = weights(train(sft_folder, tmp_path / "whole", 6, **changes))
    with pytest.raises(KeyboardInterrupt):
        train(sft_folder, tmp_path / "broken", 6, (StopAt(5),), **changes)
    resumed = weights(train(sft_folder, tmp_path / "broken", 6, **changes))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


class Titles(TrainerCallback):
    """Steps at which titles were written."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_log(self, args, state, control, logs=None, **_):
        if "objective/scores" in (logs or {}):
            self.steps.append(state.global_step)


def test_minibatches_share_what_was_written_at_once(sft_folder: Path, tmp_path: Path) -> None:
    seen = Titles()
    train(sft_folder, tmp_path, 8, (seen,), minibatches=2, epochs=2)
    assert seen.steps == [1, 5]


def test_same_seed_same_weights_other_seed_others(sft_folder: Path, tmp_path: Path) -> None:
    first, second = (weights(train(sft_folder, tmp_path / name, 3)) for name in ("a", "b"))
    other = weights(train(sft_folder, tmp_path / "c", 3, seed=1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_accumulating_small_batches_gives_the_gradient_of_the_large_one(sft_folder: Path, tmp_path: Path) -> None:
    large = weights(train(sft_folder, tmp_path / "large", 2))
    small = weights(train(sft_folder, tmp_path / "small", 2, micro_batch_size=4))
    for name in large:
        torch.testing.assert_close(large[name], small[name], atol=2e-4, rtol=1e-3)


def test_lora_is_merged_and_loads_without_rlopt(sft_folder: Path, tmp_path: Path) -> None:
    trained = train(sft_folder, tmp_path / "checkpoints", 3, adapters=adapter_config("lora", 4, 3), learning_rate=1e-2)
    out = tmp_path / "ppo"
    out.mkdir()
    trained.save(out)
    loaded = AutoModelForCausalLM.from_pretrained(out)
    before = TitlePolicy.load(sft_folder).model.state_dict()
    after = loaded.state_dict()
    assert set(before) == set(after)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_a_half_written_checkpoint_is_not_resumed_from(tmp_path: Path) -> None:
    for step, complete in ((2, True), (4, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if complete:
            (tmp_path / f"checkpoint-{step}" / "COMPLETE").touch()
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.name == "checkpoint-2"
    assert not (tmp_path / "checkpoint-4").exists()


def test_a_step_without_a_finite_gradient_is_skipped_and_said(
    sft_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    losses = iter([float("nan"), 1.0, float("nan")])
    compute = PPOTrainer._compute_loss
    monkeypatch.setattr(PPOTrainer, "_compute_loss", lambda *a: compute(*a) * next(losses))
    trained = train(sft_folder, tmp_path, 3, critic_warmup=0)
    assert all(torch.isfinite(tensor).all() for tensor in weights(trained).values())
    said = capfd.readouterr().err
    assert "Step 1: non-finite" in said
    assert "Step 3: non-finite" in said
    assert "Step 2" not in said


def test_several_such_steps_in_a_row_end_the_training(
    sft_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = PPOTrainer._compute_loss
    monkeypatch.setattr(PPOTrainer, "_compute_loss", lambda *a: compute(*a) * float("nan"))
    with pytest.raises(PolicyError, match="5 steps in a row"):
        train(sft_folder, tmp_path, 20)


class Gradients(TrainerCallback):
    """The policy's gradient at the first update."""

    def __init__(self) -> None:
        self.first: dict[str, torch.Tensor] | None = None

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        if self.first is None:
            self.first = {name: p.grad.detach().clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.fixture
def unclipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients as they are: clipped ones are all of one length."""
    arguments = learn._arguments

    def without_clipping(*given: Any) -> dict[str, Any]:
        return {**arguments(*given), "max_grad_norm": 1e9}

    monkeypatch.setattr(learn, "_arguments", without_clipping)


@pytest.mark.usefixtures("unclipped")
@pytest.mark.parametrize("entropy_coef", [0.0, 0.5])
def test_four_times_eight_titles_give_the_gradient_of_thirty_two(
    sft_folder: Path, tmp_path: Path, entropy_coef: float
) -> None:
    """Titles differ in length, so a mean of micro-batches' means would be another gradient."""
    found = []
    for micro in (32, 8):
        seen = Gradients()
        changes = {"batch_size": 32, "micro_batch_size": micro, "critic_warmup": 0, "entropy_coef": entropy_coef}
        train(sft_folder, tmp_path / str(micro), 1, (seen,), **changes)
        assert seen.first is not None
        found.append(seen.first)
    size = max(float(gradient.abs().max()) for gradient in found[0].values())
    assert size > 1e-3
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], atol=1e-5 * size, rtol=1e-4)


@pytest.mark.usefixtures("unclipped")
def test_the_entropy_bonus_adds_the_gradient_of_the_mean_entropy(sft_folder: Path, tmp_path: Path) -> None:
    """The loss is linear in its coefficient: twice the coefficient moves the gradient twice as far."""
    found = []
    for coefficient in (0.0, 0.3, 0.6):
        seen = Gradients()
        train(sft_folder, tmp_path / str(coefficient), 1, (seen,), critic_warmup=0, entropy_coef=coefficient)
        assert seen.first is not None
        found.append(torch.cat([gradient.flatten() for gradient in seen.first.values()]))
    plain, once, twice = found
    assert (once - plain).abs().max() > 1e-4
    torch.testing.assert_close(twice - plain, 2 * (once - plain), atol=1e-6, rtol=1e-3)


def test_an_entropy_bonus_makes_titles_more_diverse(sft_folder: Path, tmp_path: Path) -> None:
    """In the mean of three trainings: one depends on the machine's last digits."""

    def entropy(coefficient: float, seed: int) -> float:
        changes = {"kl_coef": 0.0, "learning_rate": 1e-3, "entropy_coef": coefficient, "seed": seed}
        trained = train(sft_folder, tmp_path / f"{coefficient}-{seed}", 20, **changes)
        titles = [title for each in trained.generate(ITEMS, 8, seed=3) for title in each]
        return -float(np.mean([title.log_prob for title in titles]))

    assert np.mean([entropy(0.3, seed) - entropy(0.0, seed) for seed in range(3)]) > 0.3


def test_one_bad_micro_batch_throws_the_whole_step_away(
    sft_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    losses = iter([1.0, float("nan"), 1.0, 1.0])
    compute = PPOTrainer._compute_loss
    monkeypatch.setattr(PPOTrainer, "_compute_loss", lambda *a: compute(*a) * next(losses))
    trained = train(sft_folder, tmp_path, 1, critic_warmup=0, micro_batch_size=4)
    before = TitlePolicy.load(sft_folder).model.state_dict()
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(trained).items())
    assert capfd.readouterr().err.count("non-finite") == 1
