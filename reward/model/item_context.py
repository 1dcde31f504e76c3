"""Click rates predicted from an item's fields: for items without history, and as a prior for those with history."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.linear_model import Ridge

from ..arrays import BoolArray, Float32Array, FloatArray, IntArray
from ..features.fields import as_number
from ..features.ngrams import item_frequency, to_matrix, word_grams
from ..features.phrases import MAX_FIELD_WORDS, stems
from ..items import Item
from ..plain import JsonObject
from .baseline import beta_strength

N_BUCKETS = 1 << 14
N_FOLDS = 5
_BEFORE = "before_"
_ALPHAS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_MIN_ITEMS = 20  # with fewer, every item gets the overall rate
_SPREADS = (0.01, 4.0)  # squared log-odds
_STEPS = 3
_REACH = 4.0  # log-odds from the overall rate within which the quasi-likelihood is linearised


@dataclass(frozen=True)
class ItemTotals:
    """Totals of n items: clicks and exposure (or conversions and clicks), shape (n,) each."""

    successes: FloatArray
    trials: FloatArray


@dataclass(frozen=True)
class ItemContext:
    """Ridge from an item's fields to the log-odds of its average rate, and to its level.

    Parameters
    ----------
    field_idf, word_idf
        Inverse item frequency of the buckets of ``field=value`` pairs and of words in the fields.
    coefficients
        Of both targets, shape (n_columns, 2).
    intercepts
        Shape (2,).
    numerics
        Field name -> mean and standard deviation of log(1 + |number|) over the train items.
    before
        Context of the outcome that this one follows on (clicks, for conversions): its prediction is one column, since
        items that are clicked often are bought often, and clicks say so much more surely.
    before_scale
        Mean and standard deviation of that column.
    """

    field_idf: Float32Array
    word_idf: Float32Array
    coefficients: FloatArray
    intercepts: FloatArray
    numerics: Mapping[str, tuple[float, float]]
    before: "ItemContext | None" = None
    before_scale: tuple[float, float] = (0.0, 1.0)

    def predict(self, items: Sequence[Item]) -> FloatArray:
        """Log-odds of the average rate, and the level, of each item: shape (n, 2)."""
        if not len(items):
            return np.zeros((0, len(self.intercepts)))
        earlier = None if self.before is None else self.before.predict(items)[:, 0]
        out: FloatArray = self._columns(items, earlier) @ self.coefficients
        return out + self.intercepts

    @classmethod
    def fit(
        cls,
        items: Sequence[Item],
        totals: ItemTotals,
        level: FloatArray,
        *,
        rng: np.random.Generator,
        before: ItemTotals | None = None,
    ) -> tuple["ItemContext", FloatArray]:
        """Fit with the penalty that predicts held-out items best.

        The rate is regressed by penalised quasi-likelihood on the counts themselves (iteratively reweighted ridge):
        an item without a click then says what it knows, where log-odds of its own would have to be made up.

        Parameters
        ----------
        items
            Train items.
        totals
            Their counts.
        level
            Second target beside the item's log-odds: its average rate's less its intercept, shape (n_items,).
        before
            Counts of the outcome that this one follows on.

        Returns
        -------
        The model of (log-odds of the average rate, level), and its out-of-fold predictions, shape (n_items, 2).
        """
        n = len(items)
        earlier, earlier_score, scale = None, None, (0.0, 1.0)
        if before is not None:
            earlier, found = cls.fit(items, before, np.zeros(n), rng=rng)
            earlier_score = found[:, 0]
            scale = float(earlier_score.mean()), max(float(earlier_score.std()), 1e-3)
        numerics = _numeric_scales(items)
        index = np.arange(n)
        idf = []
        for grams in (word_grams(_pairs(items), (1,)), word_grams(_texts(items), (1,))):
            frequency = item_frequency(grams, index, N_BUCKETS)
            idf.append(np.where(frequency >= 3, np.log((1.0 + n) / (1.0 + frequency)) + 1, 0.0).astype(np.float32))
        counts = _Counts.of(totals)
        mean_level = float(np.average(level, weights=np.maximum(totals.trials, 1e-9)))
        center = np.array([counts.overall, mean_level])
        width = 2 * N_BUCKETS + len(numerics) + (earlier is not None)
        flat = cls(idf[0], idf[1], np.zeros((width, 2)), center, numerics, earlier, scale)
        constant = np.repeat(center[None, :], n, axis=0)
        if n < _MIN_ITEMS:
            return flat, constant
        matrix = flat._columns(items, earlier_score)
        fold = rng.permutation(n) % N_FOLDS
        losses = [counts.loss(constant[:, 0])]
        for alpha in _ALPHAS:  # one step from the overall rate is enough to choose by
            held_out = _held_out(matrix, fold, partial(counts.regress, matrix, alpha=alpha, steps=1))
            losses.append(counts.loss(held_out))
        best = int(np.argmin(losses))
        if best == 0:  # the fields tell nothing about held-out items
            return flat, constant
        alpha = _ALPHAS[best - 1]

        def of_rate(rows: BoolArray) -> Ridge:
            return counts.regress(matrix, rows, alpha=alpha, steps=_STEPS)

        def of_level(rows: BoolArray) -> Ridge:
            weight = counts.weight(np.full(n, counts.overall))[rows]
            return _ridge(alpha).fit(matrix[rows], level[rows], weight / weight.mean())

        everything = np.ones(n, dtype=bool)
        models = of_rate(everything), of_level(everything)
        coefficients = np.column_stack([model.coef_ for model in models]).astype(np.float64)
        intercepts = np.array([float(model.intercept_) for model in models])
        predicted = np.column_stack([_held_out(matrix, fold, fit) for fit in (of_rate, of_level)])
        return replace(flat, coefficients=coefficients, intercepts=intercepts), predicted

    def state(self) -> tuple[JsonObject, dict[str, npt.NDArray[Any]]]:
        """JSON part and arrays; `from_state` reads them back."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "field_idf": self.field_idf,
            "word_idf": self.word_idf,
            "coefficients": self.coefficients,
            "intercepts": self.intercepts,
        }
        meta: JsonObject = {"numerics": {name: list(scale) for name, scale in self.numerics.items()}}
        if self.before is not None:
            earlier_meta, earlier = self.before.state()
            meta |= {"before": earlier_meta, "before_scale": list(self.before_scale)}
            arrays |= {_BEFORE + name: value for name, value in earlier.items()}
        return meta, arrays

    @classmethod
    def from_state(cls, meta: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> "ItemContext":
        """Context from what `state` gave."""
        numerics = {name: (float(mean), float(sd)) for name, (mean, sd) in meta["numerics"].items()}
        own = arrays["field_idf"], arrays["word_idf"], arrays["coefficients"], arrays["intercepts"]
        if "before" not in meta:
            return cls(*own, numerics)
        earlier = {name.removeprefix(_BEFORE): value for name, value in arrays.items() if name.startswith(_BEFORE)}
        mean, sd = map(float, meta["before_scale"])
        return cls(*own, numerics, cls.from_state(meta["before"], earlier), (mean, sd))

    def columns(self, items: Sequence[Item]) -> sp.csr_matrix:
        """Fields, words and numbers of the items, weighed by how rare they are, shape (n, n_columns)."""
        return self._columns(items, None if self.before is None else self.before.predict(items)[:, 0])

    def _columns(self, items: Sequence[Item], earlier: FloatArray | None) -> sp.csr_matrix:
        numbers = [np.nan_to_num((_numbers(items, name) - mean) / sd) for name, (mean, sd) in self.numerics.items()]
        if earlier is not None:
            numbers.append((earlier - self.before_scale[0]) / self.before_scale[1])
        dense = np.column_stack(numbers) if numbers else np.zeros((len(items), 0))
        parts = [
            to_matrix(word_grams(_pairs(items), (1,)), self.field_idf),
            to_matrix(word_grams(_texts(items), (1,)), self.word_idf),
            sp.csr_matrix(np.clip(dense, -4, 4)),
        ]
        return sp.hstack(parts, format="csr", dtype=np.float64)


@dataclass(frozen=True)
class _Counts:
    """Totals of the items for a logistic quasi-likelihood.

    Parameters
    ----------
    clicks, trials
        Shape (n_items,).
    overall
        Log-odds of the rate of all.
    spread
        Variance of the items' log-odds around what their fields say (at most: around the overall rate).
    """

    clicks: FloatArray
    trials: FloatArray
    overall: float
    spread: float

    @classmethod
    def of(cls, totals: ItemTotals) -> "_Counts":
        clicks, trials = totals.successes, totals.trials
        rate = float(np.clip(clicks.sum() / max(float(trials.sum()), 1e-12), 1e-9, 1 - 1e-9))
        strength = beta_strength(clicks, trials, np.full(len(clicks), rate), 1.0)
        spread = float(np.clip(1.0 / ((strength + 1.0) * rate * (1 - rate)), *_SPREADS))
        return cls(clicks, trials, float(np.log(rate / (1 - rate))), spread)

    def weight(self, logit: FloatArray) -> FloatArray:
        """Weight of each item's working response.

        The spread is counted at the overall rate, so that an item's weight in the estimating equation does not depend
        on its own prediction: the predicted successes then add up to the observed ones.
        """
        p, overall = 1.0 / (1.0 + np.exp(-logit)), 1.0 / (1.0 + np.exp(-self.overall))
        information = np.maximum(self.trials * p * (1 - p), 1e-9)
        weight: FloatArray = information / (1.0 + self.spread * self.trials * overall * (1 - overall))
        return weight

    def regress(self, matrix: sp.csr_matrix, rows: BoolArray, *, alpha: float, steps: int) -> Ridge:
        """Ridge of log-odds on the fields of these items, after n steps from the overall rate."""
        logit = np.full(len(self.clicks), self.overall)
        model = _ridge(alpha)
        for _ in range(steps):
            p = 1.0 / (1.0 + np.exp(-logit))
            response = logit + (self.clicks / np.maximum(self.trials, 1e-9) - p) / (p * (1 - p))
            response = np.where(self.trials > 0, response, logit)
            weight = self.weight(logit)[rows]
            model.fit(matrix[rows], response[rows], weight / weight.mean())
            logit = np.clip(model.predict(matrix), self.overall - _REACH, self.overall + _REACH)
        return model

    def loss(self, logit: FloatArray) -> float:
        """Cross-entropy of held-out log-odds; an item weighs no more than its spread lets it."""
        p = 1.0 / (1.0 + np.exp(-np.clip(logit, self.overall - _REACH, self.overall + _REACH)))
        at_overall = self.weight(np.full(len(logit), self.overall))
        per_trial = at_overall / np.maximum(self.trials, 1e-9)
        failures = self.trials - self.clicks
        return -float(np.sum(per_trial * (self.clicks * np.log(p) + failures * np.log1p(-p))))


def _held_out(matrix: sp.csr_matrix, fold: IntArray, fit: Callable[[BoolArray], Ridge]) -> FloatArray:
    """Prediction of each row by ``fit`` on the other folds, shape (n,)."""
    out = np.empty(len(fold))
    for k in range(N_FOLDS):
        out[fold == k] = fit(fold != k).predict(matrix[fold == k])
    return out


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
