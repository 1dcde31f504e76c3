"""Texts as data: tokens of what shops and users wrote, among which no control token can be.

A tokenizer turns ``</s>`` or ``<|im_end|>`` in a text into the token that ends it, and ``<tool_call>`` or a slot into
that token. Written by rlopt these are control; written in an item's field or a title they are words like any other, and
are spelled in pieces.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

MOST_FRAMES = 256  # prompts without their data whose control tokens are remembered


@dataclass(frozen=True)
class Part:
    """A stretch of a prompt.

    Parameters
    ----------
    text
        Its text.
    control
        True for what rlopt or a chat template wrote; False for data.
    """

    text: str
    control: bool = False


class DataTokens:
    """Tokenizes data for one tokenizer.

    Parameters
    ----------
    tokenizer
        Of transformers.
    allowed
        Added tokens that data may hold after all (the slots of a title in which values were replaced by them).
    """

    def __init__(self, tokenizer: Any, allowed: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.items()
        control = {int(token): str(said) for token, said in added if said.special or not _is_blank(str(said))}
        special = zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)
        control |= {int(token): str(said) for token, said in special}
        control = {token: said for token, said in control.items() if said not in allowed}
        unknown = tokenizer.unk_token_id
        if unknown is not None and unknown not in _working(tokenizer):
            control.pop(int(unknown), None)  # the token for unknown characters is no control
        self.control = frozenset(control)
        names = sorted((said for said in control.values() if len(said) > 1), key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, names)) or r"(?!)")
        self._known_frames: dict[tuple[str | None, ...], list[int]] = {}

    def data(self, text: str) -> list[int]:
        """Tokens of ``text``, none of which is control."""
        ids = self._plain(text)
        return ids if self.control.isdisjoint(ids) else self._spelled(text)

    def prompts(self, prompts: Sequence[Sequence[Part]]) -> list[list[int]]:
        """Tokens of each prompt, with those that the tokenizer puts around every text.

        One whose data bring no control token is tokenized as a whole, as the model is used to; else part by part.
        """
        texts = ["".join(part.text for part in parts) for parts in prompts]
        found: list[list[int]] = self._tokenizer(text=texts)["input_ids"] if texts else []
        return [
            ids if self._as_meant(parts, ids) else self._apart(parts) for parts, ids in zip(prompts, found, strict=True)
        ]

    def texts(self, texts: Sequence[str], longest: int) -> list[list[int]]:
        """Tokens of each text with those that the tokenizer puts around it, at most ``longest`` in all."""
        before, after = self._around
        room = max(longest - len(before) - len(after), 0)
        return [[*before, *self.data(text)[:room], *after] for text in texts]

    def _as_meant(self, parts: Sequence[Part], ids: Sequence[int]) -> bool:
        """True if ``ids`` hold the control tokens of the prompt without its data, and no other."""
        if all(part.control for part in parts):
            return True
        frame = tuple(part.text if part.control else None for part in parts)
        if frame not in self._known_frames:
            if len(self._known_frames) >= MOST_FRAMES:
                self._known_frames.clear()
            inner = self._apart([part for part in parts if part.control])
            self._known_frames[frame] = [token for token in inner if token in self.control]
        return [token for token in ids if token in self.control] == self._known_frames[frame]

    def _apart(self, parts: Sequence[Part]) -> list[int]:
        ids = [
            token for part in parts for token in (self._control(part.text) if part.control else self.data(part.text))
        ]
        before, after = self._around
        return [*before, *ids, *after]

    @cached_property
    def _around(self) -> tuple[list[int], list[int]]:
        """Tokens that the tokenizer puts before and after every text."""
        for text in ("a", "1", "的"):
            alone: list[int] = self._control(text)
            whole: list[int] = self._tokenizer(text=text)["input_ids"]
            for start in range(len(whole) - len(alone) + 1):
                if alone and whole[start : start + len(alone)] == alone:
                    return whole[:start], whole[start + len(alone) :]
        return [], []

    def _control(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text=text, add_special_tokens=False)["input_ids"] if text else []
        return ids

    def _plain(self, text: str) -> list[int]:
        if not text:
            return []
        ids: list[int] = self._tokenizer(text=text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return ids

    def _spelled(self, text: str) -> list[int]:
        """Tokens of ``text`` cut within every name of a control token, and where that is not enough in halves."""
        cuts = [0, *(match.start() + 1 for match in self._names.finditer(text)), len(text)]
        if len(cuts) == 2:
            cuts.insert(1, len(text) // 2)
        ids: list[int] = []
        for start, stop in pairwise(cuts):
            found = self._plain(text[start:stop])
            if not self.control.isdisjoint(found):
                if stop - start > 1:
                    found = self._spelled(text[start:stop])
                else:  # a single character that is a control token
                    found = [token for token in found if token not in self.control]
            ids += found
        return ids


def _working(tokenizer: Any) -> set[int]:
    """The special tokens that do something, those for unknown characters aside."""
    names = ("bos_token", "eos_token", "pad_token", "sep_token", "cls_token", "mask_token")
    return {int(tokenizer.convert_tokens_to_ids(token)) for name in names if (token := getattr(tokenizer, name))}


def _is_blank(text: str) -> bool:
    """White space, as SentencePiece writes it too: some tokenizers have tokens of their own for several blanks."""
    return not text.replace("\u2581", "").strip()
