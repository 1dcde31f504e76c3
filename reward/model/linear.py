"""Ridge regression of clicks on title features *within items*, many weightings of the same rows at once.

The model is a generalised linear mixed one: logit p_ij = a_i + x_ij' b + t_ij with a free intercept a_i for every
item, coefficients b_g ~ N(0, v_g) by group, and what the features do not see, t_ij ~ N(0, v_t). Penalised
quasi-likelihood (Breslow and Clayton 1993) turns it into weighted least squares on working responses, which
conjugate gradients solve with the item intercepts projected out.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ..arrays import Float32Array, FloatArray, IntArray

MIN_VARIANCE = 1e-7


@dataclass(frozen=True)
class ArmCounts:
    """Counts of n arms for a within-item fit.

    Parameters
    ----------
    successes, trials
        Clicks and exposure (or conversions and clicks), shape (n,), ``0 <= successes <= trials``.
    item
        Item of each arm, 0 to n_items - 1, shape (n,).
    n_items
        Number of items.
    between
        True where what is called an item here are several that are alike (`reward.model.alike`).
    """

    successes: FloatArray
    trials: FloatArray
    item: IntArray
    n_items: int
    between: bool = False

    def item_sum(self, values: npt.NDArray[np.floating]) -> FloatArray:
        """Sum over each item's arms: (n,) to (n_items,)."""
        total: FloatArray = np.bincount(self.item, weights=values, minlength=self.n_items).astype(np.float64)
        return total

    def intercepts(self, effect: FloatArray, steps: int = 12, least: float = 0.5) -> FloatArray:
        """Intercept of each item at which expected equal observed successes, given title effects; shape (n_items,).

        Items with fewer than ``least`` successes (or failures) get the intercept of that many.
        """
        total = self.item_sum(self.trials)
        hits = np.clip(self.item_sum(self.successes), least, np.maximum(total - least, least))
        rate = np.clip(hits / np.maximum(total, 1.0), 1e-9, 1 - 1e-9)
        mean_effect = self.item_sum(self.trials * effect) / np.maximum(total, 1e-12)
        a = np.log(rate / (1 - rate)) - mean_effect
        for _ in range(steps):
            p = _sigmoid(a[self.item] + effect)
            gap = hits - self.item_sum(self.trials * p)
            slope = np.maximum(self.item_sum(self.trials * p * (1 - p)), 1e-9)
            a = a + np.clip(gap / slope, -2.0, 2.0)
        return a


@dataclass(frozen=True)
class Noise:
    """Spread of the counts beyond the features.

    Parameters
    ----------
    overdispersion
        Variance of the counts relative to the binomial, at least 1.
    title_variance
        Variance of the title effect that the features do not see, in squared log-odds.
    """

    overdispersion: float = 1.0
    title_variance: float = 0.01


@dataclass(frozen=True)
class Working:
    """Working responses and weights of the quasi-likelihood around a given title effect, shape (n,) each."""

    response: FloatArray
    information: FloatArray
    """Fisher information of each arm's log-odds, trials * p * (1 - p)."""

    def weight(self, noise: Noise) -> FloatArray:
        """Precision of each arm's response."""
        return self.information / (noise.overdispersion + self.information * noise.title_variance)


def working(rows: ArmCounts, effect: FloatArray) -> Working:
    """Linearise around ``effect``: response = effect + (successes - expected) / information."""
    p = _sigmoid(rows.intercepts(effect)[rows.item] + effect)
    information = np.maximum(rows.trials * p * (1 - p), 1e-12)
    alone = rows.item_sum(np.ones(len(effect)))[rows.item] < 2
    has_success = rows.item_sum(rows.successes)[rows.item] > 0
    information = np.where(alone | ~has_success, 1e-12, information)  # says nothing about titles
    response = effect + (rows.successes - rows.trials * p) / information
    return Working(np.where(information > 1e-9, response, effect), information)


def _sigmoid(x: FloatArray) -> FloatArray:
    return 1.0 / (1.0 + np.exp(-x))


