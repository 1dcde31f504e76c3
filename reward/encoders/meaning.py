"""Meaning of titles in few dimensions: an encoder's vectors, rotated to where titles of one item differ most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import Float32Array, FloatArray, IntArray
from ..plain import JsonObject
from .encoder import Encoder

MAX_RANK = 128
_ARMS_PER_DIMENSION = 8


@dataclass(frozen=True)
class Meaning:
    """Projection of an encoder's vectors, part by part.

    Parameters
    ----------
    encoder
        Source of the vectors.
    center
        Average vector of the train titles, shape (width,).
    directions
        For each part its directions, shape (part width, rank). Within items, the coordinates of a part have a mean
        square of one in total, so that a prior variance means the same for all.
    """

    encoder: Encoder
    center: Float32Array
    directions: tuple[Float32Array, ...]

    @classmethod
    def fit(cls, encoder: Encoder, titles: Sequence[str], item_index: IntArray) -> "Meaning":
        """Principal directions of the differences between titles of one item."""
        vectors = encoder.encode(titles)
        counts = np.bincount(item_index, minlength=int(item_index.max()) + 1)
        several = counts[item_index] > 1
        rank = max(1, min(MAX_RANK, int(several.sum()) // _ARMS_PER_DIMENSION))
        directions = []
        start = 0
        for part in encoder.parts:
            own = vectors[:, start : start + part.width].astype(np.float64)
            means = np.zeros((len(counts), part.width))
            np.add.at(means, item_index, own)
            within = (own - (means / np.maximum(counts, 1)[:, None])[item_index])[several]
            directions.append(_principal(within, rank))
            start += part.width
        return cls(encoder, vectors.mean(axis=0), tuple(directions))

    @property
    def groups(self) -> list[str]:
        """Name of the part that each coordinate comes from."""
        return [
            f"meaning: {part.name}"
            for part, directions in zip(self.encoder.parts, self.directions, strict=True)
            for _ in range(directions.shape[1])
        ]

    def transform(self, titles: Sequence[str]) -> Float32Array:
        """Coordinates of each title, shape (n, rank of all parts)."""
        vectors = self.encoder.encode(titles) - self.center
        ends = np.cumsum([part.width for part in self.encoder.parts])
        parts = np.split(vectors, ends[:-1], axis=1)
        return np.column_stack([own @ directions for own, directions in zip(parts, self.directions, strict=True)])

    def state(self) -> tuple[JsonObject, dict[str, npt.NDArray[Any]]]:
        """JSON part and arrays; `from_state` reads them back."""
        arrays: dict[str, npt.NDArray[Any]] = {"center": self.center}
        arrays |= {f"directions.{k}": own for k, own in enumerate(self.directions)}
        return {"encoder": self.encoder.spec, "fingerprint": self.encoder.fingerprint}, arrays

    @classmethod
    def from_state(cls, arrays: Mapping[str, npt.NDArray[Any]], encoder: Encoder) -> "Meaning":
        """Projection from what `state` gave, and the encoder it was fitted with."""
        return cls(encoder, arrays["center"], tuple(arrays[f"directions.{k}"] for k in range(len(encoder.parts))))


def _principal(within: FloatArray, rank: int) -> Float32Array:
    """Directions of largest variance, each at its own size; all together of mean square one."""
    values, directions = np.linalg.eigh(within.T @ within / max(len(within), 1))
    chosen = np.argsort(values)[::-1][:rank]
    total = float(np.maximum(values[chosen], 0.0).sum())
    scaled: Float32Array = (directions[:, chosen] / np.sqrt(max(total, 1e-12))).astype(np.float32)
    return scaled
