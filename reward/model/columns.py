"""Columns of the dense Bayesian model: design columns that vary, and the wording's embedding, in groups."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ..arrays import FloatArray, IntArray
from ..features.transformer import FeatureBlock, TitleFeatures
from .bayes import Posterior, fit_posterior
from .design import Design
from .embedding import Embedding
from .linear import ArmCounts, Centring, Matrix, Noise, solve, working

WORDING = "wording"
_MIN_ROWS = 3  # titles in which a column must differ from its commonest value to be kept
_START = {"mention": 0.02, "any mention": 0.01, "fault": 0.03, "look": 0.003, WORDING: 0.003}
_START_MEANING = 0.02
_START_OTHER = 0.0005  # early mentions and deviations of categories


@dataclass(frozen=True)
class Columns:
    """From feature blocks to the columns of the Bayesian model.

    Parameters
    ----------
    features, design, embedding
        The parts.
    kept
        Columns of the design that vary over the titles it was fitted on.
    """

    features: TitleFeatures
    design: Design
    embedding: Embedding
    kept: IntArray

    @classmethod
    def fit(
        cls, features: TitleFeatures, design: Design, block: FeatureBlock, rows: ArmCounts, *, rng: np.random.Generator
    ) -> tuple["Columns", Matrix]:
        """Columns for these titles and their values, shape (n, d)."""
        steps = design.matrix(block)
        varying = np.diff(steps.tocsc().indptr)
        summed = np.asarray(steps.sum(axis=0)).ravel()
        constant = (varying == len(block)) & (summed == len(block))
        nearly_one = (varying > len(block) - _MIN_ROWS) & (summed == varying)
        kept = np.flatnonzero((varying >= _MIN_ROWS) & ~constant & ~nearly_one)
        embedding, embedded = Embedding.fit(features, block, rows, rng=rng)
        return cls(features, design, embedding, kept), _matrix(steps[:, kept], embedded, block)

    def matrix(self, block: FeatureBlock) -> Matrix:
        """Columns of new titles, shape (n, d)."""
        steps = self.design.matrix(block)[:, self.kept]
        return _matrix(steps, self.embedding.transform(self.features, block), block)

    def values(self, block: FeatureBlock) -> FloatArray:
        """The same without zeros left out: for few titles."""
        return self.matrix(block).rows(slice(None))

    def scores(self, block: FeatureBlock, coefficients: FloatArray) -> FloatArray:
        """``values(block) @ coefficients``, shape (n,), without the dense columns in memory."""
        n_steps, n_wording = len(self.kept), self.embedding.directions.shape[1]
        steps, wording, meaning = np.split(coefficients, [n_steps, n_steps + n_wording])
        grams = self.embedding.scores(self.features, block, wording)
        out: FloatArray = self.design.matrix(block)[:, self.kept] @ steps + grams + block.meaning @ meaning
        return out

    def groups(self) -> dict[str, IntArray]:
        """Columns of each group."""
        names = np.array(self.design.groups(), dtype=object)[self.kept].tolist()
        names += [WORDING] * self.embedding.directions.shape[1]
        names += self.features.meaning.groups if self.features.meaning is not None else []
        return {name: np.flatnonzero([other == name for other in names]) for name in dict.fromkeys(names)}


def _matrix(steps: sp.csr_matrix, embedded: FloatArray, block: FeatureBlock) -> Matrix:
    return Matrix(steps, np.hstack([embedded, block.meaning]).astype(np.float32))


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
