"""Promises: what a title says the shop will do. A shopper takes its word for it, so something must bear it out.

Free shipping, a guarantee, a discount, a gift, little stock, little time, returns: phrases of lists that users replace.
An item bears a promise out where one of its fields says it, or the shop's facts do (`facts`). That other titles make
the same promise is no support.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..items import Item
from ..text import clean, words
from .numerals import number_at
from .phraselist import PhraseList, PhraseListError
from .phrases import stem

NUMBER = "{n}"
SAME = "="  # between phrases of a line that promise the same
MAX_VALUE_WORDS = 8  # of a field that says something together with its name; longer values are read as texts
MAX_ITEM_CHARACTERS = 100_000

_DATA = Path(__file__).parent / "data"
_NUMBER_EDGE, _END = "\0number", "\0end"  # no word is spelt so
_NOT = frozenset({"no", "not", "without", "non", "不", "无", "無", "非", "没", "沒", "未"})
_NOT_OFFERED = ("不支持", "不提供", "不参加", "不享受", "不適用", "不适用")
_NEGATIVE = frozenset(
    {"no", "none", "not", "false", "0", "n", "without", "否", "无", "無", "不", "非", "没", "沒", "off", "never"}
)
_AFFIRMATIVE = frozenset({"yes", "true", "1", "y", "included", "include", "available", "是", "有", "支", "含", "可"})
_FILLERS = frozenset(
    {"is", "has", "with", "include", "included", "offer", "available", "是", "否", "有", "支", "持", "享"}
)
_TIMES = frozenset({"year", "yr", "month", "week", "day", "hour", "年", "月", "天", "日", "周"})
_FROM = frozenset({"over", "above", "from", "min", "minimum", "exceeding"})
_FROM_CJK = ("满", "滿", "以上", "超过", "超過")
_WINDOW = 5  # words before and after a promise in which a condition is looked for
Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A promise in a sequence of words.

    Parameters
    ----------
    start, stop
        Its words.
    group
        Number of the promise in the list, however it is worded.
    numbers
        The numbers in it, in digits.
    """

    start: int
    stop: int
    group: int
    numbers: Words


@dataclass(frozen=True)
class Stated:
    """Promises that one item makes by its fields.

    Parameters
    ----------
    promises
        Promises that its texts make, each with its numbers.
    fields
        Words of each short field: of its name, and of a value.
    """

    promises: frozenset[tuple[int, Words]]
    fields: tuple[tuple[frozenset[str], frozenset[str]], ...]


@dataclass(frozen=True)
class PromiseList:
    """Promises to look for, and longer phrases in which their words promise nothing.

    Case, width, punctuation, signs ("%", "$"), a plural s, and blanks inside Chinese make no difference; Latin words
    are whole words. ``{n}`` stands for any number, in digits or spelt out ("两年", "buy one get one"). A promise behind
    "no", "without" or 不 is none.

    Parameters
    ----------
    groups
        Phrases that promise the same; what bears one of them out bears out all.
    exceptions
        An occurrence inside one of these does not count ("{n} off" in "{n} off white").

    Raises
    ------
    PhraseListError
        For a phrase without words, or one that is nothing but numbers.
    """

    groups: tuple[tuple[str, ...], ...] = ()
    exceptions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for phrase in (*(phrase for group in self.groups for phrase in group), *self.exceptions):
            if all(word == NUMBER for word in _spell(phrase)):
                raise PhraseListError(
                    f"The promise {phrase!r:.60} has no words besides numbers. Write the words that promise something."
                )

    @classmethod
    def collect(cls, entries: Iterable[str]) -> "PromiseList":
        """From phrases, ``a = b`` for phrases that promise the same, ``!`` before exceptions, and ``@FILE`` of such.

        Lines that share a phrase promise the same.

        Raises
        ------
        PhraseListError
            If a file cannot be read, or a phrase has no words.
        """
        lines = PhraseList.collect(entries)
        groups: list[list[str]] = []
        place: dict[Words, int] = {}
        for line in lines.phrases:
            phrases = [phrase.strip() for phrase in line.split(SAME)]
            if not all(phrases):
                raise PhraseListError(f"The promise {line!r:.60} has a {SAME!r} without a phrase beside it.")
            known = sorted({place[key] for key in map(_spell, phrases) if key in place})
            home = known[0] if known else len(groups)
            if not known:
                groups.append([])
            for other in known[1:]:
                groups[home] += groups[other]
                place.update((key, home) for key in map(_spell, groups[other]))
                groups[other] = []
            groups[home] += phrases
            place.update((key, home) for key in map(_spell, phrases))
        return cls(tuple(tuple(dict.fromkeys(group)) for group in groups if group), lines.exceptions)

    @classmethod
    def shipped(cls) -> "PromiseList":
        """The lists that come with rlopt, English and Chinese."""
        return cls.collect(f"@{path}" for path in sorted(_DATA.glob("promises_*.txt")))

    def __bool__(self) -> bool:
        return bool(self.groups)

    def found(self, tokens: Sequence[str]) -> list[Found]:
        """The promises in the words of a text (`reward.text.words`), the longest at each place, left to right."""
        if not self.groups:
            return []
        own = [stem(token) for token in tokens]
        hidden: list[tuple[int, int]] | None = None
        out: list[Found] = []
        start = 0
        while start < len(own):
            match = _longest(self._trie, own, start)
            if match is None:
                start += 1
                continue
            stop, group, numbers = match
            if hidden is None:
                hidden = _spans(self._exceptions, own)
            if not any(first <= start and stop <= last for first, last in hidden) and not _denied(own, start):
                out.append(Found(start, stop, group, numbers))
            start = stop
        return out

    def stated(self, item: Item) -> Stated:
        """Collect the promises that the fields of ``item`` support."""
        promises: set[tuple[int, Words]] = set()
        fields: list[tuple[frozenset[str], frozenset[str]]] = []
        left = MAX_ITEM_CHARACTERS if self.groups else 0
        for name, values in item.fields.items():
            for value in values:
                text = clean(value[:left])
                left -= len(text)
                tokens = words(text)
                for one in self.found(tokens):
                    if not _conditional(tokens, one):
                        promises.add((one.group, one.numbers))
                if 0 < len(tokens) <= MAX_VALUE_WORDS:
                    fields.append((frozenset(_digits(words(clean(name)))), frozenset(_digits(tokens))))
        return Stated(frozenset(promises), tuple(fields))

    def borne_out(self, stated: Stated, promise: Found) -> bool:
        """True if the item supports the promise: in a text, or by a short field and its name ("shipping: free")."""
        if (promise.group, promise.numbers) in stated.promises:
            return True
        if len(set(promise.numbers)) > 1:  # the words of a field do not tell their order
            return False
        spelled = self._spelled[promise.group]
        return any(
            _says_by_field(name, value, need)
            for need in (_filled(phrase, promise.numbers) for phrase in spelled)
            if need
            for name, value in stated.fields
        )

    @cached_property
    def _spelled(self) -> tuple[tuple[Words, ...], ...]:
        return tuple(tuple(dict.fromkeys(map(_spell, group))) for group in self.groups)

    @cached_property
    def _trie(self) -> Mapping[str, Any]:
        return _trie((phrase, number) for number, group in enumerate(self._spelled) for phrase in group)

    @cached_property
    def _exceptions(self) -> Mapping[str, Any]:
        return _trie((_spell(phrase), 0) for phrase in self.exceptions)


