"""Slot tokens: a value of the item inside a title is written as its field's token (delexicalisation).

A model of less than a million parameters does not learn in minutes to copy values from its prompt; with slots it only
chooses *which* value to mention and *where*, and decoding copies the value exactly. The idea is old in data-to-text
generation (Wen et al. 2015, "Semantically conditioned LSTM-based natural language generation").
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from reward.items import Item
from reward.logs.schema import WHERE_SHOWN
from reward.plain import JsonObject
from reward.text import WORD_CHARACTER, clean, in_word

from .description_words import keywords_in

MAX_SLOTS = 48
MAX_VALUES_PER_FIELD = 3
MIN_SLOT_COVERAGE = 0.25  # of a title's letters and digits; below it titles are free words
COVERAGE_TITLES = 2000  # to measure it on
MAX_VALUE_CHARS = 40
MAX_SHOWN = 3
MAX_KINDS = 60
MIN_KIND_SHARE = 0.5
_UNSAFE_IN_NAME = re.compile(r"[<>#\s]+")
_SLOT = re.compile(r"<[^<>\s]{1,48}>")


@dataclass(frozen=True)
class Slots:
    """The slot tokens of a shop and how titles are written with them.

    Parameters
    ----------
    tokens
        (field name, index of the value within the field) -> token such as ``<brand>`` or ``<feature_2>``.
    kinds
        The values that the prompt tells, each by a token of its own such as ``<category#3>``: those of the slots with
        the fewest distinct ones, such as the category, and of `WHERE_SHOWN` where items differ in it (no slot). Of the
        other slots the prompt only says that the item has them.
    once
        A title mentions each slot at most once (`rlopt.policy.slot_mask`).
    pieces
        The tokens, slots aside, that the titles learned from are made of; no title holds another one. Empty: any.
    keywords
        Title words that the prompt tells, by tokens such as ``<#7>``, where the item's longer texts hold them.
    """

    tokens: Mapping[tuple[str, int], str]
    kinds: Mapping[tuple[str, int], tuple[str, ...]]
    once: bool = True
    pieces: frozenset[str] = frozenset()
    keywords: tuple[str, ...] = ()

    @classmethod
    def learn(cls, items: Iterable[Item], min_share: float = 0.005) -> "Slots":
        """Slots for the short-valued fields that at least ``min_share`` of ``items`` have, most common first."""
        values: dict[tuple[str, int], Counter[str]] = {}
        n_items = 0
        for item in items:
            n_items += 1
            for key, value in _short_values(item):
                values.setdefault(key, Counter())[value] += 1
        counts = {key: found.total() for key, found in values.items()}
        often = [key for key, n in counts.items() if n >= min_share * n_items and key[0] not in WHERE_SHOWN]
        common = sorted(often, key=lambda key: (-counts[key], key))[:MAX_SLOTS]
        tokens: dict[tuple[str, int], str] = {}
        for key in sorted(common):
            tokens[key] = _unique_token(*key, taken=set(tokens.values()))
        few = [k for k in values if counts[k] >= MIN_KIND_SHARE * n_items and 2 <= len(values[k]) <= MAX_KINDS]
        told = sorted(key for key in few if key[0] in WHERE_SHOWN)
        told += sorted((key for key in few if key in tokens), key=lambda key: (len(values[key]), key))[:MAX_SHOWN]
        return cls(tokens, {key: tuple(sorted(values[key])) for key in told})

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Every slot token, sorted."""
        return tuple(sorted(self.tokens.values()))

    @cached_property
    def prompt_vocabulary(self) -> tuple[str, ...]:
        """Every token that tells a value or a keyword; prompts hold them, titles never."""
        kinds = [token for of_slot in self._kinds.values() for token in of_slot.values()]
        return (*kinds, *self._keywords.values())

    def values(self, item: Item) -> dict[str, str]:
        """Slot token -> value of this item, only for the slots the item has."""
        return {self.tokens[key]: value for key, value in _short_values(item) if key in self.tokens}

    def describe(self, item: Item) -> str:
        """The item as the tiny policy reads it: each slot it has, some with their value's token, then keywords."""
        parts = []
        for key, value in _short_values(item):
            parts.append(self.tokens.get(key, ""))
            parts.append(self._kinds.get(key, {}).get(value, ""))
        if self.keywords:
            parts += [self._keywords[word] for word in keywords_in(self.longer_text(item), frozenset(self._keywords))]
        return "".join(parts)

    def longer_text(self, item: Item) -> str:
        """Text of the item's fields, without the values that slots stand for."""
        told = {key for key, _ in _short_values(item) if key in self.tokens}
        fields = item.fields.items()
        return " ".join(value for name, values in fields for i, value in enumerate(values) if (name, i) not in told)

    def delexicalise(self, item: Item, title: str) -> str:
        """``title`` with each value of the item replaced by its slot; longer values win, words stay whole."""
        spans: list[tuple[int, int, str]] = []
        longest_first = sorted(self.values(item).items(), key=lambda pair: (-len(pair[1]), pair[0]))
        for token, value in longest_first:
            for match in _pattern(value).finditer(title):
                start, end = match.span()
                if all(end <= s or start >= e for s, e, _ in spans):
                    spans.append((start, end, token))
        parts, rest = [], 0
        for start, end, token in sorted(spans):
            parts += [self._broken(title[rest:start]), token]
            rest = end
        return "".join([*parts, self._broken(title[rest:])])

    def _broken(self, text: str) -> str:
        """``text`` from outside, with a blank in whatever would pass for a slot or a token of the prompt."""
        return _SLOT.sub(
            lambda match: f"< {match.group()[1:]}" if match.group() in self._tokens else match.group(), text
        )

    def mentioned(self, item: Item, title: str) -> list[str]:
        """The slots that ``title`` mentions, in its order, as often as it does."""
        return [found for found in _SLOT.findall(self.delexicalise(item, title)) if found in self._known]

    def without_tokens(self, text: str) -> str:
        """``text`` from outside, in which nothing may pass for a slot or a mark of the prompt."""
        return clean(_SLOT.sub(" ", text))

    def without_slots(self, text: str) -> str:
        """Delexicalised ``text`` without its slots: the words that the tokenizer has to spell."""
        return _SLOT.sub(lambda match: " " if match.group() in self._known else match.group(), text)

    def fill(self, item: Item, text: str) -> str:
        """The inverse: each slot becomes the item's value, a slot the item lacks becomes nothing.

        A value that would run into a word or number is set apart: no title's value stood like that.
        """
        parts, start = [], 0
        for match in _SLOT.finditer(text):
            if (key := self._known.get(match.group())) is not None:
                parts += [text[start : match.start()], _value(item, *key)]
                start = match.end()
        filled = ""
        for part in (*parts, text[start:]):
            filled += " " + part if in_word(filled[-1:]) and in_word(part) else part
        return clean(filled)

    @cached_property
    def _tokens(self) -> frozenset[str]:
        return frozenset((*self.vocabulary, *self.prompt_vocabulary))

    @cached_property
    def _known(self) -> dict[str, tuple[str, int]]:
        return {token: key for key, token in self.tokens.items()}

    @cached_property
    def _kinds(self) -> dict[tuple[str, int], dict[str, str]]:
        """Value -> token of each field whose values have tokens."""
        names = {key: self.tokens.get(key) or _unique_token(*key, taken=set(self.vocabulary)) for key in self.kinds}
        return {
            key: {value: f"{names[key][:-1]}#{place}>" for place, value in enumerate(values)}
            for key, values in self.kinds.items()
        }

    @cached_property
    def _keywords(self) -> dict[str, str]:
        return {word: f"<#{place}>" for place, word in enumerate(self.keywords)}

    def to_dict(self) -> JsonObject:
        """JSON-ready; `from_dict` reads it back."""
        slots = [[name, index, token] for (name, index), token in self.tokens.items()]
        kinds = [[name, index, list(values)] for (name, index), values in self.kinds.items()]
        return {
            "slots": slots,
            "kinds": kinds,
            "once": self.once,
            "pieces": sorted(self.pieces),
            "keywords": list(self.keywords),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Slots":
        """Slots written by `to_dict`."""
        tokens = {(name, int(index)): token for name, index, token in data["slots"]}
        kinds = {(name, int(index)): tuple(values) for name, index, values in data["kinds"]}
        pieces, keywords = frozenset(map(str, data.get("pieces", ()))), tuple(map(str, data.get("keywords", ())))
        return cls(tokens, kinds, bool(data["once"]), pieces, keywords)


def slot_coverage(slots: Slots, pairs: Sequence[tuple[Item, str]]) -> float:
    """Mean share of a title's letters and digits that its item's values spell; 0 for no pairs.

    The rest are free words. About 0.9 in shops whose titles list attributes, 0.1 in marketplaces whose sellers write
    freely.
    """
    if not pairs:
        return 0.0
    shares = []
    for item, title in pairs:
        free = _SLOT.sub("", slots.delexicalise(item, clean(title)))
        shares.append(1.0 - sum(map(str.isalnum, free)) / max(1, sum(map(str.isalnum, title))))
    return sum(shares) / len(shares)


def some_of(pairs: Sequence[tuple[Item, str]]) -> Sequence[tuple[Item, str]]:
    """Evenly spread sample of the pairs, large enough to show what most of them are like."""
    return pairs[:: max(1, -(-len(pairs) // COVERAGE_TITLES))]


def _short_values(item: Item) -> Iterable[tuple[tuple[str, int], str]]:
    for name, values in item.fields.items():
        for index in range(len(values)):
            if value := _value(item, name, index):
                yield (name, index), value


def _value(item: Item, name: str, index: int) -> str:
    """The value as it may stand in a title, empty where the item has none or it is too long."""
    values = item.fields.get(name, ())
    if index >= min(len(values), MAX_VALUES_PER_FIELD):
        return ""
    value = clean(values[index])
    return value if len(value) <= MAX_VALUE_CHARS and not _SLOT.search(value) else ""


def _unique_token(name: str, index: int, taken: set[str]) -> str:
    stem = _UNSAFE_IN_NAME.sub("_", clean(name))[:32] or "field"
    token = f"<{stem}>" if index == 0 else f"<{stem}_{index + 1}>"
    suffix = 2
    while token in taken:
        token, suffix = f"<{stem}~{suffix}>", suffix + 1
    return token


@lru_cache(maxsize=65536)
def _pattern(value: str) -> re.Pattern[str]:
    """Matches ``value`` in any case; a letter or digit at its edge must not touch another one.

    Next to a Chinese character a Latin word ends: "Nike鞋" holds "Nike". A "3" does not stand in "1.3".
    """
    before = (r"(?<!\d[.,])" if value[0].isdigit() else "") + (f"(?<!{WORD_CHARACTER})" if in_word(value[0]) else "")
    after = (r"(?![.,]\d)" if value[-1].isdigit() else "") + (f"(?!{WORD_CHARACTER})" if in_word(value[-1]) else "")
    return re.compile(before + re.escape(value) + after, re.IGNORECASE)
