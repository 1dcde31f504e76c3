"""Items made ready for scanning titles, kept in a bounded cache: PPO asks about the same items at every step."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..arrays import BoolArray, Float32Array, IntArray
from ..items import Item
from ..text import is_cjk
from .fields import as_number
from .phrases import MAX_FIELD_WORDS, Phrases, Words, index_phrases, spellings, stems

CACHE_SIZE = 20_000


@dataclass(frozen=True)
class ItemWords:
    """One item ready for scanning.

    Parameters
    ----------
    values
        Its short values as phrases, with their slots.
    text
        Every word of its fields -> the slot of the short value the word is part of, -1 for a word of prose.
    pairs
        Neighbouring words within a value, for items written in CJK; empty for others.
    has
        True where the item has the slot's field, shape (n_slots,).
    categories
        Code of each category field, -1 for a missing or unknown value, shape (n_categories,).
    numerics
        sign(x) log(1 + |x|) of each numeric field, NaN where missing, shape (n_numerics,).
    """

    values: Phrases
    text: dict[str, int]
    pairs: frozenset[tuple[str, str]]
    has: BoolArray
    categories: IntArray
    numerics: Float32Array


class PreparedItems:
    """Prepares items, each once.

    Parameters
    ----------
    slots, categories, numerics
        As in `reward.features.vocabulary.Vocabulary`.
    cache_size
        Items kept at most; the least recently used is dropped first.
    """

    def __init__(
        self,
        slots: Sequence[str],
        categories: Mapping[str, Sequence[str]],
        numerics: Sequence[str],
        cache_size: int = CACHE_SIZE,
    ) -> None:
        self._slots = tuple(slots)
        self._slot_of = {name: i for i, name in enumerate(slots)}
        self._codes = {name: {v: i for i, v in enumerate(values)} for name, values in categories.items()}
        self._numerics = tuple(numerics)
        self._cache: OrderedDict[str, tuple[Item, ItemWords]] = OrderedDict()
        self._cache_size = cache_size

    def __len__(self) -> int:
        return len(self._cache)

    def get(self, item: Item) -> ItemWords:
        """``item`` ready for scanning; prepared again where its fields have changed."""
        cached = self._cache.get(item.item_id)
        if cached is not None and (cached[0] is item or cached[0].fields == item.fields):
            self._cache.move_to_end(item.item_id)
            return cached[1]
        prepared = self._prepare(item)
        self._cache[item.item_id] = (item, prepared)
        if len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
        return prepared

    def _prepare(self, item: Item) -> ItemWords:
        n = len(self._slots)
        slot: dict[Words, int] = {}
        pairs: set[tuple[str, str]] = set()
        cjk = is_cjk(item.text())
        own: dict[str, int] = {}
        for name, values in item.fields.items():
            index = self._slot_of.get(name, n)
            for value in values:
                tokens = stems(value, MAX_FIELD_WORDS)
                own.update((word, own.get(word, -1)) for word in tokens)
                if cjk:
                    pairs.update(pairwise(tokens))
                for sequence in spellings(value):
                    slot[sequence] = min(index, slot.get(sequence, n))
        for sequence, index in slot.items():
            for word in sequence:
                own[word] = max(index if index < n else -1, own.get(word, -1))
        numbers = [as_number(item.fields[name][0]) if item.fields.get(name) else None for name in self._numerics]
        return ItemWords(
            index_phrases(slot.items()),
            own,
            frozenset(pairs),
            np.array([bool(item.fields.get(name)) for name in self._slots], dtype=bool),
            np.array(
                [
                    codes.get(item.fields[name][0], -1) if item.fields.get(name) else -1
                    for name, codes in self._codes.items()
                ],
                dtype=np.int64,
            ),
            np.array([np.nan if x is None else np.sign(x) * np.log1p(abs(x)) for x in numbers], dtype=np.float32),
        )
