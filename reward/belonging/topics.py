"""Directions in which words go together, learned from the items: "trousers" is then near to "jeans".

Correspondence analysis of the words that items hold (Greenacre 1984: latent semantic analysis with items and words
balanced), then a turn and scaling after which texts of one item lie close and those of different items far apart
(within-class covariance normalisation, Hatch, Kajarekar and Stolcke 2006).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from .grams import of_items

Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_RANK = 200
_MAX_ITEMS = 5_000  # used to learn directions
_COMMON = 0.2  # share of items above which a word says nothing of one
_BALANCE = 0.25  # power of a word's frequency; measured on headlines and catalogues between 0 (none) and 0.5 (all)
_SHRINKAGE = 0.3  # of the covariance within items to a multiple of the identity


@dataclass(frozen=True)
class Topics:
    """Projection of word sets.

    Parameters
    ----------
    buckets
        Word buckets that have a direction, ascending, shape (v,).
    directions
        Of each such word, shape (v, k).
    centers
        Average place of the texts of each kind, shape (n_kinds, k).
    scaling
        Turn and scaling, shape (k, k).
    """

    buckets: IntArray
    directions: Float32Array
    centers: Float32Array
    scaling: Float32Array

    @classmethod
    def fit(
        cls, words: sp.csr_matrix, owner: IntArray, kind: IntArray, idf: Float32Array, rng: np.random.Generator
    ) -> "Topics":
        """Learn directions.

        Parameters
        ----------
        words
            Word sets of n texts, shape (n, n_buckets).
        owner, kind
            Item of each text, and its kind: 0, 1 ..., as in ``centers``; both of shape (n,).
        idf
            Weight of each bucket, shape (n_buckets,).
        rng
            Draws the items that are read, and starts the decomposition.
        """
        held = of_items(words, owner, int(owner.max()) + 1)
        if held.shape[0] > _MAX_ITEMS:
            held = held[np.sort(rng.choice(held.shape[0], _MAX_ITEMS, replace=False))]
        frequency = np.bincount(held.indices, minlength=held.shape[1])
        buckets = np.flatnonzero((frequency >= 2) & (frequency <= max(_COMMON * held.shape[0], 2)))
        rank = min(_RANK, len(buckets) - 1, held.shape[0] - 1)
        if rank < 1:
            return cls.nothing(int(kind.max()) + 1)
        table = held[:, buckets]
        per_word = frequency[buckets] ** -_BALANCE
        per_item = np.maximum(np.asarray(table.sum(axis=1)).ravel(), 1.0) ** -0.5
        balanced = sp.diags(per_item) @ table @ sp.diags(per_word)
        right = randomized_svd(balanced, rank, n_iter=3, random_state=int(rng.integers(1 << 31)))[2]
        directions = (right.T * (per_word * idf[buckets])[:, None]).astype(np.float32)
        places = unit(words[:, buckets] @ directions)
        return cls(buckets, directions, *_within(places, owner, kind))

    @classmethod
    def nothing(cls, n_kinds: int) -> "Topics":
        """No direction: where no word stands in two items."""
        zeros = np.zeros((0, 0), np.float32)
        return cls(np.zeros(0, np.int64), zeros, np.zeros((n_kinds, 0), np.float32), zeros)

    def transform(self, words: sp.csr_matrix, kind: int) -> Float32Array:
        """Place of each text, of length one, shape (n, k); zeros for a text of no known word."""
        places = unit(words[:, self.buckets] @ self.directions)
        known = np.any(places, axis=1, keepdims=True)
        return unit(((places - self.centers[kind]) @ self.scaling) * known)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays; `from_state` reads them back."""
        return {name: getattr(self, name) for name in ("buckets", "directions", "centers", "scaling")}

    @classmethod
    def from_state(cls, arrays: Mapping[str, npt.NDArray[Any]], n_buckets: int) -> "Topics":
        """Topics from what `state` gave.

        Raises
        ------
        ValueError
            If the arrays do not fit together.
        """
        topics = cls(*(arrays[name] for name in ("buckets", "directions", "centers", "scaling")))
        v, k = topics.directions.shape
        if topics.buckets.shape != (v,) or topics.centers.shape[1:] != (k,) or topics.scaling.shape != (k, k):
            raise ValueError("the topics' arrays do not fit together")
        if v and not 0 <= topics.buckets.min() <= topics.buckets.max() < n_buckets:
            raise ValueError(f"a topic's bucket is not below {n_buckets}")
        return topics


def unit(places: npt.NDArray[Any]) -> Float32Array:
    """Rows of length one; rows of zeros stay."""
    length = np.linalg.norm(places, axis=1, keepdims=True)
    out: Float32Array = (places / np.maximum(length, 1e-12)).astype(np.float32)
    return out


def _within(places: Float32Array, owner: IntArray, kind: IntArray) -> tuple[Float32Array, Float32Array]:
    """Center of each kind, and what makes the covariance within items the identity."""
    known = np.any(places, axis=1)
    n_kinds = int(kind.max()) + 1
    places, owner, kind = places[known], owner[known], kind[known]
    totals = np.stack([places[kind == k].sum(axis=0) for k in range(n_kinds)])
    centers = totals / np.maximum(np.bincount(kind, minlength=n_kinds), 1)[:, None]
    centred = (places - centers[kind]).astype(np.float64)
    count = np.bincount(owner)
    sums = np.zeros((len(count), places.shape[1]))
    np.add.at(sums, owner, centred)
    within = centred - (sums / np.maximum(count, 1)[:, None])[owner]
    covariance = within.T @ within / max(len(places) - int(np.count_nonzero(count)), 1)
    size = max(float(np.trace(covariance)) / len(covariance), 1e-12)
    covariance = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * size * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance)
    return centers.astype(np.float32), (vectors / np.sqrt(values)).astype(np.float32)
