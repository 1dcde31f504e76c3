"""Columns of the linear models: step functions of the dense features, by category where the context may matter.

A feature with edges e_1 < ... < e_B becomes B columns [x >= e_b]. Under a ridge prior on their coefficients the
fitted function is a random walk over the bins: smooth, of any shape, and constant beyond the outermost edges. The
mentions of a title add up: each is worth something for its field, and more the earlier it stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ..arrays import Float32Array, FloatArray, IntArray
from ..features.transformer import FeatureBlock, TitleFeatures
from ..plain import JsonObject

MAX_EDGES = 10
_PLACE_EDGES = 6
_BY_CATEGORY = ("length: display width",)
_FAULTS = (  # faults that shoppers may punish much harder than any look of a title
    "count: words nothing supports",
    "count: words never seen in titles",
    "count: wrong claims",
    "count: claims on a field the item lacks",
    "count: repeated words",
    "count: values repeated",
    "share of character triples never seen",
    "count: word pairs never seen",
    "count: unusual mentions",
)
_LEFT_OUT = (
    "length: characters",
    "share of words nothing supports",
    "share of repeated words",
    "share of word pairs never seen",
)


@dataclass(frozen=True)
class Term:
    """Step columns [x >= edge] of one feature.

    Parameters
    ----------
    feature
        Column of `FeatureBlock.dense`.
    edges
        Rising thresholds, shape (n_edges,).
    n_values
        Values of the category field where each has coefficients of its own, 1 where all items share them.
    group
        Name of the group of coefficients that share one prior variance.
    """

    feature: int
    edges: tuple[float, ...]
    n_values: int
    group: str

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.edges) * self.n_values


@dataclass(frozen=True)
class MentionTerm:
    """Columns that count mentions: all of them, and those that begin before each edge.

    Parameters
    ----------
    edges
        Rising offsets; a mention before edge b counts in column b, so early mentions add up over the edges.
    by
        "any": all mentions count together; "slot", "value": each slot or frequent value has columns of its own.
    n_kinds
        Number of slots or values, 1 where all count together.
    n_values
        As in `Term`.
    group
        Name of the groups: ``group`` for being mentioned, ``group + " early"`` for the edges.
    """

    edges: tuple[float, ...]
    by: str
    n_kinds: int
    n_values: int
    group: str

    @property
    def width(self) -> int:
        """Number of columns."""
        return (1 + len(self.edges)) * self.n_kinds * self.n_values


@dataclass(frozen=True)
class Design:
    """The terms, in column order: steps, then mentions.

    Parameters
    ----------
    terms, mentions
        The terms.
    category
        Column of `FeatureBlock.categories` that the terms with several ``n_values`` go by.
    """

    terms: tuple[Term, ...]
    mentions: tuple[MentionTerm, ...]
    category: int

    @classmethod
    def fit(cls, features: TitleFeatures, block: FeatureBlock, category: int | None = None) -> "Design":
        """Choose edges at quantiles of the train titles' values; constant features have no term.

        ``category`` is the category field whose every value gets effects of its own, None for no such field.
        """
        values = list(features.vocabulary.categories.values())
        n_values = 0 if category is None else len(values[category])
        terms: list[Term] = []
        for j, name in enumerate(features.names):
            if name in _LEFT_OUT or name.startswith(("place of ", "rank of ")) or name in features.vocabulary.numerics:
                continue
            edges = _edges(block.dense[:, j], MAX_EDGES)
            if not edges:
                continue
            terms.append(Term(j, edges, 1, "fault" if name in _FAULTS else "look"))
            if name in _BY_CATEGORY and n_values:
                terms.append(Term(j, edges, n_values, "look by category"))
        mentions: list[MentionTerm] = []
        n_slots = len(features.vocabulary.slots) + 1
        if len(block.offset):
            edges = _edges(block.offset, _PLACE_EDGES)
            mentions.append(MentionTerm(edges, "any", 1, 1, "any mention"))
            mentions.append(MentionTerm(edges, "slot", n_slots, 1, "mention"))
            if features.vocabulary.values:
                mentions.append(MentionTerm((), "value", len(features.vocabulary.values), 1, "value"))
            if n_values:
                mentions.append(MentionTerm(edges, "slot", n_slots, n_values, "mention by category"))
        return cls(tuple(terms), tuple(mentions), category or 0)

    @property
    def width(self) -> int:
        """Number of columns of all terms."""
        return sum(term.width for term in self.terms) + sum(term.width for term in self.mentions)

    def groups(self) -> list[str]:
        """Group of each column, length ``width``."""
        names = [term.group for term in self.terms for _ in range(term.width)]
        for mention in self.mentions:
            slots = mention.n_kinds * mention.n_values
            names += ([mention.group] + [f"{mention.group} early"] * len(mention.edges)) * slots
        return names

    def columns_of(self, features: Sequence[int]) -> IntArray:
        """Columns of the steps of these dense features."""
        ends = np.cumsum([term.width for term in self.terms]).tolist()
        spans = [
            np.arange(end - term.width, end)
            for term, end in zip(self.terms, ends, strict=True)
            if term.feature in features
        ]
        return np.concatenate([np.zeros(0, dtype=np.int64), *spans])

    def matrix(self, block: FeatureBlock) -> sp.csr_matrix:
        """Columns of the pairs, shape (n, width): zeros, ones and counts of mentions."""
        n = len(block)
        rows, columns, offset = [], [], 0
        for term in self.terms:
            code, value = self._codes(term, block)
            rows.append(np.repeat(np.arange(n), code))
            columns.append(offset + np.repeat(value, code) * len(term.edges) + _within(code))
            offset += term.width
        for mention in self.mentions:
            row, first, early = self._mentioned(mention, block)
            # Columns of one slot: being mentioned, then the edges from the last to the first.
            rows.append(np.repeat(row, 1 + early))
            columns.append(offset + np.repeat(first, 1 + early) + _within(1 + early))
            offset += mention.width
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
            code, value = self._codes(term, block)
            total += table[value, code]
            offset += term.width
        for mention in self.mentions:
            steps = coefficients[offset : offset + mention.width].reshape(-1, 1 + len(mention.edges), k)
            row, first, early = self._mentioned(mention, block)
            worth = np.cumsum(steps, axis=1)[first // (1 + len(mention.edges)), early]
            for j in range(k):
                total[:, j] += np.bincount(row, weights=worth[:, j], minlength=len(block))
            offset += mention.width
        return total

    def to_json(self) -> JsonObject:
        """Plain JSON types; `from_json` reads it back."""
        return {
            "terms": [asdict(t) for t in self.terms],
            "mentions": [asdict(m) for m in self.mentions],
            "category": self.category,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Design":
        """Design written by `to_json`."""
        return cls(
            tuple(Term(**{**t, "edges": tuple(map(float, t["edges"]))}) for t in data["terms"]),
            tuple(MentionTerm(**{**m, "edges": tuple(map(float, m["edges"]))}) for m in data["mentions"]),
            int(data["category"]),
        )

    def _codes(self, term: Term, block: FeatureBlock) -> tuple[IntArray, IntArray]:
        """Number of edges each pair reaches, and its category value (0 where the term has none)."""
        x = block.dense[:, term.feature]
        code = np.searchsorted(np.asarray(term.edges), np.nan_to_num(x, nan=-np.inf), side="right")
        if term.n_values == 1:
            return code, np.zeros(len(x), dtype=np.int64)
        value = block.categories[:, self.category]
        # An unknown category takes the effects common to all.
        return np.where(value >= 0, code, 0), np.maximum(value, 0)

    def _mentioned(self, term: MentionTerm, block: FeatureBlock) -> tuple[IntArray, IntArray, IntArray]:
        """Title, first column and number of edges it stands before, of each mention that has columns in this term."""
        early = len(term.edges) - np.searchsorted(np.asarray(term.edges), block.offset, side="right")
        kind = {"any": np.zeros_like(block.slot), "slot": block.slot, "value": block.value}[term.by]
        value = np.zeros_like(kind) if term.n_values == 1 else block.categories[block.row, self.category]
        kept = (value >= 0) & (kind >= 0)
        first = (value * term.n_kinds + kind) * (1 + len(term.edges))
        return block.row[kept], first[kept], early[kept]


def _edges(values: Float32Array, most: int) -> tuple[float, ...]:
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


def _within(count: IntArray) -> IntArray:
    """0, 1, ... count[0] - 1, 0, 1, ... count[1] - 1, ..."""
    return np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
