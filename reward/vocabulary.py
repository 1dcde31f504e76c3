"""What the train items teach about words: which fields titles mention, which values are claims, which words are free.

Everything is counted by item, never by arm, so an item with many titles has no more say than another.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from .items import Item
from .text import is_cjk, words

MAX_SLOTS = 24  # fields with features of their own; further short fields share one
MAX_VALUE_WORDS = 6  # a longer Latin value is prose, not a value a title would repeat
MAX_VALUE_CJK = 12
MAX_VALUE_CHARACTERS = 120
MAX_FIELD_WORDS = 3000  # words read of one item's text
MAX_TITLE_CHARACTERS = 2000
MAX_CATEGORIES = 40
MAX_VALUES = 200  # values with a coefficient of their own
_PIECES = re.compile(r"[/,;、，；|()（）\[\]【】]")

Words = tuple[str, ...]


@lru_cache(maxsize=1 << 17)
def stem(word: str) -> str:
    """``word`` without a plural s: "shoes" in a title is the item's "shoe"."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def stems(text: str, limit: int = MAX_TITLE_CHARACTERS) -> list[str]:
    """Stemmed words of the first ``limit`` characters of ``text``."""
    return [stem(word) for word in words(text[:limit])]


def spellings(value: str) -> list[Words]:
    """Word sequences by which a title may mention ``value``: the whole and its pieces ("Red/Blue", "棉（精梳）").

    Empty for prose. A lone letter, digit or CJK character is left out: titles contain it by accident.
    """
    if len(value) > MAX_VALUE_CHARACTERS:
        return []
    found = {tuple(stems(part)): None for part in (value, *_PIECES.split(value))}
    return [
        sequence
        for sequence in found
        if sequence and is_short(sequence) and (len(sequence) > 1 or len(sequence[0]) > 1)
    ]


def is_short(sequence: Words) -> bool:
    """True where a title could repeat this value."""
    return len(sequence) <= (MAX_VALUE_CJK if is_cjk("".join(sequence)) else MAX_VALUE_WORDS)


