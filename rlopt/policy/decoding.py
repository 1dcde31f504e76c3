"""Sampling completions in batches that shrink: a finished title leaves its batch instead of being padded to the end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from .scoring import left_pad, positions
from .slot_mask import SlotMask

COMPACT_BELOW = 0.8  # share of unfinished rows at which the finished ones are dropped from the cache
MAX_REJECTED = 16  # tokens masked in one place before the title ends there


@dataclass(frozen=True)
class Ruling:
    """What the rules say about one more token.

    Parameters
    ----------
    kind
        The rule it would break for good, None for none.
    stop
        The title ends before the token (it is long enough) instead of taking another one.
    keep
        With ``stop``: tokens to keep, so that no word is left half.
    """

    kind: str | None = None
    stop: bool = False
    keep: int = 0


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

    def next(self, rows: Sequence[int]) -> Tensor:
        """The next numbers of these rows (a finished one, -1, gets some number or other), shape (len(rows), 1)."""
        every = self.more(self._total)
        places = torch.tensor([self._first + max(row, 0) for row in rows], device=every.device)
        return every[places]

    def more(self, n: int) -> Tensor:
        """``n`` further numbers that are no row's, shape (n, 1)."""
        return torch.rand((n, 1), generator=self.generator, device=self.generator.device, dtype=torch.float64)


Rules = Callable[[int, list[int], int], Ruling]
"""(row, tokens so far, next token) -> what the rules say."""


@dataclass
class Completion:
    """Sampled tokens of one row.

    Parameters
    ----------
    ids
        Tokens, end of sentence included where it was reached.
    log_probs
        Log-probability in nats of each under the model at the sampling temperature, before ``top_p`` and rules.
    stopped_by
        Kinds of the rules that changed it.
    """

    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    stopped_by: dict[str, None] = field(default_factory=dict)
    _ends: list[float] = field(default_factory=list)

    def add(self, token: int, log_prob: float, end: float) -> None:
        """One more token; ``end`` is the log-probability of ending in its place."""
        self.ids.append(token)
        self.log_probs.append(log_prob)
        self._ends.append(end)

    def cut(self, keep: int, eos_id: int) -> None:
        """End after ``keep`` tokens; the log-probability is that of ending there."""
        self.ids, self.log_probs = [*self.ids[:keep], eos_id], [*self.log_probs[:keep], self._ends[keep]]


def sample(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    eos_id: int,
    pad_id: int,
    stream: RowStream,
    temperature: float = 1.0,
    top_p: float = 1.0,
    rules: Rules | None = None,
    slot_mask: SlotMask | None = None,
) -> list[Completion]:
    """One completion a prompt.

    Parameters
    ----------
    stream
        On the model's device, for as many rows as there are prompts.
    temperature
        0 takes the most likely token each time (log-probabilities are then those at temperature 1).
    top_p
        Sample from the smallest set of tokens that holds this probability (Holtzman et al. 2020, "The curious case
        of neural text degeneration").
    rules
        Asked for each sampled token; a token it refuses gets probability zero in that place and another is drawn.
    slot_mask
        Takes out slots that may not come next, before the distribution is normalised.
    """
    device = model.device
    ids, mask = (tensor.to(device) for tensor in left_pad(prompts, pad_id))
    open_slots = slot_mask.open_after(ids) if slot_mask is not None else None
    cache = DynamicCache(config=model.config)
    done = [Completion() for _ in prompts]
    rows = list(range(len(prompts)))  # completion of each row of the batch, -1 for a finished one
    model.eval()
    with torch.no_grad():
        for _ in range(max_new_tokens):
            logits = model(
                input_ids=ids,
                attention_mask=mask,
                **{name: places[:, -ids.shape[1] :] for name, places in positions(model, mask).items()},
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            if slot_mask is not None and open_slots is not None:
                logits = slot_mask.mask(logits, open_slots)
            log_probs = torch.log_softmax(logits.float() / (temperature or 1.0), dim=-1)
            weights = _weights(log_probs, top_p)
            tokens = _draw(weights, temperature, stream.next(rows))
            cuts = {} if rules is None else _obey(rules, done, rows, weights, tokens, temperature, stream)
            tokens[list(cuts)] = eos_id
            _append(done, rows, tokens, log_probs, cuts, eos_id)
            alive = [k for k, row in enumerate(rows) if row >= 0]
            if not alive:
                break
            if slot_mask is not None and open_slots is not None:
                slot_mask.close(open_slots, tokens)
            ids = tokens.unsqueeze(1)
            mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
            if len(alive) < COMPACT_BELOW * len(rows):
                kept = torch.tensor(alive, device=device)
                cache.batch_select_indices(kept)
                ids, mask, rows = ids[kept], mask[kept], [rows[k] for k in alive]
                open_slots = open_slots[kept] if open_slots is not None else None
    return done


def _weights(log_probs: Tensor, top_p: float) -> Tensor:
    """Unnormalised sampling weights, shape (B, V)."""
    weights = log_probs.exp()
    if top_p >= 1:
        return weights
    ordered, order = weights.sort(dim=-1, descending=True)
    beyond = ordered.cumsum(-1) - ordered >= top_p
    return weights.scatter(-1, order, ordered.masked_fill(beyond, 0.0))


def _draw(weights: Tensor, temperature: float, points: Tensor) -> Tensor:
    """A token for each row of ``weights`` (B, V), where ``points`` (B, 1) in [0, 1) fall among them."""
    if temperature == 0:
        return weights.argmax(dim=-1)
    # Inverse of the cumulated weights: on CPU a third of the time of torch.multinomial.
    edges = weights.double().cumsum(dim=-1)
    return torch.searchsorted(edges, points * edges[:, -1:], right=True).squeeze(1).clamp(max=weights.shape[1] - 1)


def _obey(
    rules: Rules,
    done: list[Completion],
    rows: list[int],
    weights: Tensor,
    tokens: Tensor,
    temperature: float,
    stream: RowStream,
) -> dict[int, int]:
    """Replace tokens that break a rule, in place; returns the rows that end, with the number of tokens they keep."""
    cuts: dict[int, int] = {}
    pending = [k for k, row in enumerate(rows) if row >= 0]
    for _ in range(MAX_REJECTED):
        refused = []
        for k in pending:
            ruling = rules(rows[k], done[rows[k]].ids, int(tokens[k]))
            if ruling.kind is None:
                continue
            done[rows[k]].stopped_by[ruling.kind] = None
            if ruling.stop:
                cuts[k] = ruling.keep
            else:
                refused.append(k)
        if not refused:
            return cuts
        weights[refused, tokens[refused]] = 0.0
        empty = [k for k in refused if not bool(weights[k].any())]
        cuts.update((k, len(done[rows[k]].ids)) for k in empty)
        pending = [k for k in refused if k not in cuts]
        if pending:
            tokens[pending] = _draw(weights[pending], temperature, stream.more(len(pending)))
    cuts.update((k, len(done[rows[k]].ids)) for k in pending)  # whatever is drawn breaks a rule
    return cuts


def _append(
    done: list[Completion], rows: list[int], tokens: Tensor, log_probs: Tensor, cuts: Mapping[int, int], eos_id: int
) -> None:
    """Note the drawn tokens and mark finished rows."""
    taken = log_probs.gather(1, tokens.unsqueeze(1)).squeeze(1).tolist()
    ends = log_probs[:, eos_id].tolist()
    for k, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
        if row < 0:
            continue
        done[row].add(token, taken[k], ends[k])
        if k in cuts:
            done[row].cut(cuts[k], eos_id)
        if token == eos_id:
            rows[k] = -1
