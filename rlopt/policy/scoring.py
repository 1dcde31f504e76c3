"""Log-probabilities of given completions under a causal language model, padded and batched."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from .slot_mask import SlotMask


def left_pad(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """``rows`` as one (B, P) tensor padded on the left, and its (B, P) mask of real tokens."""
    return _pad(rows, pad_id, left=True)


def right_pad(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """``rows`` as one (B, T) tensor padded on the right, and its (B, T) mask of real tokens."""
    return _pad(rows, pad_id, left=False)


def _pad(rows: Sequence[Sequence[int]], pad_id: int, left: bool) -> tuple[Tensor, Tensor]:
    width = max((len(row) for row in rows), default=0)
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        where = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, where] = torch.tensor(row, dtype=torch.long)
        mask[i, where] = 1
    return ids, mask


def completion_log_softmax(
    model: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    completion_width: int,
    temperature: float = 1.0,
    slot_mask: SlotMask | None = None,
) -> Tensor:
    """Log-distribution over the vocabulary before each completion token, shape (B, T, V).

    Parameters
    ----------
    input_ids, attention_mask
        Prompt padded on the left, completion padded on the right, shape (B, P + T).
    completion_width
        T. Only these positions go through the language-model head.
    temperature
        The logits are divided by it, as in sampling.
    slot_mask
        Takes out slots that may not come next, as in sampling.
    """
    logits = model(
        input_ids=input_ids, attention_mask=attention_mask, logits_to_keep=completion_width + 1, use_cache=False
    ).logits
    # Models that ignore logits_to_keep return every position; the slice is right for both.
    logits = logits[:, -completion_width - 1 : -1].float()
    if slot_mask is not None:
        prompts, completions = input_ids[:, :-completion_width], input_ids[:, -completion_width:]
        logits = slot_mask.mask_completions(logits, prompts, completions)
    return torch.log_softmax(logits / temperature, dim=-1)


def completion_log_probs(
    model: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    completion_width: int,
    temperature: float = 1.0,
    slot_mask: SlotMask | None = None,
) -> Tensor:
    """Log-probability in nats of each completion token, shape (B, T); see `completion_log_softmax`."""
    log_softmax = completion_log_softmax(model, input_ids, attention_mask, completion_width, temperature, slot_mask)
    targets = input_ids[:, -completion_width:].unsqueeze(-1)
    return log_softmax.gather(-1, targets).squeeze(-1)
