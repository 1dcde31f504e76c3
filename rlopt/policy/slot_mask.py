"""Mask of the tokens that may come next: words that titles are made of, and the slots that the prompt names, each once.

A title with a slot that its item lacks has a hole in it, one that says a value twice is bad whatever it says, and one
with pieces that no title is made of is gibberish. The tiny model need not learn that: those tokens have no probability,
in sampling as in every log-probability, and the rest is renormalised. What is left is a distribution like any other,
so that PPO, KL and importance weights stay exact ("invalid action masking", Huang and Ontañón 2022, "A closer look at
invalid action masking in policy gradient algorithms").
"""

import re

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from .slots import Slots

_PROMPT_TOKEN = re.compile(r"<[^<>\s]*#\d+>")  # kinds and keywords of `Slots`; no slot has a # in its name
ILLEGAL = -1e4  # a logit whose probability is zero in every float, and yet no infinity that could become a NaN


class SlotMask:
    """Takes the probability of tokens that may not come next; everything is read from token ids.

    Parameters
    ----------
    slots
        With ``once``, a slot that the title has used is closed too; with ``pieces``, no other token is ever open.
    tokenizer
        Spells each slot as one token, alone and after a blank (`rlopt.policy.tiny.build_tokenizer`).
    """

    def __init__(self, slots: Slots, tokenizer: PreTrainedTokenizerBase) -> None:
        self.once = slots.once
        self._none = len(slots.vocabulary)  # the column of tokens that are no slots
        spelled = {
            int(tokenizer.convert_tokens_to_ids(spelling)): place  # type: ignore[arg-type]  # one token, one id
            for place, name in enumerate(slots.vocabulary)
            for spelling in (name, " " + name)
        }
        self._tokens = torch.tensor(sorted(spelled), dtype=torch.long)
        self._slot_of = torch.full((len(tokenizer),), self._none, dtype=torch.long)
        self._slot_of[self._tokens] = torch.tensor([spelled[token] for token in sorted(spelled)], dtype=torch.long)
        self._never = torch.tensor([not _in_titles(token, slots, tokenizer) for token in range(len(tokenizer))])
        self._never[self._tokens] = False

    def open_after(self, prompts: Tensor) -> Tensor:
        """Slots that the prompts name, (B, S + 1) bools, from their token ids (B, P); padding names none."""
        return self._named(prompts).any(dim=1)

    def close(self, open_slots: Tensor, tokens: Tensor) -> None:
        """``open_slots`` (B, S + 1) after ``tokens`` (B,) were written, in place."""
        if self.once:
            open_slots.scatter_(1, self._lookup(tokens).unsqueeze(1), False)

    def mask(self, logits: Tensor, open_slots: Tensor) -> Tensor:
        """``logits`` (..., V) with the tokens that are not open at `ILLEGAL`; ``open_slots`` is (..., S + 1)."""
        tokens = self._tokens.to(logits.device)
        closed = ~open_slots[..., self._lookup(tokens)]
        held = logits.index_copy(-1, tokens, logits[..., tokens].masked_fill(closed, ILLEGAL))
        return held.masked_fill(self._never.to(logits.device), ILLEGAL)

    def mask_completions(self, logits: Tensor, prompts: Tensor, completions: Tensor) -> Tensor:
        """``logits`` (B, T, V) before each token of ``completions`` (B, T), masked by what came before it."""
        open_slots = self.open_after(prompts).unsqueeze(1).expand(-1, completions.shape[1], -1)
        if self.once:
            written = self._named(completions).cumsum(dim=1)
            before = torch.cat([torch.zeros_like(written[:, :1]), written[:, :-1]], dim=1)
            open_slots = open_slots & (before == 0)
        return self.mask(logits, open_slots)

    def mask_training(self, logits: Tensor, input_ids: Tensor, in_title: Tensor) -> Tensor:
        """``logits`` (B, L - 1, V) for the tokens after the first of ``input_ids`` (B, L), masked as in writing.

        ``in_title`` (B, L) tells the title's tokens from the prompt's. The token that comes next is never masked: a
        title that people wrote may be one the policy cannot.
        """
        named = self._named(input_ids)
        open_slots = (named & ~in_title.unsqueeze(-1)).any(dim=1, keepdim=True)
        if self.once:
            written = (named & in_title.unsqueeze(-1)).cumsum(dim=1)[:, :-1]
            open_slots = open_slots & (written == 0)
        comes_next = input_ids[:, 1:].unsqueeze(-1)
        return self.mask(logits, open_slots).scatter(-1, comes_next, logits.gather(-1, comes_next))

    def _named(self, ids: Tensor) -> Tensor:
        """Slot of each token, one-hot, (B, L, S + 1) bools."""
        return torch.nn.functional.one_hot(self._lookup(ids), self._none + 1).bool()

    def _lookup(self, ids: Tensor) -> Tensor:
        return self._slot_of.to(ids.device)[ids]


def _in_titles(token: int, slots: Slots, tokenizer: PreTrainedTokenizerBase) -> bool:
    """True if titles may hold ``token``, slots aside."""
    if token == tokenizer.eos_token_id:
        return True
    text = str(tokenizer.convert_ids_to_tokens(token))
    if token in tokenizer.all_special_ids or _PROMPT_TOKEN.fullmatch(text):
        return False
    return not slots.pieces or text in slots.pieces


class OpenSlotsOnly(LogitsProcessor):
    """`SlotMask` for transformers' own generation; ``width`` is that of the prompts."""

    def __init__(self, slot_mask: SlotMask, width: int) -> None:
        self._mask, self._width = slot_mask, width

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V) for the token after ``input_ids`` (B, P + t)."""
        written = input_ids[:, self._width :]
        open_slots = self._mask.open_after(input_ids[:, : self._width])
        for step in range(written.shape[1]):
            self._mask.close(open_slots, written[:, step])
        return self._mask.mask(scores, open_slots)
