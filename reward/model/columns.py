"""Columns of the dense Bayesian model: design columns that vary, and the wording's embedding, in groups."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from ..arrays import FloatArray, IntArray
from ..features.transformer import FeatureBlock, TitleFeatures
from .bayes import Posterior, fit_posterior
from .design import Design
from .embedding import Embedding
from .linear import ArmCounts, Centring, Matrix, Noise, solve, working

WORDING = "wording"
BY_CATEGORY = "wording by category"
_MIN_ROWS = 3  # titles in which a column must differ from its commonest value to be kept
_START = {"mention": 0.02, "any mention": 0.01, "fault": 0.03, "look": 0.003, WORDING: 0.003}
_START_MEANING = 0.02
_START_OTHER = 0.0005  # early mentions and deviations of categories
_MOST_BY_CATEGORY = 200  # columns of the wording by category
_FEWEST_DIRECTIONS = 8  # of the wording, for every category to have effects of its own


@dataclass(frozen=True)
class Columns:
    """From feature blocks to the columns of the Bayesian model.

    Parameters
    ----------
    features, design, embedding
        The parts.
    kept
        Columns of the design that vary over the titles it was fitted on.
    wording_by
        Category field whose every value has effects of the wording of its own; None: the same for all items.
    """

    features: TitleFeatures
    design: Design
    embedding: Embedding
    kept: IntArray
    wording_by: int | None = None

    @classmethod
    def fit(
        cls,
        features: TitleFeatures,
        design: Design,
        block: FeatureBlock,
        rows: ArmCounts,
        *,
        rng: np.random.Generator,
        by_category: bool = False,
    ) -> tuple["Columns", Matrix]:
        """Columns for these titles and their values, shape (n, d); ``by_category`` adds wording by category."""
        steps = design.matrix(block)
        varying = np.diff(steps.tocsc().indptr)
        summed = np.asarray(steps.sum(axis=0)).ravel()
        constant = (varying == len(block)) & (summed == len(block))
        nearly_one = (varying > len(block) - _MIN_ROWS) & (summed == varying)
        kept = np.flatnonzero((varying >= _MIN_ROWS) & ~constant & ~nearly_one)
        embedding, embedded = Embedding.fit(features, block, rows, rng=rng)
        matrix = _matrix(steps[:, kept], [embedded], block)
        columns = cls(features, design, embedding, kept)
        if by_category and (field := _wording_by(features, matrix, embedded, block, rows)) is not None:
            columns = replace(columns, wording_by=field)
            matrix = _matrix(steps[:, kept], [embedded, columns.apart(embedded, block)], block)
        return columns, matrix

    def matrix(self, block: FeatureBlock) -> Matrix:
        """Columns of new titles, shape (n, d)."""
        embedded = self.embedding.transform(self.features, block)
        return _matrix(self.design.matrix(block)[:, self.kept], [embedded, self.apart(embedded, block)], block)

    def apart(self, embedded: FloatArray, block: FeatureBlock) -> FloatArray:
        """The first coordinates of the wording, each in the columns of its item's category, shape (n, n_apart)."""
        if self.wording_by is None:
            return np.zeros((len(block), 0))
        return _by_value(embedded[:, : self._n_directions], block.categories[:, self.wording_by], self._n_values)

    @property
    def n_apart(self) -> int:
        """Columns of the wording by category."""
        return self._n_directions * self._n_values

    @property
    def _n_values(self) -> int:
        return 0 if self.wording_by is None else _sizes(self.features)[self.wording_by]

    @property
    def _n_directions(self) -> int:
        return _directions(self.embedding.directions.shape[1], self._n_values)

    def values(self, block: FeatureBlock) -> FloatArray:
        """The same without zeros left out: for few titles."""
        return self.matrix(block).rows(slice(None))

    def scores(self, block: FeatureBlock, coefficients: FloatArray) -> FloatArray:
        """``values(block) @ coefficients``, shape (n,), without the dense columns in memory."""
        n_steps, n_wording = len(self.kept), self.embedding.directions.shape[1]
        sizes = np.cumsum([n_steps, n_wording, self.n_apart])
        steps, wording, apart, meaning = np.split(coefficients, sizes)
        grams = self.embedding.scores(self.features, block, wording)
        if self.wording_by is not None:
            own = apart.reshape(self._n_values, self._n_directions)
            values = block.categories[:, self.wording_by]
            for value in np.unique(values[values >= 0]).tolist():
                of_value = np.zeros(n_wording)
                of_value[: self._n_directions] = own[value]
                grams = grams + np.where(values == value, self.embedding.scores(self.features, block, of_value), 0.0)
        out: FloatArray = self.design.matrix(block)[:, self.kept] @ steps + grams + block.meaning @ meaning
        return out

    def groups(self) -> dict[str, IntArray]:
        """Columns of each group."""
        names = np.array(self.design.groups(), dtype=object)[self.kept].tolist()
        names += [WORDING] * self.embedding.directions.shape[1] + [BY_CATEGORY] * self.n_apart
        names += self.features.meaning.groups if self.features.meaning is not None else []
        return {name: np.flatnonzero([other == name for other in names]) for name in dict.fromkeys(names)}


