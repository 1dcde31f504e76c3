"""The critic: learns values, keeps a frozen trunk frozen, comes back from disk as it was."""

from pathlib import Path

import pytest
import torch
from toy import fresh_policy

from rlopt.training.ppo.critic import Critic, Passes, Rollout, Share, load_critic, save_critic

WIDTH, PROMPT = 4, 3


def critic(train_trunk: bool) -> Critic:
    torch.manual_seed(0)
    return Critic(32, fresh_policy().model.base_model if train_trunk else None)


def rollout(of: Critic, n: int = 64) -> Rollout:
    """Returns that follow from the score so far and from the first token."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, 22, (n, PROMPT + WIDTH), generator=generator)
    so_far = torch.randn(n, WIDTH, generator=generator)
    returns = 0.7 * so_far + (ids[:, PROMPT : PROMPT + 1] > 12).float()
    mask = torch.ones(n, WIDTH)
    attention = torch.ones_like(ids)
    states = of.states(ids, attention, WIDTH).detach() if of.trunk else torch.randn(n, WIDTH, 32, generator=generator)
    return Rollout(ids, attention, states, so_far, torch.zeros(n, WIDTH), returns, mask)


def optimizer(of: Critic) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for p in of.parameters() if p.requires_grad], lr=3e-3)


def test_it_starts_at_zero() -> None:
    fresh = critic(False)
    data = rollout(fresh)
    assert fresh(data.states, data.so_far).abs().max() == 0


@pytest.mark.parametrize("train_trunk", [False, True])
def test_it_learns_the_values(train_trunk: bool) -> None:
    learner = critic(train_trunk)
    data = rollout(learner)
    steps = optimizer(learner)
    first = learner.learn(steps, data, Passes(1, 16))
    last = learner.learn(steps, data, Passes(60, 16))
    assert last < 0.35 * first


@pytest.mark.parametrize("train_trunk", [False, True])
def test_saved_and_loaded_it_goes_on_as_if_nothing_had_happened(tmp_path: Path, train_trunk: bool) -> None:
    learner, other = critic(train_trunk), critic(train_trunk)
    steps, other_steps = optimizer(learner), optimizer(other)
    data = rollout(learner)
    learner.learn(steps, data, Passes(2, 16))
    save_critic(learner, steps, tmp_path)
    load_critic(other, other_steps, tmp_path)
    for one, its_steps in ((learner, steps), (other, other_steps)):
        one.learn(its_steps, data, Passes(2, 16))
    pairs = zip(learner.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_value_clipping_holds_updates_back() -> None:
    free, held = critic(False), critic(False)
    data = rollout(free)
    free.learn(optimizer(free), data, Passes(30, 64))
    held.learn(optimizer(held), data, Passes(30, 64, clip_range=0.05))
    assert held(data.states, data.so_far).abs().mean() < free(data.states, data.so_far).abs().mean()


def test_a_portion_without_a_finite_loss_is_left_out() -> None:
    learner = critic(False)
    data = rollout(learner)
    data.returns[:16] = float("nan")
    learner.learn(optimizer(learner), data, Passes(2, 16))
    assert all(torch.isfinite(tensor).all() for tensor in learner.state_dict().values())
    assert learner(data.states, data.so_far).abs().max() > 0


def test_shares_add_up_to_what_one_process_learns() -> None:
    """Two processes in turn: each adds the other's gradients to its own."""
    alone, shared = critic(False), critic(False)
    data = rollout(alone, 32)
    alone.learn(optimizer(alone), data, Passes(1, 32))

    parts: list[torch.Tensor] = []
    copies = [critic(False), critic(False)]
    for rank, copy in enumerate(copies):  # what each process would send
        copy.learn(optimizer(copy), data, Passes(1, 32), Share(rank, 2, lambda sent: (parts.append(sent), sent)[1]))
    shared.learn(optimizer(shared), data, Passes(1, 32), Share(0, 2, lambda _: parts[0] + parts[1]))
    for name, tensor in alone.state_dict().items():
        torch.testing.assert_close(tensor, shared.state_dict()[name], atol=1e-6, rtol=1e-5)
