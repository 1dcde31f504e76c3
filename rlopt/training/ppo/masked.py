"""Means and variances over the real tokens of a padded batch."""

import torch
from torch import Tensor


def masked_sum(x: Tensor, mask: Tensor) -> Tensor:
    """Sum of ``x`` where ``mask`` is 1; both (B, T). A masked-out NaN does not spread."""
    return torch.where(mask.bool(), x, torch.zeros_like(x)).sum()


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``x`` over the ones of ``mask``, 0 for an empty mask; both (B, T)."""
    return masked_sum(x, mask) / mask.sum().clamp(min=1)


def masked_var(x: Tensor, mask: Tensor) -> Tensor:
    """Unbiased variance of ``x`` over the ones of ``mask``; 0 for fewer than two."""
    count = mask.sum()
    centred = x - masked_mean(x, mask)
    return masked_sum(centred**2, mask) / (count - 1).clamp(min=1)


def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """``x`` scaled to mean 0 and unit variance over the mask; zeros outside it."""
    return (x - masked_mean(x, mask)) * torch.rsqrt(masked_var(x, mask) + 1e-8) * mask
