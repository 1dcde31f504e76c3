"""Bayesian within-item regression on the log link: exact Gaussian posterior, prior variances by group.

    log E[clicks_ij / exposure_ij] = a_i + x_ij' b + t_ij,   a_i flat,   b_g ~ N(0, v_g I),   t_ij ~ N(0, v_t)

with clicks overdispersed by phi. Counts enter by penalised quasi-likelihood (working responses); given those the
posterior of b is Gaussian and exact, with the item intercepts integrated out. v_g are found by MacKay's (1992)
fixed point, v_t and phi by the moments of the residuals.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg.lapack import dtrtri

from ..arrays import FloatArray, IntArray
from .linear import ArmCounts, Matrix, Noise, Working

MIN_VARIANCE = 1e-8
LARGEST_EFFECTS = 0.05  # variance of log rates between titles of an item that strata may suggest: Upworthy's is 0.053
_UPDATES = (10, 3, 2)  # variance updates in each linearisation
_LARGEST_TITLE_VARIANCE = 1.0
_BLOCK = 4096  # titles that are dense in memory at a time
_NEW_DIRECTION = 1e-6  # share of the largest from which a direction does not follow from the others
_LEAST_RELIABILITY = 1e-3  # share of the prior variance that clicks must have explained to be divided by
_CLEAR = 3.0  # standard errors of overdispersion above 1


@dataclass(frozen=True)
class Posterior:
    """Gaussian posterior of the coefficients.

    Parameters
    ----------
    mean
        Shape (d,).
    root
        R with covariance R R', shape (d, d), or wider.
    variances
        Prior variance of each group, in the order of ``groups`` given to `fit_posterior`.
    noise
        Overdispersion phi and title variance v_t.
    """

    mean: FloatArray
    root: FloatArray
    variances: tuple[float, ...]
    noise: Noise


def working_log(rows: ArmCounts, effect: FloatArray) -> Working:
    """Working responses on the log link around ``effect``; items without a click or with one arm weigh nothing."""
    expected = rows.trials * np.exp(np.clip(effect, -30.0, 30.0))
    hits = rows.item_sum(rows.successes)
    intercept = hits / np.maximum(rows.item_sum(expected), 1e-300)
    mean = np.maximum(expected * intercept[rows.item], 1e-12)
    rate = np.clip(mean / np.maximum(rows.trials, 1e-12), 0.0, 0.95)
    silent = (rows.item_sum(np.ones(len(effect)))[rows.item] < 2) | (hits[rows.item] <= 0) | (rows.trials <= 0)
    response = np.where(silent, effect, effect + (rows.successes - mean) / mean)
    return Working(response, np.where(silent, 1e-12, mean / (1.0 - rate)))


def fit_posterior(
    matrix: Matrix, rows: ArmCounts, groups: Sequence[IntArray], start: Sequence[float], *, widening: float = 1.0
) -> Posterior:
    """Posterior with empirical-Bayes variances.

    Parameters
    ----------
    matrix
        X, shape (n, d).
    rows
        Counts.
    groups
        Columns of each group; together all of them, each once.
    start
        First guess of each group's variance; a generous one, since a group that starts at 0 stays there.
    widening
        Factor on the prior variances of the final posterior.
    """
    n, d = matrix.shape
    effect = np.zeros(n)
    variances = np.maximum(np.asarray(start, dtype=np.float64), MIN_VARIANCE)
    # What items differ by is many times what their titles do: all of it is noise, or wording of few titles, of which no
    # two are alike, would be taken for its cause.
    noise = dispersion(rows, effect) if rows.between else Noise(1.0, 0.01)
    for updates in _UPDATES:
        state = working_log(rows, effect)
        system, total = Normal.of(matrix, rows, state.response, state.weight(noise)), float(state.weight(noise).sum())
        variances = _update_variances(system, groups, variances, updates)
        if rows.between:
            variances = variances * min(1.0, LARGEST_EFFECTS / _between_titles(system, groups, variances, total))
        mean, root = system.solve(_spread(groups, variances, d))
        effect = np.clip(matrix @ mean, -5.0, 5.0)
        determined = d - float(np.sum(root**2 / _spread(groups, variances, d)[:, None]))
        noise = noise if rows.between else dispersion(rows, effect, determined)
    state = working_log(rows, effect)
    system = Normal.of(matrix, rows, state.response, state.weight(noise))
    mean, root = system.solve(widening * _spread(groups, variances, d))
    return Posterior(mean, root, tuple(float(v) for v in variances), noise)


def update_posterior(posterior: Posterior, matrix: Matrix, rows: ArmCounts) -> Posterior:
    """The posterior after the clicks of further items, shape (n, d) as for `fit_posterior`.

    With V = R R' the posterior so far and X' M X the new rows' information in working responses around their
    predictions, V' = R (I + R' X' M X R)^-1 R'. Noise and prior variances stay as they were.
    """
    effect = np.clip(matrix @ posterior.mean, -5.0, 5.0).astype(np.float64)
    state = working_log(rows, effect)
    system = Normal.of(matrix, rows, state.response, state.weight(posterior.noise))
    root = posterior.root
    factor = np.linalg.cholesky(np.eye(root.shape[1]) + root.T @ system.gram @ root)
    inverse, _ = dtrtri(factor, lower=1)
    root = root @ inverse.T
    mean = posterior.mean + root @ (root.T @ (system.right - system.gram @ posterior.mean))
    return replace(posterior, mean=mean, root=root)


def unshrunk(posterior: Posterior, prior: FloatArray, directions: FloatArray) -> Posterior:
    """The posterior under a prior that says nothing about how far the coefficients lie along some directions.

    A prior N(0, V) centred on 0 draws c'b towards 0 by the factor 1 - v_post / v_prior; where c is what a policy was
    optimised towards, or was chosen for, all its effects are drawn the same way and the interval misses. Adding
    t V c to the coefficients with t flat takes that back: precision P - C (C'VC)^-1 C', so that C'b has the mean and
    the variance of the generalised least-squares estimate, and everything else stays shrunk. (The limit of a prior
    V + t^2 (VC)(VC)', by Woodbury; for one direction c'b' = c'b / (1 - v_post / v_prior).)

    Parameters
    ----------
    posterior
        Posterior with prior variances ``prior``.
    prior
        Prior variance of each coefficient, shape (d,).
    directions
        C, shape (d, k); columns of zeros, or that follow from others, add nothing.
    """
    scale = np.sqrt(np.sum(directions**2 * prior[:, None], axis=0))
    directions = directions[:, scale > 1e-9] / scale[scale > 1e-9]
    if not directions.shape[1]:
        return posterior
    before = directions.T @ (prior[:, None] * directions)
    value, vector = np.linalg.eigh(before)
    kept = value > _NEW_DIRECTION * value.max()
    directions = directions @ (vector[:, kept] / np.sqrt(value[kept]))  # now C'VC = I
    spread = posterior.root @ (posterior.root.T @ directions)
    left = np.eye(directions.shape[1]) - directions.T @ spread
    value, vector = np.linalg.eigh((left + left.T) / 2)
    value = np.maximum(value, _LEAST_RELIABILITY)
    half = spread @ (vector / np.sqrt(value))
    mean = posterior.mean + half @ ((vector / np.sqrt(value)).T @ (directions.T @ posterior.mean))
    return replace(posterior, mean=mean, root=np.column_stack([posterior.root, half]))


@dataclass(frozen=True)
class Normal:
    """Normal equations of a weighted regression with free item intercepts.

    Parameters
    ----------
    gram
        X' M X, shape (d, d), M the weights with the item intercepts projected out.
    right
        X' M z, shape (d,).
    """

    gram: FloatArray
    right: FloatArray

    @classmethod
    def of(cls, matrix: Matrix, rows: ArmCounts, response: FloatArray, weight: FloatArray) -> "Normal":
        """From X (n, d), responses z (n,) and their precisions (n,); items are summed up some at a time."""
        d = matrix.shape[1]
        gram, right = np.zeros((d, d)), np.zeros(d)
        for part, starts in _blocks_of_items(rows):
            root = np.sqrt(weight[part])
            columns = np.column_stack([matrix.rows(part), response[part]])
            scaled = root[:, None] * _centred(columns, weight[part], starts)
            gram += scaled[:, :d].T @ scaled[:, :d]
            right += scaled[:, :d].T @ scaled[:, d]
        return cls(gram, right)

    def solve(self, prior: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Posterior mean (d,) and root R of the covariance R R' (d, d) under prior variances (d,).

        In the space of ``b / sqrt(prior)`` the prior is the identity, which keeps a vanishing group harmless.
        """
        scale = np.sqrt(prior)
        factor = np.linalg.cholesky(np.eye(len(prior)) + scale[:, None] * self.gram * scale)
        inverse, _ = dtrtri(factor, lower=1)  # a third of the work of solving for a diagonal right side
        root: FloatArray = (inverse * scale).T
        return root @ (root.T @ self.right), root


def dispersion(rows: ArmCounts, effect: FloatArray, determined: float = 0.0) -> Noise:
    """Overdispersion phi and title variance v_t by moments; phi is 1 unless the excess is clearly there.

    With m_j the expected clicks of an arm and s_j its share of the item's, the residual within the item has

        E[m_j r_j^2] = phi (1 - s_j) + v_t m_j (1 - 2 s_j + sum_k s_k^2),

    a weighted regression on two known columns. Where arms have about equally many clicks the two are hard to tell
    apart; the doubt goes to the titles, whose variance widens intervals.

    Parameters
    ----------
    rows, effect
        Counts and fitted title effects, shape (n,).
    determined
        Coefficients that the effects took from these very counts.
    """
    state = working_log(rows, effect)
    valid = state.information > 1e-9
    freedom = float(valid.sum()) - len(np.unique(rows.item[valid]))
    if freedom - determined < 30:
        return Noise(1.0, 0.0)
    information = np.where(valid, state.information, 0.0)
    share = information / np.maximum(rows.item_sum(information)[rows.item], 1e-300)
    squares = rows.item_sum(share**2)[rows.item]
    residual = state.response - effect
    residual = residual - rows.item_sum(share * residual)[rows.item]
    expected, squared = information[valid], (information * residual**2)[valid] * freedom / (freedom - determined)
    columns = np.column_stack([1 - share, information * (1 - 2 * share + squares)])[valid]
    noise = Noise(1.0, 0.01)
    for _ in range(4):
        # Variance of a squared Pearson residual: 2 (normal) + 1 / expected (Poisson), times its mean squared.
        mean = np.maximum(columns @ np.array([noise.overdispersion, noise.title_variance]), 0.05)
        weight = 1.0 / (mean**2 * (2 + 1 / expected))
        gram = (columns * weight[:, None]).T @ columns + 1e-12 * np.eye(2)
        right = columns.T @ (weight * squared)
        phi, variance = np.linalg.solve(gram, right).tolist()
        if variance < 0:  # all of the excess is in the counts
            phi, variance = float(right[0] / gram[0, 0]), 0.0
        error = float(np.sqrt(np.linalg.inv(gram)[0, 0]))
        if phi < 1 + _CLEAR * error:
            phi, variance = 1.0, float((right[1] - gram[0, 1]) / gram[1, 1])
        noise = Noise(max(phi, 1.0), float(np.clip(variance, 0.0, _LARGEST_TITLE_VARIANCE)))
    return noise


def _blocks_of_items(rows: ArmCounts) -> Iterator[tuple[IntArray, IntArray]]:
    """Titles of whole items, about `_BLOCK` at a time: the titles, item by item, and where each item begins."""
    order = np.argsort(rows.item, kind="stable")
    starts = np.flatnonzero(np.diff(rows.item[order], prepend=-1))
    if not len(starts):
        return
    for items in np.split(starts, np.flatnonzero(np.diff(starts // _BLOCK)) + 1):
        begin, after = int(items[0]), np.searchsorted(starts, items[-1], side="right")
        end = int(starts[after]) if after < len(starts) else len(order)
        yield order[begin:end], items - begin


def _centred(values: FloatArray, weight: FloatArray, starts: IntArray) -> FloatArray:
    """Values (n, k) less their item's weighted mean; items begin at ``starts``."""
    total = np.maximum(np.add.reduceat(weight, starts), 1e-300)
    means = np.add.reduceat(weight[:, None] * values, starts, axis=0) / total[:, None]
    out: FloatArray = values - np.repeat(means, np.diff(starts, append=len(values)), axis=0)
    return out


def _spread(groups: Sequence[IntArray], variances: FloatArray, d: int) -> FloatArray:
    prior = np.empty(d)
    for columns, variance in zip(groups, variances, strict=True):
        prior[columns] = variance
    return prior


def _between_titles(system: Normal, groups: Sequence[IntArray], variances: FloatArray, total: float) -> float:
    """Variance of effects between titles of an item that these prior variances mean, with weights that sum to this."""
    squares = np.diag(system.gram) / total
    return float(sum(v * squares[columns].sum() for columns, v in zip(groups, variances, strict=True))) + 1e-300


def _update_variances(system: Normal, groups: Sequence[IntArray], variances: FloatArray, updates: int) -> FloatArray:
    """MacKay's fixed point: v_g = |b_g|^2 / (well-determined coefficients of g)."""
    for _ in range(updates):
        mean, root = system.solve(_spread(groups, variances, len(system.right)))
        posterior_variance = np.sum(root**2, axis=1)
        new = variances.copy()
        for g, columns in enumerate(groups):
            determined = max(len(columns) - float(np.sum(posterior_variance[columns])) / variances[g], 1e-3)
            new[g] = max(float(np.sum(mean[columns] ** 2)) / determined, MIN_VARIANCE)
        change = np.max(np.abs(np.log(new / variances)))
        variances = new
        if change < 0.05:
            break
    return variances
