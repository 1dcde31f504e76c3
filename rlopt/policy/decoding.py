"""Sampling completions: prompts that begin alike are read once, finished rows leave the batch, noise is given.

A row's completion depends on its prompt and its own random numbers and not on the rows beside it, so that batches may
be sorted, split among processes and put together as suits the machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from .scoring import left_pad, positions, right_pad
from .slot_mask import SlotMask

COMPACT_AT = 0.2  # share of finished rows at which they are dropped from the batch
CALL_TOKENS = 64  # cost of one more call of the model, in tokens read


@dataclass(frozen=True)
class Completion:
    """Sampled tokens of one row, end of sentence included where it was reached.

    Parameters
    ----------
    ids
        Tokens.
    log_probs
        Log-probability in nats of each under the model at the sampling temperature, before ``top_p`` and ``refused``.
    ends
        Log-probability of ending in the place of each.
    """

    ids: list[int]
    log_probs: list[float]
    ends: list[float]


class RandomStream(Protocol):
    """Source of a batch's random numbers."""

    def next(self, rows: Tensor) -> Tensor:
        """Uniform numbers in [0, 1) for the next token of these ``rows`` (B,), shape (B, 1)."""


class RowStream:
    """Uniform numbers for sampling: one for every row and step, whoever computes that row and whichever rows are done.

    Parameters
    ----------
    seed
        Seed of the stream.
    total
        Rows of the whole batch, over all processes.
    first
        Position in it of this process's first row.
    """

    def __init__(self, seed: int, total: int, first: int = 0, device: torch.device | str = "cpu") -> None:
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self._total, self._first = total, first

    def next(self, rows: Tensor) -> Tensor:
        """The next numbers of these rows, shape (len(rows), 1)."""
        device = self.generator.device
        return torch.rand((self._total, 1), generator=self.generator, device=device, dtype=torch.float64)[
            self._first + rows
        ]


def sample(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    eos_id: int,
    pad_id: int,
    stream: RandomStream,
    temperature: float = 1.0,
    top_p: float = 1.0,
    slot_mask: SlotMask | None = None,
    begun: Sequence[Sequence[int]] | None = None,
    refused: Sequence[Sequence[int]] | None = None,
) -> list[Completion]:
    """One completion a prompt, by inversion of the tokens' cumulated probabilities.

    Parameters
    ----------
    stream
        On the model's device, for as many rows as there are prompts.
    temperature
        0 takes the most likely token each time (log-probabilities are then those at temperature 1).
    top_p
        Sample from the smallest set of tokens that holds this probability (Holtzman et al. 2020, "The curious case
        of neural text degeneration").
    slot_mask
        Takes out slots that may not come next, before the distribution is normalised.
    begun
        Tokens already written after each prompt; the completion continues from there.
    refused
        Tokens that may not come first, row by row; where nothing else is left, the row ends.
    """
    device = model.device
    begun = begun or [()] * len(prompts)
    open_slots = None if slot_mask is None else _open_slots(slot_mask, prompts, begun, pad_id, device)
    shape = len(prompts), max_new_tokens
    tokens = torch.full(shape, eos_id, device=device)
    log_probs, ends = (torch.zeros(shape, device=device) for _ in range(2))
    rows = torch.arange(len(prompts), device=device)  # completion of each row of the batch
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    model.eval()
    with torch.no_grad():
        logits, cache, mask = _read(model, [(*p, *b) for p, b in zip(prompts, begun, strict=True)], pad_id)
        for step in range(max_new_tokens):
            if slot_mask is not None and open_slots is not None:
                logits = slot_mask.mask(logits, open_slots)
            logs = torch.log_softmax(logits.float() / (temperature or 1.0), dim=-1)
            weights = _weights(logs, top_p)
            if step == 0 and refused is not None and any(refused):
                _refuse(weights, refused, eos_id)
            drawn = _draw(weights, temperature, stream.next(rows))
            tokens[rows, step], ends[rows, step] = drawn, logs[:, eos_id]
            log_probs[rows, step] = logs.gather(1, drawn.unsqueeze(1)).squeeze(1)
            ended |= drawn == eos_id
            n_ended = int(ended.sum())
            if n_ended == len(rows) or step + 1 == max_new_tokens:
                break
            if slot_mask is not None and open_slots is not None:
                slot_mask.close(open_slots, drawn)
            if n_ended > COMPACT_AT * len(rows):
                kept = (~ended).nonzero().squeeze(1)
                _choose(cache, kept)
                rows, drawn, mask, ended = rows[kept], drawn[kept], mask[kept], ended[kept]
                open_slots = open_slots[kept] if open_slots is not None else None
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
            logits = _logits(model, drawn.unsqueeze(1), mask, cache)
    lengths = ((tokens == eos_id).long().cumsum(1) == 0).sum(1).add(1).clamp(max=max_new_tokens).tolist()
    lists = zip(tokens.tolist(), log_probs.tolist(), ends.tolist(), lengths, strict=True)
    return [Completion(a[:n], b[:n], c[:n]) for a, b, c, n in lists]


