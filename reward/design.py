"""Columns of the linear models: step functions of the dense features, by category where the context may matter.

A feature with edges e_1 < ... < e_B becomes B columns [x >= e_b]. Under a ridge prior on their coefficients the
fitted function is a random walk over the bins: smooth, of any shape, and constant beyond the outermost edges.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .features import FeatureBlock, TitleFeatures

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MAX_EDGES = 10
MAX_CATEGORY_EDGES = 5  # one category has fewer titles to learn a curve from
_BY_CATEGORY = ("place of ", "length: display width", "count: words", "fields mentioned")
_LEFT_OUT = ("length: characters", "share of words nothing supports", "share of repeated words")


@dataclass(frozen=True)
class Term:
    """Step columns of one feature.

    Parameters
    ----------
    feature
        Column of `FeatureBlock.dense`.
    edges
        Rising thresholds, shape (n_edges,).
    category
        Column of `FeatureBlock.categories` whose every value has coefficients of its own; None for all items alike.
    n_values
        Values of that category field (1 without).
    group
        Name of the group of coefficients that share one prior variance.
    """

    feature: int
    edges: tuple[float, ...]
    category: int | None
    n_values: int
    group: str

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.edges) * self.n_values


@dataclass(frozen=True)
class Design:
    """The terms, in column order."""

    terms: tuple[Term, ...]

    @classmethod
    def fit(cls, features: TitleFeatures, block: FeatureBlock) -> "Design":
        """Choose edges at quantiles of the train titles' values; constant features have no term."""
        terms: list[Term] = []
        n_dense = len(features.names) - len(features.vocabulary.numerics)
        for j, name in enumerate(features.names[:n_dense]):
            edges = _edges(block.dense[:, j])
            if not edges or name in _LEFT_OUT:
                continue
            terms.append(Term(j, edges, None, 1, _group(name)))
            if not name.startswith(_BY_CATEGORY):
                continue
            for values in list(features.vocabulary.categories.values())[:1]:
                few = _edges(block.dense[:, j], MAX_CATEGORY_EDGES)
                terms.append(Term(j, few, 0, len(values), f"{_group(name)} by category"))
        return cls(tuple(terms))

    @property
    def width(self) -> int:
        """Number of columns of all terms."""
        return sum(term.width for term in self.terms)

    def groups(self) -> list[str]:
        """Group of each column, length ``width``."""
        return [term.group for term in self.terms for _ in range(term.width)]

    def matrix(self, block: FeatureBlock) -> sp.csr_matrix:
        """Step columns of the pairs, shape (n, width), zeros and ones."""
        n = len(block)
        rows, columns, offset = [], [], 0
        for term in self.terms:
            code, value = _codes(term, block)
            row = np.repeat(np.arange(n), code)
            step = np.arange(len(row)) - np.repeat(np.cumsum(code) - code, code)
            rows.append(row)
            columns.append(offset + np.repeat(value, code) * len(term.edges) + step)
            offset += term.width
        row = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
        column = np.concatenate(columns) if columns else np.zeros(0, dtype=np.int64)
        ones = np.ones(len(row), dtype=np.float32)
        return sp.coo_matrix((ones, (row, column)), shape=(n, self.width)).tocsr()

    def scores(self, block: FeatureBlock, coefficients: npt.NDArray[Any]) -> FloatArray:
        """``matrix(block) @ coefficients`` by table look-up; ``coefficients`` has shape (width, k)."""
        k = coefficients.shape[1]
        total = np.zeros((len(block), k))
        offset = 0
        for term in self.terms:
            steps = coefficients[offset : offset + term.width].reshape(term.n_values, len(term.edges), k)
            table = np.zeros((term.n_values, len(term.edges) + 1, k))
            np.cumsum(steps, axis=1, out=table[:, 1:])
            code, value = _codes(term, block)
            total += table[value, code]
            offset += term.width
        return total

    def to_json(self) -> list[dict[str, Any]]:
        """Plain JSON types; `from_json` reads it back."""
        return [
            {
                "feature": t.feature,
                "edges": list(t.edges),
                "category": t.category,
                "n_values": t.n_values,
                "group": t.group,
            }
            for t in self.terms
        ]

    @classmethod
    def from_json(cls, data: Sequence[Mapping[str, Any]]) -> "Design":
        """Design written by `to_json`."""
        return cls(
            tuple(
                Term(int(t["feature"]), tuple(map(float, t["edges"])), t["category"], int(t["n_values"]), t["group"])
                for t in data
            )
        )


def _group(name: str) -> str:
    return name.split(" of ")[0] if name.startswith(("place of ", "rank of ")) else "look"


def _edges(values: npt.NDArray[np.float32], most: int = MAX_EDGES) -> tuple[float, ...]:
    """At most ``most`` thresholds: between all distinct values where they are few, else at quantiles."""
    finite = values[~np.isnan(values)].astype(np.float64)
    if not len(finite):
        return ()
    distinct = np.unique(finite)
    if len(distinct) > most + 1:
        shares = np.concatenate([np.linspace(0, 1, most + 1)[:-1], [1 - 0.5 / most, 1.0]])
        distinct = np.unique(np.quantile(finite, shares, method="nearest"))
    # Halfway between neighbours, so that rounding never moves a value over an edge.
    middle = (distinct[1:] + distinct[:-1]) / 2
    return tuple(float(edge) for edge in middle)


def _codes(term: Term, block: FeatureBlock) -> tuple[IntArray, IntArray]:
    """Number of edges each pair reaches, and its category value (0 where the term has none)."""
    x = block.dense[:, term.feature]
    code = np.searchsorted(np.asarray(term.edges), np.nan_to_num(x, nan=-np.inf), side="right")
    if term.category is None:
        return code, np.zeros(len(x), dtype=np.int64)
    value = block.categories[:, term.category]
    # An unknown category takes the effects common to all.
    return np.where(value >= 0, code, 0), np.maximum(value, 0)
