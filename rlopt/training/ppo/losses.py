"""PPO's losses as pure functions; every one returns values per token, the trainer normalises."""

import torch
from torch import Tensor

from .masked import masked_var


def clipped_policy_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, clip_range: float
) -> tuple[Tensor, Tensor]:
    """Clipped surrogate loss of each token (Schulman et al. 2017, "Proximal Policy Optimization", eq. 7).

    Parameters
    ----------
    log_probs, old_log_probs, advantages
        Shape (B, T).

    Returns
    -------
    loss
        max(-A r, -A clip(r, 1 - clip_range, 1 + clip_range)), shape (B, T).
    clipped
        1.0 where the clipped branch is the active one, shape (B, T).
    """
    ratio = torch.exp(log_probs - old_log_probs)
    plain = -advantages * ratio
    clipped = -advantages * torch.clamp(ratio, 1.0 - clip_range, 1.0 + clip_range)
    return torch.max(plain, clipped), (clipped > plain).float()


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip_range: float | None) -> Tensor:
    """Half squared error of each token's value, clipped around the old value as in the PPO reference code.

    With ``clip_range`` None the plain squared error is used (Andrychowicz et al. 2021, "What Matters In On-Policy
    Reinforcement Learning?", found that clipping values rarely helps). All tensors (B, T).
    """
    loss = (values - returns) ** 2
    if clip_range is not None:
        clipped = old_values + torch.clamp(values - old_values, -clip_range, clip_range)
        loss = torch.max(loss, (clipped - returns) ** 2)
    return 0.5 * loss


def k3(log_probs: Tensor, ref_log_probs: Tensor) -> Tensor:
    """Non-negative estimate of KL(pi || pi_ref) from tokens sampled from pi, per token in nats, shape (B, T).

    r - 1 - log r with r = pi_ref / pi (Schulman 2020, "Approximating KL Divergence", estimator k3); unbiased.
    """
    log_r = ref_log_probs - log_probs
    return torch.exp(log_r) - 1.0 - log_r


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns) over the mask; 1 is perfect, 0 no better than a constant."""
    var = masked_var(returns, mask)
    return float("nan") if var <= 0 else float(1.0 - masked_var(returns - values, mask) / var)
