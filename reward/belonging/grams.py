"""The units that titles are compared by: character n-grams of lengths that suit the script, and stemmed words."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ..features.charset import CLASSES, Characters
from ..features.ngrams import rolling_hash, word_grams
from ..features.phrases import stems, units
from ..text import same_text_key

UintArray = npt.NDArray[np.uint32]
IntArray = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]

CHARACTER_BUCKETS = 1 << 20
WORD_BUCKETS = 1 << 18
MAX_CHARACTERS = 20_000  # of one text that are read
_SPACED = (3, 4, 5)  # of scripts that set blanks between words
_CJK = (1, 2, 3)  # a CJK character says about as much as half a word
_CJK_CLASS = CLASSES.index("cjk")


def character_matrix(texts: Sequence[str]) -> sp.csr_matrix:
    """Character n-grams of each text as a sparse matrix of ones, shape (n, `CHARACTER_BUCKETS`).

    An n-gram with a CJK character in it is 1 to 3 characters long, any other 3 to 5; a word's first and last ones hold
    the blank beside it.
    """
    texts = [same_text_key(text[:MAX_CHARACTERS]) for text in texts]
    n = len(texts)
    characters = Characters.of(texts)
    codes = np.concatenate([[ord(" ")], characters.codes]).astype(np.uint32)
    cjk = np.concatenate([[0], np.cumsum(np.concatenate([[False], characters.classes() == _CJK_CLASS]))])
    rows, hashes = [], []
    for order in sorted({*_SPACED, *_CJK}):
        room = np.maximum(characters.lengths + 2 - order + 1, 0)
        room[characters.lengths == 0] = 0
        place = np.repeat(characters.starts, room) + np.arange(room.sum()) - np.repeat(np.cumsum(room) - room, room)
        holds_cjk = cjk[place + order] > cjk[place]
        wanted = holds_cjk & (order in _CJK) | ~holds_cjk & (order in _SPACED)
        rows.append(np.repeat(np.arange(n), room)[wanted])
        hashes.append(rolling_hash(codes, order, 64 + order)[place[wanted]])
    return _ones(np.concatenate(rows), np.concatenate(hashes), n, CHARACTER_BUCKETS)


def word_matrix(texts: Sequence[str]) -> sp.csr_matrix:
    """Stemmed words and pairs of CJK characters of each text: a matrix of ones, shape (n, `WORD_BUCKETS`)."""
    return _word_matrix([stems(text, MAX_CHARACTERS) for text in texts])


def halves_matrices(texts: Sequence[str], at: float = 0.5) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Make `word_matrix` of each text's words before and after a cut, the share ``at`` of them before it."""
    tokens = [stems(text, MAX_CHARACTERS) for text in texts]
    middle = [math.ceil(at * len(own)) for own in tokens]
    first = [own[:m] for own, m in zip(tokens, middle, strict=True)]
    return _word_matrix(first), _word_matrix([own[m:] for own, m in zip(tokens, middle, strict=True)])


def of_items(held: sp.csr_matrix, owner: IntArray, n_items: int) -> sp.csr_matrix:
    """Union of the n-grams of each item's texts: ones, shape (n_items, n_buckets)."""
    which = sp.csr_matrix(
        (np.ones(len(owner), np.float32), (owner, np.arange(len(owner)))), shape=(n_items, len(owner))
    )
    together = (which @ held).tocsr()
    together.data[:] = 1.0
    return together


def inverse_frequency(held: sp.csr_matrix, owner: IntArray, n_items: int) -> Float32Array:
    """log((1 + items) / (1 + items that hold it)) + 1 of each bucket."""
    frequency = np.bincount(of_items(held, owner, n_items).indices, minlength=held.shape[1])
    idf: Float32Array = (np.log((1.0 + n_items) / (1.0 + frequency)) + 1.0).astype(np.float32)
    return idf


def _word_matrix(tokens: Sequence[list[str]]) -> sp.csr_matrix:
    grams = word_grams([own if "".join(own).isascii() else units(own) for own in tokens], (1,))
    return _ones(grams.text_index(), grams.hashes, len(tokens), WORD_BUCKETS)


def _ones(row: IntArray, hashes: UintArray, n: int, n_buckets: int) -> sp.csr_matrix:
    """Ones where a text (row) holds a hash."""
    key = np.sort(row * np.int64(n_buckets) + hashes % np.uint32(n_buckets))
    key = key[np.concatenate([[True], key[1:] != key[:-1]])] if len(key) else key
    ends = np.concatenate([[0], np.cumsum(np.bincount(key // n_buckets, minlength=n))])
    ones = np.ones(len(key), np.float32)
    return sp.csr_matrix((ones, (key % n_buckets).astype(np.int32), ends.astype(np.int32)), shape=(n, n_buckets))
