"""What an item earns whatever its title: its shrunken rate where it has history, its context where it has none.

The rate of an item is beta-binomial around what its context predicts: p_i ~ Beta(s m_i, s (1 - m_i)), so its shrunken
rate is (clicks + s m_i) / (exposure + s). The strength s comes from the moments of the counts (Kleinman 1973) and the
context m_i from a ridge on the item's fields.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.linear_model import Ridge

from .fields import as_number
from .items import Item
from .linear import Rows
from .ngrams import item_frequency, to_matrix, word_grams
from .phrases import MAX_FIELD_WORDS, stems

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

N_BUCKETS = 1 << 14
N_FOLDS = 5
_ALPHAS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_MIN_ITEMS = 20  # with fewer, every item gets the overall rate
_STRENGTHS = (1e-1, 1e7)


@dataclass(frozen=True)
class Context:
    """Ridge from an item's fields to its log-odds.

    Parameters
    ----------
    field_idf, word_idf
        Inverse item frequency of the buckets of ``field=value`` pairs and of words in the fields.
    coefficients
        Shape (n_columns, n_targets).
    intercepts
        Shape (n_targets,).
    numerics
        Field name -> mean and standard deviation of log(1 + |number|) over the train items.
    """

    field_idf: Float32Array
    word_idf: Float32Array
    coefficients: FloatArray
    intercepts: FloatArray
    numerics: Mapping[str, tuple[float, float]]

    def predict(self, items: Sequence[Item]) -> FloatArray:
        """Targets of each item, shape (n, n_targets)."""
        if not len(items):
            return np.zeros((0, len(self.intercepts)))
        out: FloatArray = _columns(items, self.field_idf, self.word_idf, self.numerics) @ self.coefficients
        return out + self.intercepts

    @classmethod
    def fit(
        cls, items: Sequence[Item], targets: FloatArray, weights: FloatArray, *, rng: np.random.Generator
    ) -> tuple["Context", FloatArray]:
        """Fit with the penalty that predicts held-out items best.

        Parameters
        ----------
        items
            Train items.
        targets, weights
            Log-odds (first target) and whatever else depends on the item, shape (n_items, n_targets), and the
            precision of the first, shape (n_items,).

        Returns
        -------
        The model and its out-of-fold predictions, shape (n_items, n_targets).
        """
        n = len(items)
        numerics = _numeric_scales(items)
        index = np.arange(n)
        field_grams, text_grams = word_grams(_pairs(items), (1,)), word_grams(_texts(items), (1,))
        idf = []
        for grams in (field_grams, text_grams):
            frequency = item_frequency(grams, index, N_BUCKETS)
            idf.append(np.where(frequency >= 3, np.log((1.0 + n) / (1.0 + frequency)) + 1, 0.0).astype(np.float32))
        center = np.average(targets, axis=0, weights=weights)
        flat = cls(idf[0], idf[1], np.zeros((2 * N_BUCKETS + len(numerics), targets.shape[1])), center, numerics)
        if n < _MIN_ITEMS:
            return flat, np.repeat(center[None, :], n, axis=0)
        matrix = _columns(items, idf[0], idf[1], numerics)
        fold = rng.permutation(n) % N_FOLDS
        relative = weights / weights.mean()
        best_loss = float(np.average((targets[:, 0] - center[0]) ** 2, weights=weights))
        best: tuple[float, FloatArray] | None = None
        for alpha in _ALPHAS:
            prediction = np.empty_like(targets)
            for k in range(N_FOLDS):
                model = _ridge(alpha).fit(matrix[fold != k], targets[fold != k], relative[fold != k])
                prediction[fold == k] = model.predict(matrix[fold == k]).reshape(-1, targets.shape[1])
            loss = float(np.average((targets[:, 0] - prediction[:, 0]) ** 2, weights=weights))
            if loss < best_loss:
                best_loss, best = loss, (alpha, prediction)
        if best is None:  # the fields tell nothing about held-out items
            return flat, np.repeat(center[None, :], n, axis=0)
        model = _ridge(best[0]).fit(matrix, targets, relative)
        coefficients = np.asarray(model.coef_, dtype=np.float64).reshape(targets.shape[1], -1).T
        return cls(idf[0], idf[1], coefficients, np.atleast_1d(model.intercept_).astype(np.float64), numerics), best[1]

    def state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """JSON part and arrays; `from_state` reads them back."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "field_idf": self.field_idf,
            "word_idf": self.word_idf,
            "coefficients": self.coefficients,
            "intercepts": self.intercepts,
        }
        return {"numerics": {name: list(scale) for name, scale in self.numerics.items()}}, arrays

    @classmethod
    def from_state(cls, meta: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> "Context":
        """Context from what `state` gave."""
        numerics = {name: (float(mean), float(sd)) for name, (mean, sd) in meta["numerics"].items()}
        return cls(arrays["field_idf"], arrays["word_idf"], arrays["coefficients"], arrays["intercepts"], numerics)


def _ridge(alpha: float) -> Ridge:
    return Ridge(alpha=alpha, solver="sparse_cg", tol=1e-4, max_iter=200)


def _pairs(items: Sequence[Item]) -> list[list[str]]:
    return [[f"{name}={value}" for name, values in item.fields.items() for value in values[:8]] for item in items]


def _texts(items: Sequence[Item]) -> list[list[str]]:
    return [stems(item.text(), MAX_FIELD_WORDS) for item in items]


def _numbers(items: Sequence[Item], name: str) -> FloatArray:
    found = [as_number(item.fields[name][0]) if item.fields.get(name) else None for item in items]
    return np.array([np.nan if x is None else np.sign(x) * np.log1p(abs(x)) for x in found])


def _numeric_scales(items: Sequence[Item], limit: int = 8) -> dict[str, tuple[float, float]]:
    """Mean and spread of the fields that are numbers for at least half of the items."""
    scales: dict[str, tuple[float, float]] = {}
    for name in sorted({name for item in items for name in item.fields}):
        values = _numbers(items, name)
        known = values[~np.isnan(values)]
        if len(known) >= 0.5 * len(items) and len(known) and known.std() > 1e-9 and len(scales) < limit:
            scales[name] = (float(known.mean()), float(known.std()))
    return scales


def _columns(
    items: Sequence[Item], field_idf: Float32Array, word_idf: Float32Array, numerics: Mapping[str, tuple[float, float]]
) -> sp.csr_matrix:
    numbers = [np.nan_to_num((_numbers(items, name) - mean) / sd) for name, (mean, sd) in numerics.items()]
    dense = np.column_stack(numbers) if numbers else np.zeros((len(items), 0))
    parts = [
        to_matrix(word_grams(_pairs(items), (1,)), field_idf),
        to_matrix(word_grams(_texts(items), (1,)), word_idf),
        sp.csr_matrix(np.clip(dense, -4, 4)),
    ]
    return sp.hstack(parts, format="csr", dtype=np.float64)


def beta_strength(clicks: FloatArray, trials: FloatArray, expected: FloatArray, overdispersion: float) -> float:
    """Prior strength s of p_i ~ Beta(s m_i, s (1 - m_i)) by moments, clipped to a range that keeps all finite.

    Parameters
    ----------
    clicks, trials, expected
        Counts and expected rate m_i of each item, shape (n_items,).
    overdispersion
        Variance of the counts of one arm relative to the binomial.
    """
    binomial = trials * expected * (1 - expected)
    surplus = np.sum((clicks - trials * expected) ** 2 - overdispersion * binomial)
    correlation = surplus / max(float(np.sum(binomial * np.maximum(trials - 1, 0))), 1e-12)
    return float(np.clip(1.0 / max(correlation, 1e-9) - 1.0, *_STRENGTHS))


def shrink(
    rows: Rows, effect: FloatArray, prior: FloatArray, overdispersion: float
) -> tuple[FloatArray, FloatArray, float]:
    """Item intercepts shrunk to their context.

    Parameters
    ----------
    rows
        Counts of the arms.
    effect
        Title effect of each arm, shape (n,).
    prior
        Log-odds that the context predicts for each item, shape (n_items,).
    overdispersion
        Variance of the counts relative to the binomial; an overdispersed click counts for less.

    Returns
    -------
    Intercept of each item (n_items,), its standard deviation in log-odds (n_items,), and the strength s.
    """
    trials, clicks = rows.item_sum(rows.trials), rows.item_sum(rows.successes)
    p = 1.0 / (1.0 + np.exp(-(prior[rows.item] + effect)))
    expected = np.clip(rows.item_sum(rows.trials * p) / np.maximum(trials, 1e-12), 1e-9, 1 - 1e-9)
    strength = beta_strength(clicks, trials, expected, overdispersion)
    worth = 1.0 / overdispersion
    rate = (worth * clicks + strength * expected) / (worth * trials + strength)
    shrunken = Rows(rate[rows.item] * rows.trials, rows.trials, rows.item, rows.n_items)
    with_history = trials > 0
    intercept = np.where(with_history, shrunken.intercepts(effect, least=1e-9), prior)
    spread = np.sqrt(1.0 / np.maximum((worth * trials + strength) * rate * (1 - rate), 1e-12))
    return intercept, spread, strength
