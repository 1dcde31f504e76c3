"""Surprise at neighbouring words that never stood side by side in the logs, given the words before and after.

Some words are followed by few others, again and again ("made of" by a material), some by anything ("for"). The chance
that something new follows is estimated as the share of what followed once (Good 1953), and likewise for what stands
before. A title spliced from two is surprising at its joint in both directions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .kneser_ney import IntArray, Sequences, Table, distinct, table_from

FloatArray = npt.NDArray[np.float64]

ORDERS = (2, 3)


@dataclass(frozen=True)
class News:
    """Chance that something new stands after known words.

    Parameters
    ----------
    order
        Length of the n-grams: one word after ``order - 1`` others.
    known
        N-gram -> number of items whose titles hold it.
    before
        The words before -> sum of these numbers, and n-grams of one item.
    """

    order: int
    known: Table
    before: Table

    @classmethod
    def fit(cls, sequences: Sequences, group: IntArray, order: int) -> "News":
        """Count by item: ``group`` (n,) names that of each sequence."""
        grams = sequences.grams(order)
        first = distinct(grams, group[sequences.owner()].astype(np.uint64))
        keys, place, count = np.unique(grams[first], return_index=True, return_counts=True)
        words, inverse = np.unique(sequences.grams(order - 1, back=1)[first][place], return_inverse=True)
        numbers = [np.bincount(inverse, weights, minlength=len(words)) for weights in (count, count == 1)]
        return cls(
            order, Table(keys, count[:, None].astype(np.int64)), Table(words, np.column_stack(numbers).astype(np.int64))
        )

    def log_chance(self, sequences: Sequences) -> FloatArray:
        """Logarithm of the chance of something new, where something new stands, shape (m,); elsewhere 0."""
        total, once = self.before.get(sequences.grams(self.order - 1, back=1)).T
        new = self.known.get(sequences.grams(self.order))[:, 0] == 0
        chance: FloatArray = np.minimum(np.log((once + 0.5) / (total + 1.0)), 0.0) * new
        return chance


@dataclass(frozen=True)
class Joins:
    """`News` in both directions, of each of `ORDERS`."""

    onward: tuple[News, ...]
    back: tuple[News, ...]

    @classmethod
    def fit(cls, sequences: Sequences, group: IntArray) -> "Joins":
        """Learn from sequences and the item (n,) of each."""
        turned = _turned(sequences)
        return cls(*(tuple(News.fit(own, group, order) for order in ORDERS) for own in (sequences, turned)))

    def log_chances(self, sequences: Sequences) -> FloatArray:
        """`News.log_chance` of each word and the one before it in both directions, for each order, shape (orders, m).

        0 for the first word of a sequence, and at its end.
        """
        turned = _turned(sequences)
        place, length = sequences.place(), np.repeat(np.diff(sequences.starts) - 1, np.diff(sequences.starts))
        inner = (place > 0) & (place < length)
        start = np.repeat(sequences.starts[:-1], np.diff(sequences.starts))
        mirrored = np.where(inner, start + length - place, 0)
        found = [
            (onward.log_chance(sequences) + back.log_chance(turned)[mirrored]) * inner
            for onward, back in zip(self.onward, self.back, strict=True)
        ]
        return np.stack(found)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays; `from_state` reads them back."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        for direction, all_news in (("onward", self.onward), ("back", self.back)):
            for news in all_news:
                for name, table in (("known", news.known), ("before", news.before)):
                    arrays |= table.state(f"{direction}.{news.order}.{name}")
        return arrays

    @classmethod
    def from_state(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "Joins":
        """Joins from what `state` gave.

        Raises
        ------
        ValueError
            If the arrays are none.
        """

        def news(direction: str, order: int) -> News:
            name = f"{direction}.{order}"
            return News(order, table_from(arrays, f"{name}.known", 1), table_from(arrays, f"{name}.before", 2))

        return cls(*(tuple(news(direction, order) for order in ORDERS) for direction in ("onward", "back")))


def _turned(sequences: Sequences) -> Sequences:
    """The sequences from their last token to their first; the marks stay at the ends."""
    length = np.repeat(np.diff(sequences.starts) - 1, np.diff(sequences.starts))
    start, place = np.repeat(sequences.starts[:-1], np.diff(sequences.starts)), sequences.place()
    source = np.where(place < length, start + length - 1 - place, start + place)
    return Sequences(sequences.tokens[source], sequences.starts)
