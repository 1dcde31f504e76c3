"""The wording of titles in few dimensions: the directions in which titles of one item differ most.

A singular value decomposition of the n-grams after taking off each item's average title. What all titles of an item
share says nothing about their differences, so no dimension is spent on it (Deerwester et al. 1990, within items).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from ..arrays import Float32Array, FloatArray, IntArray
from ..features import ngrams
from ..features.transformer import FeatureBlock, TitleFeatures
from .linear import ArmCounts

MAX_RANK = 200
_ARMS_PER_DIMENSION = 8
_REFERENCES = 4000  # logged titles kept to measure nearness against


@dataclass(frozen=True)
class Embedding:
    """Projection of the n-grams, and the logged titles in it.

    Parameters
    ----------
    used
        N-gram columns with a weight, shape (m,).
    directions
        Shape (m, rank); a title's coordinates have mean square one over the logged titles' within-item differences.
    stretch
        Factor from n-gram space to coordinates: a prior variance v of the coordinates' coefficients is one of
        ``v * stretch ** 2`` of the n-grams'.
    references
        Unit vectors of logged titles, shape (n_references, rank).
    bandwidth
        Cosine distance to the nearest title of another item that 90% of the logged titles stay within.
    """

    used: IntArray
    directions: Float32Array
    stretch: float
    references: Float32Array
    bandwidth: float

    @classmethod
    def fit(
        cls, features: TitleFeatures, block: FeatureBlock, rows: ArmCounts, *, rng: np.random.Generator
    ) -> tuple["Embedding", FloatArray]:
        """Embedding of the logged titles and their coordinates, shape (n, rank)."""
        matrix = _grams(features, block)
        counts = np.maximum(rows.item_sum(np.ones(len(block))), 1.0)
        average = sp.csr_matrix(
            (1.0 / counts[rows.item], (rows.item, np.arange(len(block)))), shape=(rows.n_items, len(block))
        )
        means = (average @ matrix).tocsr()
        centred = (matrix - means[rows.item]).tocsr()
        used = np.unique(matrix.indices)
        rank = max(1, min(MAX_RANK, len(block) // _ARMS_PER_DIMENSION, len(used) - 1))
        _, scale, directions = randomized_svd(centred[:, used], rank, n_iter=3, random_state=int(rng.integers(2**31)))
        sound = scale > 1e-6 * max(float(scale[0]), 1e-12)
        # All directions keep their own size: a ridge on them is a ridge on the n-grams.
        stretch = float(np.sqrt(len(block) / max(float(np.sum(scale**2)), 1e-12)))
        directions = directions[sound].T * stretch
        fitted = cls(used, directions.astype(np.float32), stretch, np.zeros((0, directions.shape[1]), np.float32), 1.0)
        coordinates = fitted.transform(features, block)
        references, bandwidth = _neighbourhood(coordinates, rows, rng)
        return cls(used, fitted.directions, stretch, references, bandwidth), coordinates

    def transform(self, features: TitleFeatures, block: FeatureBlock) -> FloatArray:
        """Coordinates of each title, shape (n, rank)."""
        out: FloatArray = np.asarray(_grams(features, block)[:, self.used] @ self.directions, dtype=np.float64)
        return out

    def scores(self, features: TitleFeatures, block: FeatureBlock, coefficients: FloatArray) -> FloatArray:
        """``transform(features, block) @ coefficients``, shape (n,), by one weight an n-gram."""
        out: FloatArray = _grams(features, block)[:, self.used] @ (self.directions @ coefficients)
        return out

    def nearness(self, features: TitleFeatures, block: FeatureBlock) -> FloatArray:
        """1 for titles within the bandwidth of a logged one, falling to 0 with the distance beyond, shape (n,)."""
        if not len(self.references):
            return np.ones(len(block))
        distance = _distance(_unit(self.transform(features, block)), self.references)
        return np.exp(-np.maximum(distance - self.bandwidth, 0.0) / max(self.bandwidth, 0.05))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays; `from_state` reads them back."""
        return {
            "used": self.used,
            "directions": self.directions,
            "stretch": np.array(self.stretch),
            "references": self.references,
            "bandwidth": np.array(self.bandwidth),
        }

    @classmethod
    def from_state(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "Embedding":
        """Embedding from what `state` gave."""
        return cls(
            arrays["used"],
            arrays["directions"],
            float(arrays["stretch"]),
            arrays["references"],
            float(arrays["bandwidth"]),
        )


def _grams(features: TitleFeatures, block: FeatureBlock) -> sp.csr_matrix:
    parts = [
        ngrams.to_matrix(block.words, features.word_idf),
        ngrams.to_matrix(block.characters, features.character_idf),
    ]
    return sp.hstack(parts, format="csr")


def _neighbourhood(coordinates: FloatArray, rows: ArmCounts, rng: np.random.Generator) -> tuple[Float32Array, float]:
    """Reference titles and the distance within which logged titles find one of another item."""
    chosen = np.sort(rng.permutation(len(coordinates))[:_REFERENCES])
    unit = _unit(coordinates)
    references = unit[chosen]
    probes = rng.permutation(len(coordinates))[:1000]
    similarity = unit[probes] @ references.T
    similarity[rows.item[probes][:, None] == rows.item[chosen][None, :]] = -1.0
    return references, float(np.quantile(1.0 - similarity.max(axis=1), 0.9))


def _unit(coordinates: FloatArray) -> Float32Array:
    norm = np.linalg.norm(coordinates, axis=1, keepdims=True)
    unit: Float32Array = (coordinates / np.maximum(norm, 1e-12)).astype(np.float32)
    return unit


def _distance(unit: Float32Array, references: Float32Array, chunk: int = 4096) -> FloatArray:
    """Cosine distance of each row to its nearest reference, shape (n,)."""
    out = np.empty(len(unit))
    for start in range(0, len(unit), chunk):
        out[start : start + chunk] = 1.0 - (unit[start : start + chunk] @ references.T).max(axis=1)
    return out
