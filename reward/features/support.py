"""Support: the distance of a title from everything logged, and its penalty.

Trees and step functions are constant beyond the logged titles, so an empty title, a heap of keywords or a made-up
word would keep the effect of the last title like it. A policy would find those. Beyond the range of the logged titles
the effect therefore falls, by one standard deviation of the logged effects per standard deviation of the feature.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import Float32Array, FloatArray, IntArray

_LEAST_TITLES = 5  # this many logged titles, or this share of them, must be as extreme for a value to count as logged
_LEAST_SHARE = 0.0005
_MOST_PER_FEATURE = 6.0
_LEAST_PACE = 0.1  # log-odds per standard deviation, where the logged titles hardly differ in effect
# Feature -> (falls below the range too, smallest standard deviation).
_WATCHED: Mapping[str, tuple[bool, float]] = {
    "count: words": (True, 1.0),
    "length: display width": (True, 4.0),
    "share of words nothing supports": (False, 0.1),
    "count: words nothing supports": (False, 1.0),
    "count: words never seen in titles": (False, 0.5),
    "share of character triples never seen": (False, 0.1),
    "share of word pairs never seen": (False, 0.1),
    "count: word pairs never seen": (False, 1.0),
    "count: unusual mentions": (False, 0.5),
    "count: wrong claims": (False, 0.5),
    "count: generic words": (False, 1.0),
    "share of generic words": (False, 0.1),
    "count: repeated words": (False, 1.0),
    "share of repeated words": (False, 0.05),
    "count: values repeated": (False, 0.5),
    "count: values mentioned": (False, 1.0),
    "fields mentioned": (True, 1.0),
    "share of capitals": (False, 0.1),
    "count: exclamation": (False, 0.5),
    "count: symbol": (False, 0.5),
}


@dataclass(frozen=True)
class Support:
    """Range of the logged titles in the watched features.

    Parameters
    ----------
    columns
        Positions of the watched features among the dense ones, shape (m,).
    low, high
        Range within which a title is like the logged ones, shape (m,).
    scale
        Standard deviation of the logged titles, shape (m,).
    """

    columns: IntArray
    low: FloatArray
    high: FloatArray
    scale: FloatArray

    @classmethod
    def fit(cls, names: Sequence[str], dense: Float32Array) -> "Support":
        """Range of the logged titles, without the few outermost on either side."""
        columns = np.array([names.index(name) for name in _WATCHED], dtype=np.int64)
        values = dense[:, columns].astype(np.float64)
        two_sided = np.array([both for both, _ in _WATCHED.values()])
        ordered = np.sort(values, axis=0)
        outermost = min(max(_LEAST_TITLES, int(_LEAST_SHARE * len(values))), len(values)) - 1
        low = np.where(two_sided, ordered[outermost], -np.inf)
        high = ordered[len(values) - 1 - outermost]
        least = np.array([smallest for _, smallest in _WATCHED.values()])
        return cls(columns, low, high, np.maximum(values.std(axis=0), least))

    def each(self, dense: Float32Array) -> FloatArray:
        """Standard deviations beyond the logged range in each watched feature, shape (n, m); 0 inside."""
        values = dense[:, self.columns].astype(np.float64)
        beyond = np.maximum(np.maximum(self.low - values, values - self.high), 0.0) / self.scale
        return np.minimum(beyond, _MOST_PER_FEATURE)

    def excess(self, dense: Float32Array) -> FloatArray:
        """Standard deviations beyond the logged range, summed over the features, shape (n,); 0 inside."""
        total: FloatArray = self.each(dense).sum(axis=1)
        return total

    def support(self, dense: Float32Array) -> FloatArray:
        """1 inside the logged range, falling outside, shape (n,)."""
        out: FloatArray = np.exp(-self.excess(dense))
        return out

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays; `from_state` reads them back."""
        return {"columns": self.columns, "low": self.low, "high": self.high, "scale": self.scale}

    @classmethod
    def from_state(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "Support":
        """Support from what `state` gave."""
        return cls(arrays["columns"], arrays["low"], arrays["high"], arrays["scale"])


def pace(effect: FloatArray) -> float:
    """Log-odds lost per standard deviation outside: the spread of the logged titles' effects."""
    return max(float(np.std(effect)), _LEAST_PACE) if len(effect) else _LEAST_PACE