@dataclass(frozen=True)
class Matrix:
    """Sparse and dense columns side by side.

    Parameters
    ----------
    sparse, dense
        The columns, shapes (n, n_sparse) and (n, n_dense), float32.
    """

    sparse: sp.csr_matrix
    dense: Float32Array

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.sparse.shape[0], self.sparse.shape[1] + self.dense.shape[1]

    def __matmul__(self, coefficients: npt.NDArray[np.floating]) -> Float32Array:
        """Scores, shape (n,) or (n, k)."""
        split = self.sparse.shape[1]
        scores: Float32Array = self.sparse @ coefficients[:split]
        return scores + self.dense @ coefficients[split:] if self.dense.shape[1] else scores

    def rows(self, which: IntArray | slice) -> FloatArray:
        """These rows without zeros left out, shape (n, n_columns)."""
        return np.hstack([self.sparse[which].toarray(), self.dense[which]]).astype(np.float64)

    def transposed(self, values: Float32Array) -> Float32Array:
        """``matrix.T @ values``: (n, k) to (n_columns, k)."""
        return np.concatenate([self._sparse_columns @ values, self.dense.T @ values])

    def squared(self, weights: Float32Array) -> Float32Array:
        """Weighted sum of squares of each column: (n, k) to (n_columns, k)."""
        squares = self._sparse_columns.copy()
        squares.data = squares.data**2
        return np.concatenate([squares @ weights, (self.dense**2).T @ weights])

    @cached_property
    def _sparse_columns(self) -> sp.csr_matrix:
        return self.sparse.T.tocsr()


class Centring:
    """Projects item intercepts out of k weightings of the same rows at once.

    Parameters
    ----------
    rows
        The arms.
    weights
        Precision of each arm in each weighting, shape (n, k).
    """

    def __init__(self, rows: ArmCounts, weights: FloatArray) -> None:
        n = len(rows.item)
        self._item = rows.item
        self._sum = sp.csr_matrix((np.ones(n, dtype=np.float32), (rows.item, np.arange(n))), shape=(rows.n_items, n))
        self._weights = weights.astype(np.float32)
        self._total = np.maximum(self._sum @ self._weights, 1e-20)

    def apply(self, values: npt.NDArray[np.floating]) -> Float32Array:
        """W (values - weighted item means), shape (n, k): the symmetric operator of the normal equations."""
        weighted = self._weights * values.astype(np.float32)
        means = (self._sum @ weighted) / self._total
        centred: Float32Array = weighted - self._weights * means[self._item]
        return centred


def solve(
    matrix: Matrix,
    centring: Centring,
    weights: FloatArray,
    response: FloatArray,
    variance: Float32Array,
    *,
    iterations: int = 60,
    tolerance: float = 1e-3,
) -> Float32Array:
    """Coefficients of k within-item ridge regressions on the same rows, shape (n_columns, k).

    Solves ``(X' M_k X + diag(1 / variance)) b_k = X' M_k z`` by preconditioned conjugate gradients.

    Parameters
    ----------
    matrix
        X, shape (n, n_columns).
    centring
        M_k.
    weights
        Arm precisions, shape (n, k): the preconditioner's diagonal.
    response
        z, shape (n,) or (n, k).
    variance
        Prior variance of each coefficient, shape (n_columns,) or (n_columns, k).
    iterations, tolerance
        Stop after this many iterations, or when every residual has shrunk by this factor.
    """
    k = weights.shape[1]
    z = np.broadcast_to(response.reshape(len(response), -1), (len(response), k))
    right = matrix.transposed(centring.apply(z))
    precision = (1.0 / np.maximum(variance, MIN_VARIANCE)).astype(np.float32).reshape(len(variance), -1)
    inverse = 1.0 / (matrix.squared(weights.astype(np.float32)) + precision)
    b: Float32Array = np.zeros_like(right)
    residual = right.copy()
    step = inverse * residual
    direction = step.copy()
    rho = np.einsum("ik,ik->k", residual, step, dtype=np.float64)
    goal = tolerance**2 * np.maximum(rho, 1e-30)
    for _ in range(iterations):
        image = matrix.transposed(centring.apply(matrix @ direction)) + precision * direction
        curvature = np.einsum("ik,ik->k", direction, image, dtype=np.float64)
        alpha = np.where(curvature > 0, rho / np.maximum(curvature, 1e-30), 0.0).astype(np.float32)
        b += alpha * direction
        residual -= alpha * image
        step = inverse * residual
        new_rho = np.einsum("ik,ik->k", residual, step, dtype=np.float64)
        if np.all(new_rho <= goal):
            break
        direction = step + (new_rho / np.maximum(rho, 1e-30)).astype(np.float32) * direction
        rho = new_rho
    return b
