"""Rules that hold while titles are written: what breaks one for good is taken back, and another token drawn there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from reward.items import Item
from reward.text import words

from .constraints import Constraints
from .prompt import Renderer

BEAM_CANDIDATES = 8  # most likely next tokens that are looked at for each beam


@dataclass(frozen=True)
class Ruling:
    """Rule that a title breaks, and the place to continue from.

    Parameters
    ----------
    kind
        The rule it breaks.
    place
        The first token at which it does.
    keep
        The title ends after this many tokens; None: another token is drawn at ``place``.
    """

    kind: str
    place: int
    keep: int | None = None


class RulesWhileWriting:
    """The rules on tokens.

    A token that completes a banned phrase, a superlative or one repeat too many is refused, as is an end that leaves
    the title without words; a title ends before the token that makes it too long, after a whole word.

    Parameters
    ----------
    constraints
        The rules; those that only a whole title can break are checked when it is finished.
    """

    def __init__(self, constraints: Constraints, renderer: Renderer, tokenizer: PreTrainedTokenizerBase) -> None:
        self.constraints = constraints
        self._renderer, self._tokenizer = renderer, tokenizer
        self._eos_id = int(tokenizer.eos_token_id)

    def ruling(self, item: Item, ids: Sequence[int], title: str) -> Ruling | None:
        """Find the rule that ``title``, spelled by ``ids``, breaks; None where it may stay.

        Only a title that breaks a rule as a whole is checked token by token: the others cost one check each.
        """
        kind = self._broken(item, ids, title)
        if kind is None:
            return None
        place = len(ids) - 1
        while place and (before := self.broken(item, ids[:place])):
            kind, place = before, place - 1
        if kind != "too_long":
            return Ruling(kind, place)
        return Ruling(kind, place, self._whole_words(item, ids[:place], self._text(item, ids[: place + 1])))

    def broken(self, item: Item, ids: Sequence[int]) -> str | None:
        """Kind of the rule that every title beginning with ``ids`` breaks, and ``empty`` for an end without a title."""
        return self._broken(item, ids, self._text(item, ids))

    def _broken(self, item: Item, ids: Sequence[int], title: str) -> str | None:
        if ids[-1] == self._eos_id and not words(title):
            return "empty"
        return self.constraints.broken_for_good(item, title)

    def _text(self, item: Item, ids: Sequence[int]) -> str:
        return self._renderer.title(item, str(self._tokenizer.decode(list(ids), skip_special_tokens=True)))

    def _whole_words(self, item: Item, ids: Sequence[int], longer: str) -> int:
        """Number of ``ids`` to keep so that the title ends with a whole word and no punctuation mark after it."""
        keep = len(ids)
        while keep:
            text = self._text(item, ids[:keep])
            after = longer[len(text) : len(text) + 1]
            half = text[-1:].isascii() and text[-1:].isalnum() and after.isascii() and after.isalnum()
            if text and text[-1].isalnum() and not half:
                return keep
            keep -= 1
        return len(ids)


class RuledBeams(LogitsProcessor):
    """The same rules for beam search: of the likeliest next tokens of each beam those that break one are taken out."""

    def __init__(
        self, rules: RulesWhileWriting, items: Sequence[Item], prompt_width: int, beams: int, eos_id: int
    ) -> None:
        self._rules, self._items = rules, items
        self._width, self._beams, self._eos_id = prompt_width, beams, eos_id

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Scores with refused tokens, and all beyond the candidates, at minus infinity."""
        best = scores.topk(min(self._beams * BEAM_CANDIDATES, scores.shape[1]), dim=-1).indices
        out = torch.full_like(scores, -torch.inf)
        for k in range(len(scores)):
            ids = input_ids[k, self._width :].tolist()
            if self._eos_id in ids:
                out[k] = scores[k]
                continue
            item = self._items[k // self._beams]
            allowed = [t for t in best[k].tolist() if self._rules.broken(item, [*ids, t]) is None]
            allowed = allowed or [self._eos_id]
            out[k, allowed] = scores[k, allowed]
        return out