@dataclass(frozen=True)
class Vocabulary:
    """Knowledge learned from train items.

    Parameters
    ----------
    slots
        Names of the fields whose mentions are features of their own, most useful first.
    categories
        Field name -> its values: single-valued fields of few values, the context that interactions use.
    numerics
        Fields whose values are numbers (price).
    claims
        First word -> (word sequence, slot) of values known from train items: a title that contains one
        the item does not have makes a wrong claim.
    values
        (slot, word sequence) of the values that titles of most items mention.
    generic
        Units that titles use whatever the item's fields say ("for", "new", "包邮").
    known
        Unit -> number of train items whose titles contain it. A unit is a word, and two neighbouring CJK characters.
    unusual_slots
        Slots (the last one for fields without a slot) that hardly any logged title mentions.
    """

    slots: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    numerics: tuple[str, ...]
    claims: Mapping[str, tuple[tuple[Words, int], ...]]
    values: tuple[tuple[int, Words], ...]
    generic: frozenset[str]
    known: Mapping[str, int]
    unusual_slots: frozenset[int]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; `from_json` reads it back."""
        return {
            "slots": list(self.slots),
            "categories": {name: list(values) for name, values in self.categories.items()},
            "numerics": list(self.numerics),
            "claims": [[list(s), slot] for entries in self.claims.values() for s, slot in entries],
            "values": [[slot, list(s)] for slot, s in self.values],
            "generic": sorted(self.generic),
            "known": dict(self.known),
            "unusual_slots": sorted(self.unusual_slots),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Vocabulary":
        """Vocabulary written by `to_json`."""
        return cls(
            tuple(data["slots"]),
            {name: tuple(values) for name, values in data["categories"].items()},
            tuple(data["numerics"]),
            index_claims((tuple(s), int(slot)) for s, slot in data["claims"]),
            tuple((int(slot), tuple(s)) for slot, s in data["values"]),
            frozenset(data["generic"]),
            {str(word): int(count) for word, count in data["known"].items()},
            frozenset(map(int, data["unusual_slots"])),
        )


def index_claims(entries: Iterable[tuple[Words, int]]) -> dict[str, tuple[tuple[Words, int], ...]]:
    """Claims by their first word, longest first."""
    by_first: dict[str, list[tuple[Words, int]]] = defaultdict(list)
    for sequence, slot in entries:
        by_first[sequence[0]].append((sequence, slot))
    return {first: tuple(sorted(found, key=lambda e: (-len(e[0]), e))) for first, found in by_first.items()}


def contains(sequence: Words, title: Sequence[str]) -> bool:
    """True where ``sequence`` occurs in ``title`` word by word."""
    n = len(sequence)
    return any(title[i] == sequence[0] and tuple(title[i : i + n]) == sequence for i in range(len(title) - n + 1))


def learn(items: Sequence[Item], titles: Sequence[str], item_index: Sequence[int]) -> Vocabulary:
    """Vocabulary of train items and their logged titles.

    Parameters
    ----------
    items
        Train items, each once.
    titles, item_index
        Logged titles and the position in ``items`` of the item each belongs to.
    """
    tokens = [stems(title) for title in titles]
    of_item: dict[int, list[list[str]]] = defaultdict(list)
    for index, token_list in zip(item_index, tokens, strict=True):
        of_item[int(index)].append(token_list)
    slots = _choose_slots(items, of_item)
    slot_of = {name: i for i, name in enumerate(slots)}
    known: Counter[str] = Counter()
    for lists in of_item.values():
        known.update({unit for token_list in lists for unit in units(token_list)})
    generic = _generic_words(items, of_item, known)
    claims, values = _claims(items, of_item, slot_of)
    return Vocabulary(
        slots,
        _choose_categories(items),
        _choose_numerics(items),
        claims,
        values,
        generic,
        dict(known),
        frozenset(),
    )


def refine(
    vocabulary: Vocabulary, slotted: Sequence[Sequence[str]], mentioned: Sequence[set[int]], item_index: Sequence[int]
) -> Vocabulary:
    """The vocabulary corrected by what a first scan of the logged titles found.

    Parameters
    ----------
    vocabulary
        As `learn` gave it.
    slotted, mentioned
        Slotted words and mentioned slots of each logged title.
    item_index
        Item of each title.

    Notes
    -----
    A CJK character counts as a word only where titles use it alone, between mentions: any other is a piece of one.
    """
    alone: Counter[str] = Counter()
    slots: Counter[int] = Counter()
    of_item: dict[int, tuple[set[str], set[int]]] = defaultdict(lambda: (set(), set()))
    for tokens, found, index in zip(slotted, mentioned, item_index, strict=True):
        of_item[int(index)][0].update(alone_characters(tokens))
        of_item[int(index)][1].update(found)
    for characters, found in of_item.values():
        alone.update(characters)
        slots.update(found)
    enough = max(5.0, 0.005 * len(of_item))
    generic = {unit for unit in vocabulary.generic if not is_cjk_word(unit) or alone[unit] >= enough}
    known = {unit: alone[unit] if is_cjk_word(unit) else count for unit, count in vocabulary.known.items()}
    unusual = frozenset(slot for slot in range(len(vocabulary.slots) + 1) if slots[slot] < enough)
    return replace(vocabulary, generic=frozenset(generic), known=known, unusual_slots=unusual)


def alone_characters(tokens: Sequence[str]) -> list[str]:
    """CJK characters that stand beside no other."""
    around = ["", *tokens, ""]
    return [
        word
        for before, word, after in zip(around, tokens, around[2:], strict=False)
        if is_cjk_word(word) and not is_cjk_word(before) and not is_cjk_word(after)
    ]


def _choose_slots(items: Sequence[Item], of_item: Mapping[int, list[list[str]]]) -> tuple[str, ...]:
    """Short-valued fields, ordered by the number of items with a title that mentions them, then by coverage."""
    short: Counter[str] = Counter()
    present: Counter[str] = Counter()
    mentioned: Counter[str] = Counter()
    for index, item in enumerate(items):
        for name, values in item.fields.items():
            sequences = [s for value in values for s in spellings(value)]
            present[name] += 1
            short[name] += bool(sequences)
            mentioned[name] += any(contains(s, title) for s in sequences for title in of_item.get(index, ()))
    enough = max(5, 0.02 * len(items))
    names = [name for name in present if present[name] >= enough and short[name] >= 0.5 * present[name]]
    names = [name for name in names if mentioned[name] >= 3]
    return tuple(sorted(names, key=lambda name: (-mentioned[name], -present[name], name))[:MAX_SLOTS])


def _choose_categories(items: Sequence[Item], limit: int = 6) -> dict[str, tuple[str, ...]]:
    """Fields with one value an item and few values in all, fewest values first."""
    values: dict[str, Counter[str]] = defaultdict(Counter)
    multiple: Counter[str] = Counter()
    for item in items:
        for name, found in item.fields.items():
            values[name][found[0]] += 1
            multiple[name] += len(found) > 1
    chosen = {}
    for name, counts in values.items():
        covered = sum(counts.values())
        often = [value for value, count in counts.items() if count >= max(10, 0.01 * len(items))]
        in_often = sum(counts[value] for value in often)
        single = covered >= 0.8 * len(items) and multiple[name] == 0
        if single and 2 <= len(often) <= MAX_CATEGORIES and in_often >= 0.9 * covered:
            chosen[name] = tuple(sorted(often, key=lambda value: (-counts[value], value)))
    order = sorted(chosen, key=lambda name: (-_decides_fields(items, name, chosen[name]), len(chosen[name]), name))
    return {name: chosen[name] for name in order[:limit]}


def _decides_fields(items: Sequence[Item], name: str, values: Sequence[str]) -> float:
    """How far this field decides which other fields an item has and what they say: the mark of a category."""
    groups: dict[str, Counter[str]] = {value: Counter() for value in values}
    size: Counter[str] = Counter()
    for item in items:
        value = item.fields.get(name, ("",))[0]
        if value in groups:
            size[value] += 1
            groups[value].update(
                key for other, found in item.fields.items() if other != name for key in (other, f"{other}={found[0]}")
            )
    total: Counter[str] = Counter()
    for counter in groups.values():
        total.update(counter)
    n = sum(size.values())
    frequent = [key for key, count in total.items() if count >= 0.01 * n]
    between = 0.0
    for key in frequent:
        mean = total[key] / n
        between += sum(size[v] * (groups[v][key] / max(size[v], 1) - mean) ** 2 for v in values) / n
    return round(between, 6)


def _choose_numerics(items: Sequence[Item], limit: int = 4) -> tuple[str, ...]:
    """Fields that hold one number for nearly every item that has them."""
    present: Counter[str] = Counter()
    numeric: Counter[str] = Counter()
    distinct: dict[str, set[str]] = defaultdict(set)
    for item in items:
        for name, values in item.fields.items():
            present[name] += 1
            numeric[name] += as_number(values[0]) is not None
            distinct[name].add(values[0])
    names = [
        name
        for name, count in present.items()
        if count >= 0.5 * len(items) and numeric[name] >= 0.9 * count and len(distinct[name]) >= 20
    ]
    return tuple(sorted(names)[:limit])


def as_number(text: str) -> float | None:
    """The finite number that ``text`` spells, None where it spells none."""
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def units(tokens: Sequence[str]) -> list[str]:
    """The words, and every two CJK characters that stand side by side."""
    pairs = [a + b for a, b in pairwise(tokens) if is_cjk_word(a) and is_cjk_word(b)]
    return [*tokens, *pairs]


def is_cjk_word(word: str) -> bool:
    """True for a word of one CJK character."""
    return len(word) == 1 and word >= "\u3040"


def _generic_words(
    items: Sequence[Item], of_item: Mapping[int, list[list[str]]], known: Mapping[str, int]
) -> frozenset[str]:
    """Units that stand in titles of at least five items, and mostly of items whose fields do not contain them."""
    unsupported: Counter[str] = Counter()
    for index, lists in of_item.items():
        own = set(units(stems(items[index].text(), MAX_FIELD_WORDS)))
        unsupported.update({unit for title in lists for unit in units(title)} - own)
    return frozenset(word for word, count in unsupported.items() if count >= 5 and count >= 0.5 * known[word])


def _claims(
    items: Sequence[Item], of_item: Mapping[int, list[list[str]]], slot_of: Mapping[str, int]
) -> tuple[Mapping[str, tuple[tuple[Words, int], ...]], tuple[tuple[int, Words], ...]]:
    """Values of slot fields that titles contain nearly only where the item has them; and those mentioned most."""
    owners: Counter[Words] = Counter()
    slot: dict[Words, int] = {}
    for item in items:
        found = {
            s: slot_of[name]
            for name, values in item.fields.items()
            if name in slot_of
            for v in values
            for s in spellings(v)
        }
        owners.update(found.keys())
        for sequence, index in found.items():
            slot[sequence] = min(index, slot.get(sequence, MAX_SLOTS))
    candidates = index_claims(slot.items())
    right: Counter[Words] = Counter()
    wrong: Counter[Words] = Counter()
    for index, lists in of_item.items():
        text = stems(items[index].text(), MAX_FIELD_WORDS)
        said: set[Words] = set()
        for title in lists:
            for i, word in enumerate(title):
                said.update(s for s, _ in candidates.get(word, ()) if tuple(title[i : i + len(s)]) == s)
        for sequence in said:
            (right if contains(sequence, text) else wrong)[sequence] += 1
    kept = [s for s, count in owners.items() if count >= 2 and wrong[s] <= right[s] + 1]
    # A number alone is a claim of nothing; with its unit ("20 l") it is one.
    claims = index_claims((s, slot[s]) for s in kept if len(s) > 1 or as_number(s[0]) is None)
    frequent = sorted((s for s in right if right[s] >= 10), key=lambda s: (-right[s], s))[:MAX_VALUES]
    return claims, tuple((slot[s], s) for s in frequent)
