"""Rewards and advantages per token, as pure functions."""

import torch
from torch import Tensor


def token_rewards(score: Tensor, log_ratio: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """Reward of each token: -kl_coef * log(pi / pi_ref), plus the title's score at its last token.

    Ziegler et al. 2019, "Fine-Tuning Language Models from Human Preferences", eq. 2, spread over tokens.

    Parameters
    ----------
    score
        Score of each title, shape (B,).
    log_ratio
        log pi(token) - log pi_ref(token), shape (B, T).
    mask
        1 for the title's tokens (its end of sentence included), shape (B, T). A row of zeros gets no reward.

    Returns
    -------
    Tensor
        Shape (B, T), zero outside the mask.
    """
    rewards = -kl_coef * log_ratio * mask
    lengths = mask.sum(-1)
    rows = torch.nonzero(lengths > 0).squeeze(-1)
    rewards[rows, lengths[rows].long() - 1] += score[rows]
    return rewards


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates and the returns they imply.

    Schulman et al. 2016, "High-Dimensional Continuous Control Using Generalized Advantage Estimation", eq. 16:
    A_t = sum_k (gamma lam)^k delta_{t+k}, delta_t = r_t + gamma V_{t+1} - V_t, with V = 0 after the last token.

    Parameters
    ----------
    rewards, values, mask
        Shape (B, T); ``values[:, t]`` is the value before token t is chosen. Padding is on the right.
    gamma, lam
        Discount and trace decay, in [0, 1].

    Returns
    -------
    advantages, returns
        Both (B, T), zero outside the mask; returns = advantages + values.
    """
    mask = mask.to(values.dtype)
    values = values * mask
    next_values = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    deltas = (rewards + gamma * next_values - values) * mask
    advantages = torch.zeros_like(deltas)
    running = torch.zeros_like(deltas[:, 0])
    for t in range(deltas.shape[1] - 1, -1, -1):
        running = (deltas[:, t] + gamma * lam * running) * mask[:, t]
        advantages[:, t] = running
    return advantages, advantages + values
