"""Titles while they are written: a draft that breaks a rule goes back to the token that breaks it and is drawn on.

Each token is drawn from the policy's own distribution without those refused in its place, as if the rules were asked
after every token; but they are asked once for a finished draft, and few drafts break one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .decoding import Completion
from .rules_while_writing import Ruling

MAX_REDRAWS = 16  # of one title; then it ends where it stands


@dataclass
class Draft:
    """One title of one item.

    Parameters
    ----------
    item
        Position of the item.
    prompt
        Its tokens.
    numbers
        Uniform numbers: one a token, then one for each of `MAX_REDRAWS`.
    ids, log_probs, ends
        As in `decoding.Completion`, of the tokens kept so far.
    refused
        Tokens refused in the next place.
    text
        The title that ``ids`` stand for, once they are drawn to their end.
    stopped_by
        Kinds of the rules that changed what was written.
    """

    item: int
    prompt: list[int]
    numbers: Tensor
    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    text: str = ""
    stopped_by: dict[str, None] = field(default_factory=dict)
    _start: int = 0
    _redraws: int = 0

    def upcoming(self) -> Tensor:
        """The numbers of the tokens to come."""
        numbers = self.numbers[self._start : len(self.numbers) - MAX_REDRAWS]
        if not self.refused:
            return numbers
        again = len(self.numbers) - self._redraws
        return torch.cat([self.numbers[again : again + 1], numbers[1:]])

    def extend(self, completion: Completion) -> None:
        """Take on the tokens of ``completion``, as far as there is room."""
        room = len(self.numbers) - MAX_REDRAWS - self._start
        self.ids += completion.ids[:room]
        self.log_probs += completion.log_probs[:room]
        self.ends += completion.ends[:room]

    def obey(self, ruling: Ruling, eos_id: int) -> bool:
        """Take back what breaks the rule; False where another token is to be drawn, True where the title ends."""
        self.stopped_by[ruling.kind] = None
        token = self.ids[ruling.place]
        refused = self.refused if ruling.place == self._start else []
        hopeless = token in refused or self._redraws == MAX_REDRAWS  # nothing else is left, or tried often enough
        keep = ruling.place if ruling.keep is None else ruling.keep
        end = self.ends[keep]
        del self.ids[keep:], self.log_probs[keep:], self.ends[keep:]
        if ruling.keep is None and not hopeless:
            self.refused, self._start = [*refused, token], keep
            self._redraws += 1
            return False
        self.ids.append(eos_id)
        self.log_probs.append(end)
        return True


class DraftStream:
    """`decoding.Stream` of the drafts' own numbers."""

    def __init__(self, drafts: Sequence[Draft], device: torch.device) -> None:
        numbers = [draft.upcoming() for draft in drafts]
        self._numbers = torch.nn.utils.rnn.pad_sequence(numbers, batch_first=True).to(device)
        self._step = 0

    def __len__(self) -> int:
        """Tokens that there are numbers for."""
        return self._numbers.shape[1]

    def next(self, rows: Tensor) -> Tensor:
        """The next numbers of these rows, shape (len(rows), 1)."""
        self._step += 1
        return self._numbers[rows, self._step - 1 : self._step]


def uniform_numbers(rows: int, tokens: int, seed: int) -> Tensor:
    """Numbers for drafts of at most n tokens, shape (rows, tokens + MAX_REDRAWS); same seed, same numbers."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((rows, tokens + MAX_REDRAWS), generator=generator, dtype=torch.float64)


def write(
    drafts: Sequence[Draft],
    complete: Callable[[Sequence[Draft]], Sequence[Completion]],
    spell: Callable[[Sequence[Draft]], Sequence[str]],
    judge: Callable[[Draft], Ruling | None],
    eos_id: int,
    batch_size: int,
) -> None:
    """Write all drafts to their end.

    Parameters
    ----------
    complete
        Draws what follows ``prompt`` and ``ids`` of each draft.
    spell
        The titles that the drafts' ``ids`` stand for.
    judge
        Finds the fault of a draft that has been drawn to its end.
    """
    pending = list(drafts)
    while pending:
        # Of one length, so that little is padded, and those that begin alike together.
        pending.sort(key=lambda draft: (len(draft.prompt) + len(draft.ids), draft.prompt))
        again: list[Draft] = []
        for start in range(0, len(pending), batch_size):
            batch = pending[start : start + batch_size]
            for draft, completion in zip(batch, complete(batch), strict=True):
                draft.extend(completion)
            for draft, text in zip(batch, spell(batch), strict=True):
                draft.text = text
                ruling = judge(draft)
                if ruling is None:
                    continue
                if draft.obey(ruling, eos_id):
                    draft.text = spell([draft])[0]
                else:
                    again.append(draft)
        pending = again
