"""Interpolated Kneser-Ney language model: probabilities of tokens given those before them.

Kneser and Ney (1995), Chen and Goodman (1999). N-grams are looked up by hash in sorted arrays, for all places of all
sequences at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
HashArray = npt.NDArray[np.uint64]

START, END = np.uint64(1), np.uint64(2)
"""Stand before and after a sequence; no token may have these hashes."""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_LAST_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
_DISCOUNTS = (0.1, 0.95)


@dataclass(frozen=True)
class Sequences:
    """n sequences of hashed tokens laid end to end, each with `END` after it.

    Parameters
    ----------
    tokens
        Shape (m,).
    starts
        Start of each sequence, and m: shape (n + 1,).
    """

    tokens: HashArray
    starts: IntArray

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]]) -> "Sequences":
        """Sequences of token hashes, each in [3, 2^64)."""
        starts = np.cumsum([0, *(len(own) + 1 for own in sequences)], dtype=np.int64)
        flat = [token for own in sequences for token in (*own, int(END))]
        return cls(np.array(flat, dtype=np.uint64), starts)

    def owner(self) -> IntArray:
        """Sequence that each token belongs to, shape (m,)."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def place(self) -> IntArray:
        """Place of each token in its sequence, from 0, shape (m,)."""
        return np.arange(len(self.tokens)) - np.repeat(self.starts[:-1], np.diff(self.starts))

    def grams(self, order: int, *, back: int = 0) -> HashArray:
        """Hash of the ``order`` tokens that end ``back`` places before each one, shape (m,)."""
        place = self.place()
        value = np.full(len(self.tokens), order, dtype=np.uint64)
        for shift in range(order - 1 + back, back - 1, -1):
            value = (value ^ np.where(place >= shift, np.roll(self.tokens, shift), START)) * _FACTOR
            value ^= value >> np.uint64(29)
        return value * _LAST_FACTOR


@dataclass(frozen=True)
class Table:
    """Counts by hash.

    Parameters
    ----------
    keys
        Ascending, shape (m,).
    counts
        Shape (m, k).
    """

    keys: HashArray
    counts: IntArray

    def get(self, keys: HashArray) -> IntArray:
        """Counts of ``keys``, shape (n, k); zeros for those that are not there."""
        if not len(self.keys):
            return np.zeros((len(keys), self.counts.shape[1]), dtype=np.int64)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found: IntArray = self.counts[place] * (self.keys[place] == keys)[:, None]
        return found

    def state(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """Arrays; `table_from` reads them back."""
        return {f"{name}.keys": self.keys, f"{name}.counts": self.counts.astype(np.int32)}


@dataclass(frozen=True)
class KneserNey:
    """Chance of a token after the ones before it.

    Parameters
    ----------
    grams
        For each order from 1 on: n-gram -> its count. Of the highest order that is the number of groups (items) it
        stands in; of a lower one the number of different tokens before it.
    contexts
        For each order: the tokens before -> sum of the counts of n-grams that go on from them, and number of those.
    discounts
        Of each order: what is taken from every count for n-grams that were never seen.
    """

    grams: tuple[Table, ...]
    contexts: tuple[Table, ...]
    discounts: tuple[float, ...]

    @classmethod
    def fit(cls, sequences: Sequences, group: IntArray, order: int) -> "KneserNey":
        """Count n-grams up to ``order``; ``group`` (n,) names the item of each sequence, which counts once."""
        hashes = [sequences.grams(k) for k in range(1, order + 1)]
        counted_by = [*hashes[1:], group[sequences.owner()].astype(np.uint64)]
        grams, contexts, discounts = [], [], []
        for k in range(order):
            first = distinct(hashes[k], counted_by[k])
            keys, place, count = np.unique(hashes[k][first], return_index=True, return_counts=True)
            before = sequences.grams(k, back=1)[first][place]
            known, inverse, kinds = np.unique(before, return_inverse=True, return_counts=True)
            total = np.bincount(inverse, count, minlength=len(known)).astype(np.int64)
            grams.append(Table(keys, count.astype(np.int64)[:, None]))
            contexts.append(Table(known, np.column_stack([total, kinds]).astype(np.int64)))
            once, twice = (float(np.count_nonzero(count == c)) for c in (1, 2))
            discounts.append(float(np.clip((once + 0.5) / (once + 2 * twice + 1.0), *_DISCOUNTS)))
        return cls(tuple(grams), tuple(contexts), tuple(discounts))

    def log_probabilities(self, sequences: Sequences, base: FloatArray) -> FloatArray:
        """Natural logarithm of each token's chance, by models of order 1, 2 ...: shape (orders, m).

        Parameters
        ----------
        sequences
            Of m tokens in all.
        base
            Base probability of each token, without context, shape (m,), > 0.
        """
        chance, found = base, []
        for k, (grams, contexts, discount) in enumerate(zip(self.grams, self.contexts, self.discounts, strict=True)):
            count = grams.get(sequences.grams(k + 1))[:, 0]
            total, kinds = contexts.get(sequences.grams(k, back=1)).T
            seen = (np.maximum(count - discount, 0.0) + discount * kinds * chance) / np.maximum(total, 1)
            chance = np.where(total > 0, seen, chance)
            found.append(np.log(chance))
        return np.stack(found)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays; `from_state` reads them back."""
        arrays: dict[str, npt.NDArray[Any]] = {"discounts": np.array(self.discounts)}
        for name, tables in (("grams", self.grams), ("contexts", self.contexts)):
            for k, table in enumerate(tables):
                arrays |= table.state(f"{name}.{k}")
        return arrays

    @classmethod
    def from_state(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "KneserNey":
        """Model from what `state` gave.

        Raises
        ------
        ValueError
            If the arrays are no such model.
        """
        discounts = tuple(map(float, arrays["discounts"]))
        grams, contexts = (
            tuple(table_from(arrays, f"{name}.{k}", width) for k in range(len(discounts)))
            for name, width in (("grams", 1), ("contexts", 2))
        )
        if not discounts or not all(0.0 < discount < 1.0 for discount in discounts):
            raise ValueError("a discount is not between 0 and 1")
        return cls(grams, contexts, discounts)


def table_from(arrays: Mapping[str, npt.NDArray[Any]], name: str, width: int) -> Table:
    """Table from what `Table.state` gave under this name.

    Raises
    ------
    ValueError
        If the arrays are no table of ``width`` counts.
    """
    keys, counts = arrays[f"{name}.keys"], arrays[f"{name}.counts"].astype(np.int64)
    if keys.dtype != np.uint64 or counts.shape != (len(keys), width) or (counts < 0).any():
        raise ValueError(f"{name} is no table of counts")
    if (keys[1:] <= keys[:-1]).any():
        raise ValueError(f"the keys of {name} do not ascend")
    return Table(keys, counts)


def distinct(first: HashArray, second: HashArray) -> IntArray:
    """Place of one occurrence of each distinct pair."""
    order = np.lexsort((second, first))
    a, b = first[order], second[order]
    return order[np.concatenate([[True], (a[1:] != a[:-1]) | (b[1:] != b[:-1])])] if len(order) else order
