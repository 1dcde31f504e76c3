"""Cross-fitted q_hat: predictions that have not seen the rounds they correct."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from reward.arrays import FloatArray, IntArray

from .rounds import LoggedRounds, RoundsError

FitPredict = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]


def cross_fitted_rounds(
    successes: FloatArray,
    trials: FloatArray,
    fit_predict: FitPredict,
    *,
    folds: int = 2,
    rng: np.random.Generator,
    unit: FloatArray | None = None,
    **columns: npt.NDArray[Any],
) -> LoggedRounds:
    """Rounds of aggregated arms whose q_hat was fitted on other impressions.

    A q_hat that has seen an arm's clicks follows their noise; DR then subtracts what it ought to correct. Each arm's
    impressions are dealt out to folds at random (hypergeometric), and the rows of a fold get the predictions of a
    model fitted on the other folds. Reference: Chernozhukov et al. (2018), double/debiased machine learning.

    Parameters
    ----------
    successes, trials
        Clicks and impressions of each arm, shape (n_arms,), whole numbers, 0 <= successes <= trials.
    fit_predict
        From the (successes, trials) of the other folds to (q_logged, q_policy) of every arm, each of shape (n_arms,).
    folds
        Number of folds.
    rng
        Source of randomness.
    unit
        Reward of one success, shape (n_arms,), such as impressions / exposure where positions are corrected for; None:
        one.
    columns
        Further fields of `LoggedRounds` (weight, cluster, marginal_weight), shape (n_arms,).

    Returns
    -------
    LoggedRounds
        One row for every arm and fold in which it has impressions.
    """
    if folds < 2:
        raise RoundsError(f"Cross-fitting needs at least two folds. Got {folds}.")
    left_n: IntArray = trials.astype(np.int64)
    left_s: IntArray = successes.astype(np.int64)
    if (left_n != trials).any() or (left_s != successes).any() or (left_s > left_n).any() or (left_s < 0).any():
        raise RoundsError("Cross-fitting needs whole numbers with 0 <= successes <= trials.")
    parts = []
    for remaining in range(folds, 0, -1):
        n = left_n if remaining == 1 else rng.binomial(left_n, 1.0 / remaining)
        s = left_s if remaining == 1 else rng.hypergeometric(left_s, left_n - left_s, n)
        parts.append((s.astype(np.float64), n.astype(np.float64)))
        left_s, left_n = left_s - s, left_n - n
    rows = []
    for clicked, shown in parts:
        q_logged, q_policy = fit_predict(successes - clicked, trials - shown)
        kept = shown > 0
        reward = clicked[kept] / shown[kept] * (1.0 if unit is None else unit[kept])
        fold = {"reward": reward, "count": shown[kept], "q_logged": q_logged[kept], "q_policy": q_policy[kept]}
        rows.append(fold | {name: values[kept] for name, values in columns.items()})
    return LoggedRounds(**{name: np.concatenate([fold[name] for fold in rows]) for name in rows[0]})
