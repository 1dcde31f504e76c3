"""PPO's pure functions against hand-computed cases, closed forms and properties."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlopt.training.ppo.advantages import gae, token_rewards
from rlopt.training.ppo.kl import AdaptiveKL, FixedKL
from rlopt.training.ppo.losses import clipped_policy_loss, clipped_value_loss, explained_variance, k3
from rlopt.training.ppo.masked import masked_mean, masked_var, whiten

MASK = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])


def test_the_score_comes_with_the_last_token_and_kl_with_each() -> None:
    log_ratio = torch.tensor([[0.5, -0.2, 0.1, 9.0], [1.0, 9.0, 9.0, 9.0]])
    rewards = token_rewards(torch.tensor([2.0, -1.0]), log_ratio, MASK, kl_coef=0.1)
    torch.testing.assert_close(rewards, torch.tensor([[-0.05, 0.02, 1.99, 0.0], [-1.1, 0.0, 0.0, 0.0]]))


def test_a_title_without_tokens_gets_no_reward() -> None:
    rewards = token_rewards(torch.tensor([5.0]), torch.zeros(1, 3), torch.zeros(1, 3), kl_coef=0.1)
    assert rewards.abs().sum() == 0


def test_gae_by_hand() -> None:
    rewards = torch.tensor([[0.0, 0.0, 1.0]])
    values = torch.tensor([[0.5, 0.4, 0.8]])
    advantages, returns = gae(rewards, values, torch.ones(1, 3), gamma=0.9, lam=0.8)
    d3 = 1.0 - 0.8
    d2 = 0.9 * 0.8 - 0.4
    d1 = 0.9 * 0.4 - 0.5
    a2 = d2 + 0.72 * d3
    a1 = d1 + 0.72 * a2
    torch.testing.assert_close(advantages, torch.tensor([[a1, a2, d3]]))
    torch.testing.assert_close(returns, advantages + values)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_gae_with_lambda_one_is_return_minus_value(seed: int, gamma: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    rewards, values = (torch.randn(2, 5, generator=generator) for _ in range(2))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    advantages, returns = gae(rewards, values, mask, gamma, 1.0)
    for row, length in ((0, 5), (1, 2)):
        for t in range(length):
            discounted = sum(gamma ** (k - t) * float(rewards[row, k]) for k in range(t, length))
            assert float(returns[row, t]) == pytest.approx(discounted, abs=1e-4)
            assert float(advantages[row, t]) == pytest.approx(discounted - float(values[row, t]), abs=1e-4)


def test_gae_with_lambda_zero_is_the_one_step_error() -> None:
    rewards, values = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.3, 0.7]])
    advantages, _ = gae(rewards, values, torch.ones(1, 2), gamma=1.0, lam=0.0)
    torch.testing.assert_close(advantages, torch.tensor([[1.0 + 0.7 - 0.3, 2.0 - 0.7]]))


def test_what_stands_in_the_padding_changes_nothing() -> None:
    rewards, values = torch.randn(2, 4), torch.randn(2, 4)
    padded = values.clone()
    padded[MASK == 0] = 1e6
    for a, b in zip(gae(rewards, values, MASK, 0.99, 0.95), gae(rewards, padded, MASK, 0.99, 0.95), strict=True):
        torch.testing.assert_close(a, b)
        assert (a[MASK == 0] == 0).all()


def test_whitened_advantages_have_mean_zero_and_variance_one() -> None:
    white = whiten(torch.randn(2, 4) * 7 + 3, MASK)
    assert float(masked_mean(white, MASK)) == pytest.approx(0.0, abs=1e-6)
    assert float(masked_var(white, MASK)) == pytest.approx(1.0, abs=1e-5)
    assert (white[MASK == 0] == 0).all()


def test_masked_moments_equal_numpy() -> None:
    x = torch.tensor([[1.0, 2.0, 4.0, float("nan")], [8.0, float("inf"), 0.0, 0.0]])
    values = np.array([1.0, 2.0, 4.0, 8.0])
    assert float(masked_mean(x, MASK)) == pytest.approx(values.mean())
    assert float(masked_var(x, MASK)) == pytest.approx(values.var(ddof=1))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "clipped"),
    [
        (1.0, 2.0, -2.0, 0.0),
        (1.5, 2.0, -2.4, 1.0),
        (0.5, 2.0, -1.0, 0.0),
        (1.5, -2.0, 3.0, 0.0),
        (0.5, -2.0, 1.6, 1.0),
    ],
)
def test_clipped_surrogate(ratio: float, advantage: float, loss: float, clipped: float) -> None:
    got, is_clipped = clipped_policy_loss(
        torch.tensor([[math.log(ratio)]]), torch.zeros(1, 1), torch.tensor([[advantage]]), 0.2
    )
    assert float(got) == pytest.approx(loss)
    assert float(is_clipped) == clipped


def test_the_first_gradient_is_that_of_the_policy_gradient_theorem() -> None:
    log_probs = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    advantages = torch.tensor([[0.5, -1.5]])
    loss, _ = clipped_policy_loss(log_probs, log_probs.detach(), advantages, 0.2)
    loss.sum().backward()
    torch.testing.assert_close(log_probs.grad, -advantages)


def test_value_loss_with_and_without_clipping() -> None:
    values, old, returns = torch.tensor([[1.0]]), torch.tensor([[0.0]]), torch.tensor([[2.0]])
    assert float(clipped_value_loss(values, old, returns, None)) == pytest.approx(0.5)
    assert float(clipped_value_loss(values, old, returns, 0.2)) == pytest.approx(0.5 * 1.8**2)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.lists(st.floats(-5, 5), min_size=6, max_size=6))
def test_k3_is_never_negative(log_probs: list[float], ref: list[float]) -> None:
    assert (k3(torch.tensor(log_probs), torch.tensor(ref[: len(log_probs)])) >= -1e-6).all()


def test_k3_is_unbiased_for_the_kl() -> None:
    p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.3, 0.3, 0.4])
    expected = (p * k3(p.log(), q.log())).sum()
    torch.testing.assert_close(expected, (p * (p / q).log()).sum())


def test_explained_variance() -> None:
    returns = torch.tensor([[1.0, 2.0, 3.0, 0.0], [4.0, 0.0, 0.0, 0.0]])
    assert explained_variance(returns, returns, MASK) == pytest.approx(1.0)
    assert explained_variance(torch.zeros_like(returns), returns, MASK) == pytest.approx(0.0)
    assert math.isnan(explained_variance(returns, torch.ones_like(returns), MASK))


def test_adaptive_kl_holds_the_policy_back_past_its_target() -> None:
    controller = AdaptiveKL(0.1, target=2.0, horizon=2)
    controller.update(4.0)
    assert controller.coefficient == pytest.approx(0.1 * 1.1)  # the error is clipped at 0.2
    controller.update(1.9)
    assert controller.coefficient == pytest.approx(0.11 * (1 - 0.05 * 0.5))
    for _ in range(100):
        controller.update(0.0)
    assert controller.coefficient == 0.1  # never below its start
    fixed = FixedKL(0.1)
    fixed.update(100.0)
    assert fixed.coefficient == 0.1
