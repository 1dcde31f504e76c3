"""Log-probabilities of given completions under a causal language model, padded and batched."""

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .slot_mask import SlotMask

MAX_PIECES = 8
PIECE_COST = 80  # tokens that could be read on a CPU in the time that one more forward and backward pass costs


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


def positions(model: nn.Module, attention_mask: Tensor) -> dict[str, Tensor]:
    """Argument ``position_ids`` (B, L) that counts real tokens only; nothing for models without positions (ALiBi).

    Models with learned positions, such as GPT-2, would otherwise count the padding on the left.
    """
    inner: Any = getattr(model, "module", model)  # in several processes
    inner = inner.get_base_model() if hasattr(inner, "get_base_model") else inner  # with adapters
    if "position_ids" not in inspect.signature(inner.forward).parameters:
        return {}
    return {"position_ids": (attention_mask.cumsum(1) - 1).clamp(min=0)}


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
        input_ids=input_ids,
        attention_mask=attention_mask,
        logits_to_keep=completion_width + 1,
        use_cache=False,
        **positions(model, attention_mask),
    ).logits
    # Models that ignore logits_to_keep return every position; the slice is right for both.
    logits = logits[:, -completion_width - 1 : -1].float()
    if slot_mask is not None:
        prompts, completions = input_ids[:, :-completion_width], input_ids[:, -completion_width:]
        logits = slot_mask.mask_completions(logits, prompts, completions)
    return torch.log_softmax(logits / temperature, dim=-1)


def token_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) in nats of distributions over the vocabulary, (..., V) -> (...); never negative.

    Summed along a title drawn from p it is unbiased for the KL of the title distributions, with no more variance than
    the log-ratio of the drawn tokens (Rao-Blackwellised: Amini, Vieira and Cotterell 2025, "Better Estimation of the
    Kullback-Leibler Divergence Between Language Models").
    """
    return ((log_p - log_q) * log_p.exp()).sum(-1).clamp(min=0.0)


@dataclass(frozen=True)
class TokenScores:
    """Scores of each completion token; log-probabilities and divergences are 0 in the padding.

    Parameters
    ----------
    log_probs
        Log-probability in nats, shape (B, T).
    entropies
        Entropy in nats of the distribution that the token was drawn from, (B, T), where asked for.
    states
        Hidden state before each token, (B, T, H), where asked for.
    log_softmax
        Log-distribution that each token was drawn from, (B, T, V), where asked for.
    kl
        Divergence in nats of that distribution from the reference's, (B, T), where one was given.
    """

    log_probs: Tensor
    entropies: Tensor | None = None
    states: Tensor | None = None
    log_softmax: Tensor | None = None
    kl: Tensor | None = None


def score_tokens(
    model: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    completion_width: int,
    *,
    temperature: float = 1.0,
    slot_mask: SlotMask | None = None,
    entropies: bool = False,
    entropy_gradients: bool = False,
    states_of: nn.Module | None = None,
    log_softmax: bool = False,
    reference: Tensor | None = None,
    rows_at_once: int | None = None,
) -> TokenScores:
    """Scores of the completions, read in pieces of rows that are about as long, without the padding they do not need.

    Parameters
    ----------
    input_ids, attention_mask, completion_width, temperature, slot_mask
        As for `completion_log_softmax`.
    entropies, entropy_gradients
        True to compute entropies, and to let gradients flow through them.
    states_of
        The trunk whose last hidden states are wanted too; None come back where ``model`` is not on that trunk.
    log_softmax
        True to keep whole distributions: 4 bytes a token of the vocabulary and of each title.
    reference
        ``log_softmax`` of the reference model for the same rows; no gradients flow through the KL to it.
    rows_at_once
        Rows of a piece; by default as many as is fastest on a CPU, and all of them on a GPU.
    """
    parts: list[TokenScores] = []
    pieces = _pieces(attention_mask, completion_width, rows_at_once)
    for rows, first, width in pieces:
        columns = slice(first, attention_mask.shape[1] - completion_width + width)
        ids, mask = input_ids[rows, columns], attention_mask[rows, columns]
        with _last_hidden(states_of) as heard:
            logs = completion_log_softmax(model, ids, mask, width, temperature, slot_mask)
        real = mask[:, -width:]
        with torch.set_grad_enabled(entropy_gradients and torch.is_grad_enabled()):
            entropy = -(logs.exp() * logs).sum(-1) if entropies else None
        kl = None if reference is None else token_kl(logs.detach(), reference[rows, :width]).masked_fill(real == 0, 0.0)
        log_probs = logs.gather(-1, ids[:, -width:].unsqueeze(-1)).squeeze(-1).masked_fill(real == 0, 0.0)
        states = heard[0][:, -width - 1 : -1] if heard else None
        parts.append(TokenScores(log_probs, entropy, states, logs.detach() if log_softmax else None, kl))
    order = torch.argsort(torch.cat([rows for rows, _, _ in pieces]))

    def together(name: str) -> Tensor | None:
        tensors = [getattr(part, name) for part in parts]
        if any(tensor is None for tensor in tensors):
            return None
        return torch.cat([_widened(tensor, completion_width) for tensor in tensors])[order]

    joined = {field.name: together(field.name) for field in fields(TokenScores)}
    return TokenScores(**joined)  # type: ignore[arg-type]  # log_probs are always there


def _pieces(attention_mask: Tensor, completion_width: int, rows_at_once: int | None) -> list[tuple[Tensor, int, int]]:
    """(rows, first column that any of them uses, width of their longest completion) of each piece."""
    prompt_width = attention_mask.shape[1] - completion_width
    prompts, completions = (part.sum(1).cpu() for part in attention_mask.split([prompt_width, completion_width], dim=1))
    order = torch.argsort(prompts + completions, stable=True)

    def cut(count: int) -> list[tuple[Tensor, int, int]]:
        return [
            (rows, prompt_width - int(prompts[rows].max()), max(1, int(completions[rows].max())))
            for rows in order.tensor_split(count)
        ]

    def cost(pieces: list[tuple[Tensor, int, int]]) -> int:
        return sum(PIECE_COST + len(rows) * (prompt_width - first + width) for rows, first, width in pieces)

    if rows_at_once is not None:
        return cut(-(-len(order) // rows_at_once))
    if attention_mask.device.type != "cpu":
        return cut(1)
    return min((cut(count) for count in range(1, min(MAX_PIECES, len(order)) + 1)), key=cost)


def _widened(tensor: Tensor, width: int) -> Tensor:
    """``tensor`` (b, t, ...) with zeros after t up to ``width``."""
    missing = width - tensor.shape[1]
    return nn.functional.pad(tensor, (0, 0) * (tensor.dim() - 2) + (0, missing)) if missing else tensor


@contextlib.contextmanager
def _last_hidden(trunk: nn.Module | None) -> Iterator[list[Tensor]]:
    """The last hidden states (B, L, H) of what ``trunk`` reads meanwhile."""
    heard: list[Tensor] = []
    if trunk is None:
        yield heard
        return
    hook = trunk.register_forward_hook(lambda *called: heard.append(called[2].last_hidden_state))
    try:
        yield heard
    finally:
        hook.remove()
