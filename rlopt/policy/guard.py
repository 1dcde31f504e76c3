"""Rules that hold while a title is written: no token is taken after which the title can only break one of them."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from reward.items import Item
from reward.text import clean

from .constraints import Constraints
from .decoding import Ruling
from .prompt import Renderer

BEAM_CANDIDATES = 8  # most likely next tokens that are looked at for each beam


class Guard:
    """`rlopt.policy.decoding.Rules` for the titles of some items.

    A token that completes a banned phrase, a superlative or one repeat too many is refused; a token past the longest
    title ends the title before it, at the end of a word. An empty title is refused. A phrase is refused as soon as it
    stands at the title's end, also where a longer word could still have come of it.

    Parameters
    ----------
    constraints
        The rules; those that only a whole title can break are checked when it is finished.
    items
        The item of each row.
    """

    def __init__(
        self, constraints: Constraints, items: Sequence[Item], renderer: Renderer, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        self.constraints, self.items = constraints, items
        self._renderer, self._tokenizer = renderer, tokenizer
        self._eos_id = int(tokenizer.eos_token_id)

    def __call__(self, row: int, ids: list[int], token: int) -> Ruling:
        """What the rules say about ``token`` after ``ids``."""
        if token == self._eos_id:
            return Ruling() if ids and clean(self._text(row, ids)) else Ruling("empty")
        text = self._text(row, [*ids, token])
        kind = self.constraints.broken_for_good(self.items[row], text)
        if kind == "too_long":
            return Ruling(kind, stop=True, keep=self._whole_words(row, ids, text))
        return Ruling(kind)

    def _text(self, row: int, ids: Sequence[int]) -> str:
        text = str(self._tokenizer.decode(list(ids), skip_special_tokens=True))
        return self._renderer.title(self.items[row], text)

    def _whole_words(self, row: int, ids: Sequence[int], longer: str) -> int:
        """How many of ``ids`` to keep so that the title ends with a whole word and no mark behind it."""
        keep = len(ids)
        while keep:
            text = self._text(row, ids[:keep])
            after = longer[len(text) : len(text) + 1]
            half = text[-1:].isascii() and text[-1:].isalnum() and after.isascii() and after.isalnum()
            if text and text[-1].isalnum() and not half:
                return keep
            keep -= 1
        return len(ids)


class GuardedBeams(LogitsProcessor):
    """The same rules for beam search: of the likeliest next tokens of each beam those that break one are taken out."""

    def __init__(self, guard: Guard, prompt_width: int, beams: int, eos_id: int) -> None:
        self._guard, self._width, self._beams, self._eos_id = guard, prompt_width, beams, eos_id

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Scores with refused tokens, and all beyond the candidates, at minus infinity."""
        best = scores.topk(min(self._beams * BEAM_CANDIDATES, scores.shape[1]), dim=-1).indices
        out = torch.full_like(scores, -torch.inf)
        for k in range(len(scores)):
            ids = input_ids[k, self._width :].tolist()
            if self._eos_id in ids:
                out[k] = scores[k]
                continue
            allowed = [t for t in best[k].tolist() if self._guard(k // self._beams, ids, t).kind is None]
            allowed = allowed or [self._eos_id]
            out[k, allowed] = scores[k, allowed]
        return out
