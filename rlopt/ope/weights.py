"""Importance weights: their making, their taming, and how much evidence they leave."""

import numpy as np

from reward.arrays import FloatArray, IntArray

from .rounds import RoundsError


def importance_weight(policy_probability: FloatArray, propensity: FloatArray) -> FloatArray:
    """Policy probability over propensity, w = pi_e(a|x) / pi_0(a|x), shape (n,).

    Raises
    ------
    RoundsError
        A propensity is outside (0, 1] or a policy probability outside [0, 1].
    """
    policy_probability = np.asarray(policy_probability, dtype=np.float64)
    propensity = np.asarray(propensity, dtype=np.float64)
    if policy_probability.shape != propensity.shape or propensity.ndim != 1:
        raise RoundsError(
            f"policy_probability and propensity must be 1-D of one length. "
            f"Got shapes {policy_probability.shape} and {propensity.shape}."
        )
    for name, array, low in (("propensity", propensity, "("), ("policy_probability", policy_probability, "[")):
        bad = ~((array > 0 if low == "(" else array >= 0) & (array <= 1 + 1e-9))
        if bad.any():
            row = int(np.argmax(bad))
            raise RoundsError(f"{name} must be in {low}0, 1]. Got {array[row]:g} in row {row}.")
    return policy_probability / propensity


def marginal_weight(policy_probability: FloatArray, propensity: FloatArray, cell: IntArray) -> FloatArray:
    """Weights of embeddings, pi_e(e|x) / pi_0(e|x), shape (n,), from those of single titles.

    Reference: Saito & Joachims (2022), off-policy evaluation for large action spaces via embeddings, equation (5).

    Parameters
    ----------
    policy_probability, propensity
        pi_e(a|x) and pi_0(a|x) of distinct titles a of the contexts x, shape (n,): one row a title and context.
    cell
        Code of each row's (context, embedding) pair, shape (n,), integers from 0.
    """
    importance_weight(policy_probability, propensity)  # for its checks
    wanted, shown = (np.bincount(cell, weights=p) for p in (policy_probability, propensity))
    weight: FloatArray = wanted[cell] / shown[cell]
    return weight


def effective_sample_size(weight: FloatArray, count: FloatArray | None = None) -> float:
    """Kish's effective sample size (sum w)^2 / sum w^2; 0 where every weight is zero.

    Reference: Kish (1965), *Survey Sampling*, section 11.7; Owen (2013), *Monte Carlo theory*, section 9.3.
    """
    if count is None:
        total, square = float(weight.sum()), float(weight @ weight)
    else:
        total, square = float(weight @ count), float((weight * weight) @ count)
    return total**2 / square if square > 0 else 0.0


def clip(weight: FloatArray, max_weight: float) -> FloatArray:
    """Weights cut at max_weight. Ionides (2008), truncated importance sampling."""
    return np.minimum(weight, max_weight)


def switch(weight: FloatArray, tau: float) -> FloatArray:
    """Weights up to tau, others 0. Wang, Agarwal & Dudik (2017), optimal and adaptive off-policy evaluation."""
    return np.where(weight <= tau, weight, 0.0)


def optimistic_shrinkage(weight: FloatArray, lambda_: float) -> FloatArray:
    """Shrunken weights lambda w / (w^2 + lambda). Su, Dimakopoulou, Krishnamurthy & Dudik (2020), equation (4)."""
    if lambda_ == 0:
        return np.zeros_like(weight)
    # the same fraction as lambda w / (w^2 + lambda), written so that an infinite lambda gives w and not NaN
    return weight / (weight * (weight / lambda_) + 1.0)


def subgaussian(weight: FloatArray, lambda_: float) -> FloatArray:
    """Weights w / (1 - lambda + lambda w), the power mean with s = -1 of Metelli, Russo & Restelli (2021)."""
    if lambda_ == 0:
        return weight
    # 0 / 0 at lambda = 1, w = 0 is the limit of w / w for a title the policy never picks: no weight
    denominator = 1.0 - lambda_ + lambda_ * weight
    return np.divide(weight, denominator, out=np.zeros_like(weight), where=denominator > 0)


def policy_over_logged(log_prob: FloatArray, item: IntArray) -> tuple[FloatArray, FloatArray]:
    """Policy probabilities over each item's logged titles.

    Parameters
    ----------
    log_prob
        log pi_e(title | item) in nats of each logged title, shape (n,).
    item
        Item position of each, shape (n,), integers from 0.

    Returns
    -------
    probability, mass
        ``probability`` (n,): renormalised within the item (sums to one), the policy restricted to logged titles,
        all alike where it writes none of them;
        ``mass`` (n_items,): what the unrestricted policy gives to the item's logged titles together, in [0, 1].
    """
    item = np.asarray(item, dtype=np.int64)
    n_items = int(item.max()) + 1
    highest = np.full(n_items, -np.inf)
    np.maximum.at(highest, item, log_prob)
    impossible = np.isneginf(highest)
    shifted = np.exp(np.where(impossible[item], 0.0, log_prob - np.where(impossible, 0.0, highest)[item]))
    total = np.bincount(item, weights=shifted, minlength=n_items)
    mass = np.minimum(np.exp(highest) * total, 1.0)
    return shifted / total[item], mass
