"""Familiarity of items: what was learned from the logs need not hold for an item far from theirs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from reward.arms import Arms
from reward.arrays import BoolArray
from reward.items import Item
from reward.text import words


@dataclass(frozen=True)
class Familiar:
    """Items and words that the logs have.

    Parameters
    ----------
    items
        Their ids.
    words
        Words of their titles and fields.
    """

    items: frozenset[str]
    words: frozenset[str]

    @classmethod
    def of(cls, arms: Arms) -> "Familiar":
        """Collect the items and words of these logs."""
        known = {word for title in arms.title for word in words(str(title))}
        known |= {word for item in arms.items for word in _field_words(item)}
        return cls(frozenset(item.item_id for item in arms.items), frozenset(known))

    def strange(self, items: Sequence[Item], titles: Sequence[str]) -> BoolArray:
        """True where a title's item is new to the logs and so are most of its words, in fields and titles."""
        said: dict[str, set[str]] = {}
        for item, title in zip(items, titles, strict=True):
            if item.item_id not in self.items:
                said.setdefault(item.item_id, set(_field_words(item))).update(words(title))
        far = {item_id for item_id, found in said.items() if 2 * len(found - self.words) > len(found)}
        return np.array([item.item_id in far for item in items], dtype=bool)


def _field_words(item: Item) -> Iterator[str]:
    for values in item.fields.values():
        for value in values:
            yield from words(value)
