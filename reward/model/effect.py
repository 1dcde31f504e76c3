"""The title effect: a within-item ridge on wording, mentions and meaning, and trees on what it leaves over.

Other losses for the trees (cross-entropy from the item's baseline, centred logits, LambdaRank) order held-out titles
worse on real headlines and in simulated shops: ``tests/benchmarks/reward_signal.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import scipy.sparse as sp

from ..arrays import Float32Array, FloatArray, IntArray
from ..features import ngrams
from ..features.transformer import NOVELTY, FeatureBlock, TitleFeatures, take
from . import boosting
from .columns import WORDING, Columns, fit_columns, fit_design
from .design import Design
from .linear import MIN_VARIANCE, ArmCounts, Centring, Matrix, Noise, solve, working

N_FOLDS = 5
NEWTON_STEPS = 2
_PRIOR_ITEMS = 1200  # more would sharpen the prior variances no further, and cost minutes


@dataclass(frozen=True)
class Basis:
    """Everything the members of an ensemble share: features, columns and the linear model of all items.

    Parameters
    ----------
    features
        The fitted transformer.
    design
        Step columns of the dense features.
    coefficients
        The linear model fitted on all train items, shape (n_columns,).
    level
        Its average score of the train titles, which is taken off.
    noise
        Overdispersion and unexplained title variance.
    """

    features: TitleFeatures
    design: Design
    coefficients: Float32Array
    level: float
    noise: Noise

    def linear_scores(self, block: FeatureBlock, coefficients: Float32Array) -> FloatArray:
        """``matrix(block) @ coefficients`` without the matrix, shape (n, k)."""
        width = self.design.width
        split = width + len(self.features.word_idf)
        last = split + len(self.features.character_idf)
        total = self.design.scores(block, coefficients[:width])
        total += ngrams.scores(block.words, self.features.word_idf, coefficients[width:split])
        total += ngrams.scores(block.characters, self.features.character_idf, coefficients[split:last])
        return total + block.meaning @ coefficients[last:]

    def table(self, block: FeatureBlock, linear: FloatArray) -> Float32Array:
        """Feature table of the trees: dense features but novelty, category codes, linear score."""
        seen = np.array([name not in NOVELTY for name in self.features.names])
        codes = np.where(block.categories >= 0, block.categories, np.nan)
        return np.column_stack([block.dense[:, seen], codes, linear]).astype(np.float32)

    @property
    def seen_names(self) -> tuple[str, ...]:
        """Names of the dense features that the trees see."""
        return tuple(name for name in self.features.names if name not in NOVELTY)

    @property
    def table_names(self) -> tuple[str, ...]:
        """Names of the columns of `table`."""
        return (*self.seen_names, *self.features.category_names, "wording (linear score)")

    @property
    def categorical(self) -> list[int]:
        """Positions of the category codes in `table`."""
        first = len(self.seen_names)
        return list(range(first, first + len(self.features.category_names)))


def _matrix(features: TitleFeatures, design: Design, block: FeatureBlock) -> Matrix:
    parts = [
        design.matrix(block),
        ngrams.to_matrix(block.words, features.word_idf),
        ngrams.to_matrix(block.characters, features.character_idf),
    ]
    return Matrix(sp.hstack(parts, format="csr", dtype=np.float32), block.meaning)


@dataclass(frozen=True)
class TrainingSet:
    """One outcome's counts with the columns they are regressed on, made once for all members.

    Parameters
    ----------
    basis
        Shared columns and variances.
    rows
        Counts.
    matrix
        Columns of the linear model (steps, word buckets, character buckets, meaning), shape (n, n_columns).
    variance
        Prior variance of each column.
    falling
        Columns whose coefficients are not to be positive.
    fold_score
        Linear score of each arm from a fit without its item, shape (n,).
    data
        The trees' data set: dense features, codes and ``fold_score``.
    """

    basis: Basis
    rows: ArmCounts
    matrix: Matrix
    variance: Float32Array
    falling: IntArray
    fold_score: FloatArray
    data: lgb.Dataset

    def coefficients(self, sample: FloatArray) -> Float32Array:
        """Linear models on k weightings of the arms, (n, k) to (n_columns, k); see `fit_linear`."""
        return fit_linear(self.matrix, self.variance, self.basis.noise, self.rows, sample, self.falling)


@dataclass(frozen=True)
class Member:
    """One member of the ensemble.

    Parameters
    ----------
    coefficients
        Linear model of the member's sample, shape (n_columns,).
    level
        Its average score of the train titles.
    booster
        Trees on what a linear model fitted without the item leaves over.
    item_weight
        Times each train item was in the member's sample, shape (n_items,).
    """

    coefficients: Float32Array
    level: float
    booster: lgb.Booster
    item_weight: FloatArray


def prepare(
    features: TitleFeatures, block: FeatureBlock, rows: ArmCounts, *, seed: np.random.SeedSequence
) -> TrainingSet:
    """Estimate the prior variances and score every arm by a linear model fitted without its item."""
    rng = np.random.default_rng(seed)
    design = fit_design(features, block, rows)
    matrix = _matrix(features, design, block)
    variance, noise = _prior(features, design, block, rows, rng)
    fold = rng.permutation(rows.n_items) % N_FOLDS
    # The last weighting leaves nothing out.
    kept = (fold[rows.item][:, None] != np.arange(N_FOLDS + 1)).astype(np.float64)
    falling = design.columns_of([features.names.index(name) for name in NOVELTY])
    coefficients = fit_linear(matrix, variance, noise, rows, kept, falling)
    scores = np.asarray(matrix @ coefficients, dtype=np.float64)
    fold_score = scores[np.arange(len(rows.item)), fold[rows.item]]
    basis = Basis(features, design, coefficients[:, -1].copy(), _average(scores[:, -1], rows), noise)
    data = boosting.dataset(
        basis.table(block, fold_score), basis.table_names, basis.categorical, int(rng.integers(2**31))
    )
    return TrainingSet(basis, rows, matrix, variance, falling, fold_score, data)


def _average(scores: FloatArray, rows: ArmCounts) -> float:
    return float(np.average(scores, weights=np.maximum(rows.trials, 1e-9)))


def _prior(
    features: TitleFeatures, design: Design, block: FeatureBlock, rows: ArmCounts, rng: np.random.Generator
) -> tuple[Float32Array, Noise]:
    """Prior variance of every column, and the noise, by empirical Bayes on at most ``_PRIOR_ITEMS`` items."""
    chosen = np.zeros(rows.n_items, dtype=bool)
    chosen[rng.permutation(rows.n_items)[:_PRIOR_ITEMS]] = True
    part = np.flatnonzero(chosen[rows.item])
    index = (np.cumsum(chosen) - 1)[rows.item[part]]
    some = ArmCounts(rows.successes[part], rows.trials[part], index, int(chosen.sum()), rows.between)
    columns, values = Columns.fit(features, design, take(block, part), some, rng=rng)
    posterior, variances = fit_columns(columns, values, some)
    steps = [variances.get(name, MIN_VARIANCE) for name in design.groups()]
    wording = variances[WORDING] * columns.embedding.stretch**2
    n_grams = len(features.word_idf) + len(features.character_idf)
    meaning = [variances[name] for name in (features.meaning.groups if features.meaning is not None else ())]
    return np.array([*steps, *[wording] * n_grams, *meaning], dtype=np.float32), posterior.noise


def fit_linear(
    matrix: Matrix, variance: Float32Array, noise: Noise, rows: ArmCounts, sample: FloatArray, falling: IntArray
) -> Float32Array:
    """Coefficients of k ridge fits, each with its own weight of every arm: ``sample`` (n, k) to (n_columns, k).

    The columns ``falling`` get none above 0: those that would be positive after a Newton step are held at 0 in the
    next one.
    """
    effect = np.zeros(sample.shape)
    coefficients: Float32Array = np.zeros((matrix.shape[1], sample.shape[1]), dtype=np.float32)
    variances = np.repeat(variance[:, None], sample.shape[1], axis=1)
    for _ in range(NEWTON_STEPS):
        states = [working(rows, effect[:, j]) for j in range(sample.shape[1])]
        weights = np.column_stack([s.weight(noise) for s in states]) * sample
        response = np.column_stack([s.response for s in states])
        coefficients = solve(matrix, Centring(rows, weights), weights, response, variances)
        variances[falling] = np.where(coefficients[falling] > 0, MIN_VARIANCE, variances[falling])
        coefficients[falling] = np.minimum(coefficients[falling], 0.0)
        effect = np.clip(matrix @ coefficients, -5.0, 5.0).astype(np.float64)
    return coefficients


def fit_member(
    training: TrainingSet,
    *,
    seed: np.random.SeedSequence,
    threads: int,
    trees: boosting.TreeFitter = boosting.fit_trees,
) -> Member:
    """Fit one member on items drawn with replacement; the items left out decide the number of trees."""
    rng = np.random.default_rng(seed)
    rows, basis = training.rows, training.basis
    drawn = np.bincount(rng.integers(rows.n_items, size=rows.n_items), minlength=rows.n_items).astype(np.float64)
    coefficients = training.coefficients(drawn[rows.item][:, None])[:, 0]
    data, start, number = training.data, training.fold_score, int(rng.integers(2**31))
    booster = trees(boosting.TreeTask(data, rows, start, drawn, basis.noise, seed=number, threads=threads))
    level = _average(np.asarray(training.matrix @ coefficients, dtype=np.float64), rows)
    return Member(coefficients, level, booster, drawn)


def predict_effect(
    basis: Basis, members: Sequence[Member], block: FeatureBlock, *, threads: int
) -> tuple[FloatArray, FloatArray]:
    """Title effect in log-odds around the level of the train titles.

    Returns
    -------
    The linear model of all items plus the members' average trees (n,); and each member's own linear model plus its
    trees (n, n_members), whose spread tells how sure the first is.
    """
    if not len(block):
        return np.zeros(0), np.zeros((0, len(members)))
    coefficients = np.column_stack([basis.coefficients, *(member.coefficients for member in members)])
    linear = basis.linear_scores(block, coefficients)
    trees = predict_trees(members, basis.table(block, linear[:, 0]), threads=threads)
    levels = np.array([member.level for member in members])
    return linear[:, 0] - basis.level + trees.mean(axis=1), linear[:, 1:] - levels + trees


def predict_trees(members: Sequence[Member], table: Float32Array, *, threads: int) -> FloatArray:
    """Output of each member's trees, shape (n, n_members)."""
    out = [
        member.booster.predict(
            table, raw_score=True, num_threads=threads, num_iteration=max(member.booster.best_iteration, 0) or None
        )
        for member in members
    ]
    return np.column_stack(out).astype(np.float64)
