"""Words and phrases as the features see them: stems, the spellings of a value, and where phrases stand in a title."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

from ..text import is_cjk, words

MAX_VALUE_WORDS = 6  # a longer Latin value is prose, not a value a title would repeat
MAX_VALUE_CJK = 12
MAX_VALUE_CHARACTERS = 120
MAX_FIELD_WORDS = 3000  # words read of one item's text
MAX_TITLE_CHARACTERS = 2000
_PIECES = re.compile(r"[/,;、，；|()（）\[\]【】]")

Words = tuple[str, ...]
Phrases = dict[str, tuple[tuple[Words, int], ...]]
"""First word -> the phrases that begin with it, longest first, each with its slot."""


@lru_cache(maxsize=1 << 17)
def stem(word: str) -> str:
    """``word`` without a plural s: "shoes" in a title is the item's "shoe"."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def stems(text: str, limit: int = MAX_TITLE_CHARACTERS) -> list[str]:
    """Stemmed words of the first ``limit`` characters of ``text``."""
    return [stem(word) for word in words(text[:limit])]


@lru_cache(maxsize=1 << 14)
def spellings(value: str) -> tuple[Words, ...]:
    """Word sequences by which a title may mention ``value``: the whole and its pieces ("Red/Blue", "棉（精梳）").

    Empty for prose. A lone letter, digit or CJK character is left out: titles contain it by accident.
    """
    if len(value) > MAX_VALUE_CHARACTERS:
        return ()
    found = {tuple(stems(part)): None for part in (value, *_PIECES.split(value))}
    return tuple(
        sequence
        for sequence in found
        if sequence and is_short(sequence) and (len(sequence) > 1 or len(sequence[0]) > 1)
    )


def is_short(sequence: Words) -> bool:
    """True where a title could repeat this value."""
    return len(sequence) <= (MAX_VALUE_CJK if is_cjk("".join(sequence)) else MAX_VALUE_WORDS)


def contains(sequence: Words, title: Sequence[str]) -> bool:
    """True where ``sequence`` occurs in ``title`` word by word."""
    n = len(sequence)
    return any(title[i] == sequence[0] and tuple(title[i : i + n]) == sequence for i in range(len(title) - n + 1))


def units(tokens: Sequence[str]) -> list[str]:
    """The words, and every two CJK characters that stand side by side."""
    pairs = [a + b for a, b in pairwise(tokens) if is_cjk_word(a) and is_cjk_word(b)]
    return [*tokens, *pairs]


def is_cjk_word(word: str) -> bool:
    """True for a word of one CJK character."""
    return len(word) == 1 and word >= "\u3040"


def alone_characters(tokens: Sequence[str]) -> list[str]:
    """CJK characters that stand beside no other."""
    around = ["", *tokens, ""]
    return [
        word
        for before, word, after in zip(around, tokens, around[2:], strict=False)
        if is_cjk_word(word) and not is_cjk_word(before) and not is_cjk_word(after)
    ]


def index_phrases(entries: Iterable[tuple[Words, int]]) -> Phrases:
    """Phrases by their first word, longest first."""
    by_first: dict[str, list[tuple[Words, int]]] = defaultdict(list)
    for sequence, slot in entries:
        by_first[sequence[0]].append((sequence, slot))
    return {first: tuple(sorted(found, key=lambda e: (-len(e[0]), e))) for first, found in by_first.items()}


@lru_cache(maxsize=1 << 16)
def width(sequence: Words) -> int:
    """Columns that these words take, with the blank after each Latin one."""
    return sum(2 if is_cjk_word(word) else len(word) + 1 for word in sequence)


def match(entries: tuple[tuple[Words, int], ...] | None, tokens: list[str], place: int) -> tuple[Words, int] | None:
    """The longest phrase that stands at ``place``, and its slot."""
    for sequence, slot in entries or ():
        length = len(sequence)
        if length == 1 or tuple(tokens[place : place + length]) == sequence:
            return sequence, slot
    return None


def repeated(tokens: list[str]) -> int:
    """Words that occur again; for CJK pairs of characters, since single characters recur in sound titles."""
    units: list[object] = []
    before = ""
    for word in tokens:
        if not is_cjk_word(word):
            units.append(word)
            before = ""
            continue
        if before:
            units.append((before, word))
        before = word
    return len(units) - len(set(units))


def joined(parts: list[str]) -> str:
    """Words with blanks between, but none between two CJK characters."""
    if not any(is_cjk_word(part) for part in parts):
        return " ".join(parts)
    out: list[str] = []
    before = ""
    for part in parts:
        cjk = is_cjk_word(part)
        if out and not (cjk and is_cjk_word(before)):
            out.append(" ")
        out.append(part)
        before = part
    return "".join(out)
