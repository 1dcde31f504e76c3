"""Hashed n-grams of words and characters, computed for all titles at once.

scikit-learn's HashingVectorizer builds every n-gram as a Python string; here an n-gram is a rolling hash over an
integer array, some fifty times as fast, which is what lets PPO ask for rewards at every step.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np
import scipy.sparse as sp

from ..arrays import Float32Array, FloatArray, IntArray, Uint32Array
from .charset import Characters

_MULTIPLIER = np.uint32(0x9E3779B1)  # Knuth's multiplicative hash
_BLANK = np.uint32(ord(" "))


@lru_cache(maxsize=1 << 18)
def word_hash(word: str) -> int:
    """32-bit hash of a word, the same in every process (unlike Python's own)."""
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True)
class Grams:
    """N-grams of n texts: ``hashes[starts[i]:starts[i + 1]]`` are those of text i."""

    hashes: Uint32Array
    starts: IntArray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def text_index(self) -> IntArray:
        """Text each n-gram belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def take(self, rows: IntArray) -> "Grams":
        """Grams of these texts only."""
        counts = np.diff(self.starts)[rows]
        place = np.repeat(self.starts[rows], counts) + np.arange(counts.sum())
        place -= np.repeat(np.cumsum(counts) - counts, counts)
        return Grams(self.hashes[place], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def _mix(value: Uint32Array) -> Uint32Array:
    value = value ^ (value >> np.uint32(15))
    value = value * np.uint32(0x85EBCA6B)
    return value ^ (value >> np.uint32(13))


def rolling_hash(units: Uint32Array, order: int, seed: int) -> Uint32Array:
    """Hash of the ``order`` units that begin at each place (the last places wrap and are not to be used)."""
    value = np.full(len(units), seed, dtype=np.uint32)
    for shift in range(order):
        value = (value ^ (np.roll(units, -shift) if shift else units)) * _MULTIPLIER
    return _mix(value)


def by_text(parts: list[tuple[Uint32Array, IntArray]], n: int) -> Grams:
    """Join (hashes, text index) parts, ordered by text."""
    hashes = np.concatenate([part[0] for part in parts])
    index = np.concatenate([part[1] for part in parts])
    order = np.argsort(index, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(index, minlength=n))]).astype(np.int64)
    return Grams(hashes[order], starts)


def word_grams(texts: Sequence[Sequence[str]], orders: tuple[int, ...] = (1, 2)) -> Grams:
    """N-grams of word lists; orders above one see a start and an end mark."""
    n = len(texts)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=n)
    hashes = np.fromiter(map(word_hash, chain.from_iterable(texts)), dtype=np.uint32, count=lengths.sum())
    # One mark after each text serves as its end and as the next one's start.
    mark = word_hash("\x00")
    units = np.full(len(hashes) + n + 1, mark, dtype=np.uint32)
    starts = 1 + np.concatenate([[0], np.cumsum(lengths + 1)[:-1]]).astype(np.int64) if n else lengths
    owner = np.repeat(np.arange(n), lengths)
    units[starts[owner] + np.arange(len(hashes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)] = hashes
    ends = starts + lengths
    parts = []
    for order in orders:
        rolled = rolling_hash(units, order, order)
        first = starts if order == 1 else starts - 1
        room = np.maximum(ends - first - order + (1 if order == 1 else 2), 0)
        room[lengths == 0] = 0
        place = np.repeat(first, room) + np.arange(room.sum()) - np.repeat(np.cumsum(room) - room, room)
        parts.append((rolled[place], np.repeat(np.arange(n), room)))
    return by_text(parts, n)


def character_grams(texts: Sequence[str], orders: tuple[int, ...] = (2, 3, 4)) -> Grams:
    """Character n-grams that stay inside a text; a word's first and last n-grams hold the blank beside it."""
    n = len(texts)
    characters = Characters.of(texts)
    codes = np.concatenate([[_BLANK], characters.codes]).astype(np.uint32)  # a blank before the first text too
    parts = []
    for order in orders:
        rolled = rolling_hash(codes, order, 64 + order)
        room = np.maximum(characters.lengths + 2 - order + 1, 0)
        room[characters.lengths == 0] = 0
        place = np.repeat(characters.starts, room) + np.arange(room.sum()) - np.repeat(np.cumsum(room) - room, room)
        parts.append((rolled[place], np.repeat(np.arange(n), room)))
    return by_text(parts, n)


def item_frequency(grams: Grams, item_index: IntArray, n_buckets: int) -> IntArray:
    """Number of distinct items whose texts hold an n-gram of each bucket, shape (n_buckets,)."""
    pairs = item_index[grams.text_index()] * np.int64(n_buckets) + (grams.hashes % np.uint32(n_buckets))
    return np.bincount(np.unique(pairs) % n_buckets, minlength=n_buckets)


def weighted(grams: Grams, idf: Float32Array) -> tuple[IntArray, Float32Array]:
    """Bucket and tf-idf value of every n-gram; the values of one text have Euclidean norm one."""
    bucket = (grams.hashes % np.uint32(len(idf))).astype(np.int64)
    value = idf[bucket]
    norm = np.sqrt(np.maximum(np.bincount(grams.text_index(), weights=value**2, minlength=len(grams)), 1e-12))
    return bucket, (value / np.repeat(norm, np.diff(grams.starts))).astype(np.float32)


def to_matrix(grams: Grams, idf: Float32Array) -> sp.csr_matrix:
    """Sparse matrix of tf-idf values, shape (n, n_buckets); an n-gram that repeats adds up."""
    bucket, value = weighted(grams, idf)
    matrix = sp.csr_matrix((value, bucket, grams.starts), shape=(len(grams), len(idf)))
    matrix.sum_duplicates()
    return matrix


def scores(grams: Grams, idf: Float32Array, weights: Float32Array) -> FloatArray:
    """``to_matrix(grams, idf) @ weights`` without building the matrix; ``weights`` has shape (n_buckets, k)."""
    bucket, value = weighted(grams, idf)
    matrix = sp.csr_matrix((value, bucket, grams.starts), shape=(len(grams), len(idf)))
    return np.asarray(matrix @ weights, dtype=np.float64)