def _matrix(steps: sp.csr_matrix, wording: Sequence[FloatArray], block: FeatureBlock) -> Matrix:
    return Matrix(steps, np.hstack([*wording, block.meaning]).astype(np.float32))


def _sizes(features: TitleFeatures) -> list[int]:
    """Values of each category field."""
    return [len(values) for values in features.vocabulary.categories.values()]


def _directions(rank: int, n_values: int) -> int:
    """Directions of the wording that each of n values has effects of its own along."""
    return 0 if n_values < 2 else min(rank, _MOST_BY_CATEGORY // n_values)


def _by_value(columns: FloatArray, value: IntArray, n_values: int) -> FloatArray:
    """Columns (n, k) at the place of each row's value, zeros elsewhere, shape (n, n_values * k); -1 is no value."""
    out = np.zeros((len(columns), n_values, columns.shape[1]))
    known = np.flatnonzero(value >= 0)
    out[known, value[known]] = columns[known]
    return out.reshape(len(columns), -1)


def _wording_by(
    features: TitleFeatures, matrix: Matrix, embedded: FloatArray, block: FeatureBlock, rows: ArmCounts
) -> int | None:
    """The category field whose values the clicks most want to have effects of wording of their own; None without one.

    By the score test of `fit_design`. A policy that was optimised goes by what differs between categories, too, and a
    judge without it tells such a policy weaker than it is.
    """
    sizes = _sizes(features)
    rank = embedded.shape[1]
    fields = [f for f, n in enumerate(sizes) if _directions(rank, n) >= min(rank, _FEWEST_DIRECTIONS)]
    if not fields:
        return None
    state = working(rows, np.zeros(len(block)))
    weight = state.weight(Noise())[:, None]
    centring = Centring(rows, weight)
    variance = np.full(matrix.shape[1], _START[WORDING], dtype=np.float32)
    residual = centring.apply(
        state.response[:, None] - matrix @ solve(matrix, centring, weight, state.response, variance)
    )
    scores = []
    for field in fields:
        part = _by_value(embedded[:, : _directions(rank, sizes[field])], block.categories[:, field], sizes[field])
        noise = np.sum(centring.apply(part) * part, axis=0)
        surplus = (part.T @ residual).ravel() ** 2 - noise
        scores.append(float(surplus.sum() / np.sqrt(2 * np.sum(noise**2) + 1e-12)))
    return fields[int(np.argmax(scores))]


def fit_design(features: TitleFeatures, block: FeatureBlock, rows: ArmCounts) -> Design:
    """Design whose mentions have effects by the category field that the clicks speak for most.

    A score test (the local test of a random effect, Liu, Lin and Ghosh 2007): with r the residuals of the common
    effects, sum (x' r)^2 over the columns by category against what noise alone would give.
    """
    plain = Design.fit(features, block)
    n_candidates = len(features.category_names)
    if n_candidates < 2:
        return Design.fit(features, block, 0) if n_candidates else plain
    state = working(rows, np.zeros(len(block)))
    weight = state.weight(Noise())[:, None]
    centring = Centring(rows, weight)
    variance = np.array([_START.get(name, _START_OTHER) for name in plain.groups()], dtype=np.float32)
    columns = Matrix(plain.matrix(block), np.zeros((len(block), 0), dtype=np.float32))
    coefficients = solve(columns, centring, weight, state.response, variance)
    residual = centring.apply(state.response[:, None] - columns @ coefficients)
    scores = []
    for candidate in range(n_candidates):
        by_category = Design.fit(features, block, candidate)
        wanted = np.array([name.startswith("mention by") for name in by_category.groups()])
        part = by_category.matrix(block)[:, np.flatnonzero(wanted)]
        squared = part.copy()
        squared.data = squared.data**2
        noise = np.asarray(squared.T @ weight).ravel()
        surplus = np.asarray(part.T @ residual).ravel() ** 2 - noise
        scores.append(float(surplus.sum() / np.sqrt(2 * np.sum(noise**2) + 1e-12)))
    return Design.fit(features, block, int(np.argmax(scores)))


def fit_columns(
    columns: Columns, matrix: Matrix, rows: ArmCounts, *, widening: float = 1.0
) -> tuple[Posterior, dict[str, float]]:
    """Posterior of the coefficients and the prior variance of each group; see `reward.model.bayes.fit_posterior`."""
    groups = columns.groups()
    start = [_START_MEANING if name.startswith("meaning: ") else _START.get(name, _START_OTHER) for name in groups]
    posterior = fit_posterior(matrix, rows, list(groups.values()), start, widening=widening)
    return posterior, dict(zip(groups, posterior.variances, strict=True))