def _open_slots(
    slot_mask: SlotMask,
    prompts: Sequence[Sequence[int]],
    begun: Sequence[Sequence[int]],
    pad_id: int,
    device: torch.device,
) -> Tensor:
    """Slots that may still be written, shape (B, S + 1)."""
    open_slots = slot_mask.open_after(left_pad(prompts, pad_id)[0].to(device))
    for tokens in right_pad(begun, pad_id)[0].to(device).T:
        slot_mask.close(open_slots, tokens)
    return open_slots


def _read(model: PreTrainedModel, prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, DynamicCache, Tensor]:
    """Logits of the first token (B, V), the cache and the mask (B, P) after the prompts.

    The common beginning of prompts is read once for all of them, and equal prompts are read once.
    """
    device = model.device
    cache = DynamicCache(config=model.config)
    unique = list(dict.fromkeys(map(tuple, prompts)))
    shared = _shared_tokens(unique) if all(isinstance(layer, DynamicLayer) for layer in cache.layers) else 0
    if shared:
        beginnings = {beginning: i for i, beginning in enumerate(dict.fromkeys(p[:shared] for p in unique))}
        ids = torch.tensor(list(beginnings), device=device)
        _logits(model, ids, torch.ones_like(ids), cache)
        _choose(cache, torch.tensor([beginnings[p[:shared]] for p in unique], device=device))
    ids, mask = (tensor.to(device) for tensor in left_pad([p[shared:] for p in unique], pad_id))
    mask = torch.cat([mask.new_ones(len(unique), shared), mask], dim=1)
    logits = _logits(model, ids, mask, cache)
    if len(unique) < len(prompts):
        place = {prompt: i for i, prompt in enumerate(unique)}
        owner = torch.tensor([place[tuple(prompt)] for prompt in prompts], device=device)
        _choose(cache, owner)
        logits, mask = logits[owner], mask[owner]
    return logits, cache, mask


def _logits(model: PreTrainedModel, ids: Tensor, mask: Tensor, cache: DynamicCache) -> Tensor:
    """Logits after the last of ``ids`` (B, K), shape (B, V); the cache takes them in."""
    out = model(
        input_ids=ids,
        attention_mask=mask,
        **{name: places[:, -ids.shape[1] :] for name, places in positions(model, mask).items()},
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    logits: Tensor = out.logits[:, -1]
    return logits


def _choose(cache: DynamicCache, rows: Tensor) -> None:
    """The cache of these rows, some of them left out or repeated."""
    cache.reorder_cache(rows)  # type: ignore[arg-type]  # any tensor of whole numbers


def _shared_tokens(prompts: Sequence[tuple[int, ...]]) -> int:
    """Number of tokens of the prompts' beginnings to read separately: the cheapest, 0 where nothing is saved."""
    ordered = sorted(prompts)
    shortest, longest = min(map(len, prompts)), max(map(len, prompts))
    # Neighbours that differ at place d first: from there on they are two beginnings.
    differ = [0] * (shortest + 1)
    for one, other in pairwise(ordered):
        d = next((d for d in range(shortest) if one[d] != other[d]), shortest)
        differ[d] += 1
    costs, beginnings = [len(prompts) * longest], 1
    for d in range(1, shortest):  # the last token of a prompt is read with its own
        beginnings += differ[d - 1]
        costs.append(CALL_TOKENS + beginnings * d + len(prompts) * (longest - d))
    return costs.index(min(costs))


def _weights(log_probs: Tensor, top_p: float) -> Tensor:
    """Unnormalised sampling weights, shape (B, V)."""
    weights = log_probs.exp()
    if top_p >= 1:
        return weights
    ordered, order = weights.sort(dim=-1, descending=True)
    beyond = ordered.cumsum(-1) - ordered >= top_p
    return weights.scatter(-1, order, ordered.masked_fill(beyond, 0.0))


def _refuse(weights: Tensor, refused: Sequence[Sequence[int]], eos_id: int) -> None:
    """Take the refused tokens' weights away, in place; a row without any other ends."""
    for row, tokens in enumerate(refused):
        weights[row, list(tokens)] = 0.0
    weights[weights.sum(-1) == 0, eos_id] = 1.0


def _draw(weights: Tensor, temperature: float, points: Tensor) -> Tensor:
    """A token for each row of ``weights`` (B, V), where ``points`` (B, 1) in [0, 1) fall among them."""
    if temperature == 0:
        return weights.argmax(dim=-1)
    # Inverse of the cumulated weights: on CPU a third of the time of torch.multinomial.
    edges = weights.cumsum(dim=-1, dtype=torch.float64)
    return torch.searchsorted(edges, points * edges[:, -1:], right=True).squeeze(1).clamp(max=weights.shape[1] - 1)