def _spell(phrase: str) -> Words:
    """The words of a phrase as they are compared, `NUMBER` for its placeholders."""
    tokens: list[str] = []
    for i, part in enumerate(phrase.split(NUMBER)):
        tokens += [NUMBER] if i else []
        tokens += map(stem, words(clean(part)))
    return tuple(tokens)


def _trie(phrases: Iterable[tuple[Words, int]]) -> dict[str, Any]:
    """Phrases by their words: looking one up takes its length, however many there are."""
    root: dict[str, Any] = {}
    for phrase, group in phrases:
        node = root
        for word in phrase:
            node = node.setdefault(_NUMBER_EDGE if word == NUMBER else word, {})
        node.setdefault(_END, group)
    return root


def _longest(trie: Mapping[str, Any], tokens: Sequence[str], start: int) -> tuple[int, int, Words] | None:
    """End, group and numbers of the longest phrase that begins at ``start``, of equal ones that with fewer numbers."""
    best: tuple[int, int, Words] | None = None
    open_ends: list[tuple[Mapping[str, Any], int, Words]] = [(trie, start, ())]
    while open_ends:
        node, place, numbers = open_ends.pop()
        if _END in node and (best is None or (place, -len(numbers)) > (best[0], -len(best[2]))):
            best = place, node[_END], numbers
        if place == len(tokens):
            continue
        if tokens[place] in node:
            open_ends.append((node[tokens[place]], place + 1, numbers))
        if _NUMBER_EDGE in node and (number := number_at(tokens, place)) is not None:
            open_ends.append((node[_NUMBER_EDGE], number[0], (*numbers, number[1])))
    return best


def _spans(trie: Mapping[str, Any], tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Spans of the longest phrases of ``trie``; they may overlap."""
    if not trie:
        return []
    found = ((start, _longest(trie, tokens, start)) for start in range(len(tokens)))
    return [(start, match[0]) for start, match in found if match is not None]


def _denied(tokens: Sequence[str], start: int) -> bool:
    before = tokens[max(0, start - 3) : start]
    return bool(before) and (before[-1] in _NOT or "".join(before) in _NOT_OFFERED)


def _conditional(tokens: Sequence[str], promise: Found) -> bool:
    """True if the promise holds only from some amount on: "free shipping over 35", 满99包邮."""
    for part in (tokens[max(0, promise.start - _WINDOW) : promise.start], tokens[promise.stop :][:_WINDOW]):
        joined = "".join(part)
        if any(token[0].isdigit() for token in part) and (
            not _FROM.isdisjoint(part) or any(mark in joined for mark in _FROM_CJK)
        ):
            return True
    return False


def _digits(tokens: Sequence[str]) -> list[str]:
    """Stemmed words, numbers in digits."""
    out: list[str] = []
    place = 0
    while place < len(tokens):
        number = number_at(tokens, place)
        out.append(stem(tokens[place]) if number is None else number[1])
        place = place + 1 if number is None else number[0]
    return out


def _filled(phrase: Words, numbers: Words) -> frozenset[str]:
    """The words of a phrase with these numbers; empty where it has not as many."""
    if phrase.count(NUMBER) != len(numbers):
        return frozenset()
    left = iter(numbers)
    return frozenset(_digits([next(left) if word == NUMBER else word for word in phrase]))


def _says_by_field(name: frozenset[str], value: frozenset[str], need: frozenset[str]) -> bool:
    """True if a field says what a phrase of these words promises.

    Its value and name hold all of them, and the value says nothing else ("shipping: free"); or the name alone holds
    them and the value says yes ("free shipping: yes"), or for how long ("warranty: 2 years").
    """
    if not need <= name | value or not _NEGATIVE.isdisjoint(value - need):
        return False
    if not need.isdisjoint(value):
        return value <= need | _FILLERS
    lasting = not _TIMES.isdisjoint(value) and any(word[0].isdigit() for word in value)
    return name <= need | _FILLERS and (not _AFFIRMATIVE.isdisjoint(value) or lasting)
