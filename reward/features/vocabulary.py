"""Vocabulary of the train items: which fields titles mention, which values are claims, which words are free.

Everything is counted by item, never by arm, so an item with many titles has no more say than another.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..items import Item
from ..plain import JsonObject
from .fields import MAX_SLOTS, as_number, choose_categories, choose_numerics, choose_slots
from .lexicon import mostly_unstated
from .phrases import (
    MAX_FIELD_WORDS,
    Phrases,
    Words,
    alone_characters,
    contains,
    index_phrases,
    is_cjk_word,
    spellings,
    stems,
    units,
)

MAX_VALUES = 200  # values with a coefficient of their own
MIN_GENERIC_ITEMS = 5


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
    claims: Phrases
    values: tuple[tuple[int, Words], ...]
    generic: frozenset[str]
    known: Mapping[str, int]
    unusual_slots: frozenset[int]

    def to_json(self) -> JsonObject:
        """Plain JSON types; `from_json` reads it back."""
        return {
            "slots": list(self.slots),
            "categories": {name: list(values) for name, values in self.categories.items()},
            "numerics": list(self.numerics),
            "claims": [[list(s), slot] for entries in self.claims.values() for s, slot in entries],
            "values": [[slot, list(s)] for slot, s in self.values],
            "generic": sorted(self.generic),
            "known": {unit: self.known[unit] for unit in sorted(self.known)},
            "unusual_slots": sorted(self.unusual_slots),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Vocabulary":
        """Vocabulary written by `to_json`."""
        return cls(
            tuple(data["slots"]),
            {name: tuple(values) for name, values in data["categories"].items()},
            tuple(data["numerics"]),
            index_phrases((tuple(s), int(slot)) for s, slot in data["claims"]),
            tuple((int(slot), tuple(s)) for slot, s in data["values"]),
            frozenset(data["generic"]),
            {str(word): int(count) for word, count in data["known"].items()},
            frozenset(map(int, data["unusual_slots"])),
        )


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
    slots = choose_slots(items, of_item)
    slot_of = {name: i for i, name in enumerate(slots)}
    known: Counter[str] = Counter()
    for lists in of_item.values():
        known.update({unit for token_list in lists for unit in units(token_list)})
    generic = _generic_words(items, of_item)
    claims, values = _claims(items, of_item, slot_of)
    return Vocabulary(
        slots,
        choose_categories(items),
        choose_numerics(items),
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


def _generic_words(items: Sequence[Item], of_item: Mapping[int, list[list[str]]]) -> frozenset[str]:
    """Units that stand in titles of at least five items, and mostly of items whose fields do not contain them."""
    return mostly_unstated(
        (
            ({unit for title in lists for unit in units(title)}, units(stems(items[index].text(), MAX_FIELD_WORDS)))
            for index, lists in of_item.items()
        ),
        MIN_GENERIC_ITEMS,
    )


def _claims(
    items: Sequence[Item], of_item: Mapping[int, list[list[str]]], slot_of: Mapping[str, int]
) -> tuple[Phrases, tuple[tuple[int, Words], ...]]:
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
    candidates = index_phrases(slot.items())
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
    claims = index_phrases((s, slot[s]) for s in kept if len(s) > 1 or as_number(s[0]) is None)
    frequent = sorted((s for s in right if right[s] >= 10), key=lambda s: (-right[s], s))[:MAX_VALUES]
    return claims, tuple((slot[s], s) for s in frequent)
