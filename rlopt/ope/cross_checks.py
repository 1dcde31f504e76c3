"""Cross-checks of the judge where nothing overlaps: logged clicks, moved towards what the policy writes.

None of them is the answer. A title's clicks stand in for those of titles that are only like it, so each is wrong by
what the likeness misses, and its interval does not know by how much. But they hold the clicks of the very test items
against the judge as it was before it learned from these: where they all contradict it, do not trust it. "Like"
is measured in `Judge.vectors`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import optimize
from sklearn.cluster import KMeans

from reward.arrays import FloatArray, IntArray
from reward.plain import Plain

from .diagnostics import model_against_weights
from .evaluation import OffPolicyEvaluation
from .rounds import LoggedRounds, RoundsError
from .weights import effective_sample_size

N_DIRECTIONS = 20
N_CELLS = 6
RIDGE = (
    0.1  # of the balancing weights; leaves up to a third of a standard deviation where exact balance takes ten items
)

Kind = Literal["dm", "kernel_dr", "balanced_dr", "cells_dr", "mips"]


@dataclass(frozen=True)
class CrossCheck(Plain):
    """One more answer to what the policy would earn, from logged clicks.

    Parameters
    ----------
    kind
        "dm" is the judge on the same impressions, for comparison.
    lift, low, high
        Over the logged titles, items counted by their impressions (the verdict's lift counts them equally).
    z
        The doubly robust correction of the judge in standard errors; None where there is none.
    effective_items
        Effective number of items of the weights.
    covered
        Share of the policy's titles in cells the logs have shown; None where there are no cells.
    """

    kind: Kind
    lift: float
    low: float
    high: float
    z: float | None
    effective_items: float
    covered: float | None = None


def cross_check(
    kind: Kind, rounds: LoggedRounds, confidence: float = 0.95, covered: float | None = None
) -> CrossCheck | None:
    """The estimate that ``kind`` makes of these rounds, whose weights are its own; None where no lift is defined.

    "dm" is the direct method, "mips" reweights rewards alone (self-normalised: what lies in cells that were never shown
    is left out, not taken for no clicks), the others correct the judge's predictions.
    """
    key = {"dm": "dm", "mips": "snips"}.get(kind, "dr")
    try:
        lift, low, high = OffPolicyEvaluation(rounds, [key], confidence).lift(key)
    except RoundsError:  # not a positive value: a ratio to it says nothing
        return None
    z = model_against_weights(rounds) if key == "dr" else None
    weight = rounds.cluster_sums(np.ones(len(rounds)) if kind == "dm" else rounds.weight)
    return CrossCheck(kind, lift, low, high, z, effective_sample_size(weight), covered)


def kernel_weight(
    new: FloatArray, new_item: IntArray, logged: FloatArray, logged_item: IntArray, propensity: FloatArray
) -> FloatArray:
    """Weights of logged titles, shape (n,), when each new title counts as the similar logged titles of its item.

    A new title t is spread over its item's logged titles a by pi_0(a) K(t, a), so that weights have mean one under
    pi_0 in every item, and a title that was logged stays where it is as the kernel narrows. K is Gaussian; its
    bandwidth is the median distance of a logged title to the nearest other one of its item. Reference: Kallus & Zhou
    (2018), policy evaluation and optimization with continuous treatments.

    Parameters
    ----------
    new, logged
        Coordinates of the policy's and of the logged titles, shape (m, d) and (n, d).
    new_item, logged_item
        Item position of each, integers from 0; every item of a new title has a logged one.
    propensity
        pi_0 of the logged titles, shape (n,), any scale within an item.
    """
    places, starts = _by_item(logged_item)
    new_places, new_starts = _by_item(new_item)
    members = [places[starts[i] : starts[i + 1]] for i in range(len(starts) - 1)]
    nearest = [_square_distances(logged[rows], logged[rows], np.inf).min(axis=1) for rows in members if len(rows) > 1]
    square = float(np.median(np.concatenate(nearest))) if nearest else 0.0
    square = max(square, 1e-12)
    weight = np.zeros(len(logged))
    for i, rows in enumerate(members[: len(new_starts) - 1]):
        titles = new_places[new_starts[i] : new_starts[i + 1]]
        if not len(titles):
            continue
        share = propensity[rows] / propensity[rows].sum()
        log_kernel = -_square_distances(new[titles], logged[rows]) / (2 * square)
        kernel = np.exp(log_kernel - log_kernel.max(axis=1, keepdims=True))
        weight[rows] = (kernel / (kernel @ share)[:, None]).mean(axis=0)
    return weight


def balancing_weight(values: FloatArray, share: FloatArray, target: FloatArray, ridge: float = RIDGE) -> FloatArray:
    """Weights w > 0 nearest to one for which the logged mean of ``values`` is ``target``, shape (n,), mean one.

    Entropy balancing with a ridge: sum_a share_a w_a values_a = target - ridge * theta, w_a ~ exp(theta' values_a).
    Reference: Hainmueller (2012), entropy balancing for causal effects; Zhao & Percival (2017), entropy balancing is
    doubly robust.

    Parameters
    ----------
    values
        Values to balance, shape (n, k), each column of about unit variance.
    share
        Share of each row in the logs, shape (n,), summing to one.
    target
        Mean of the values under the policy, shape (k,).
    ridge
        Zero balances exactly, where that is possible.
    """

    def dual(theta: FloatArray) -> tuple[float, FloatArray]:
        exponent = values @ theta
        highest = float(exponent.max())
        mass = share * np.exp(exponent - highest)
        total = float(mass.sum())
        value = np.log(total) + highest - theta @ target + 0.5 * ridge * theta @ theta
        return float(value), (mass / total) @ values - target + ridge * theta

    if not values.shape[1]:
        return np.ones(len(values))
    found = optimize.minimize(dual, np.zeros(values.shape[1]), jac=True, method="L-BFGS-B", options={"gtol": 1e-8})
    exponent = values @ found.x
    weight = np.exp(exponent - exponent.max())
    out: FloatArray = weight / float(share @ weight)
    return out


def directions(
    new: FloatArray, new_item: IntArray, logged: FloatArray, logged_item: IntArray, share: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Both in the leading directions in which an item's logged titles differ, shape (m, k) and (n, k).

    Taken off is the item's logged mean by ``share``; scaled to unit variance over the logged titles by ``share``.
    """
    n_items = int(logged_item.max()) + 1
    total = np.bincount(logged_item, weights=share, minlength=n_items)
    mean = np.zeros((n_items, logged.shape[1]))
    np.add.at(mean, logged_item, logged * (share / total[logged_item])[:, None])
    new, logged = new - mean[new_item], logged - mean[logged_item]
    variance, axes = np.linalg.eigh((logged * share[:, None]).T @ logged / share.sum())
    kept = [k for k in np.argsort(-variance)[:N_DIRECTIONS] if variance[k] > 1e-6 * max(float(variance.max()), 1e-300)]
    scale = axes[:, kept] / np.sqrt(variance[kept])
    return new @ scale, logged @ scale


def cells(new: FloatArray, logged: FloatArray, seed: int, n_cells: int = N_CELLS) -> tuple[IntArray, IntArray]:
    """Cell of every new and every logged title: k-means over both, without a look at any click."""
    together = np.concatenate([new, logged])
    if not together.shape[1]:  # items with one title each: no difference to go by
        return np.zeros(len(new), dtype=np.int64), np.zeros(len(logged), dtype=np.int64)
    n_cells = min(n_cells, len(np.unique(together, axis=0)))
    label = KMeans(n_cells, n_init=4, random_state=seed).fit_predict(together).astype(np.int64)
    return label[: len(new)], label[len(new) :]


def cell_weight(
    new_cell: IntArray, new_item: IntArray, logged_cell: IntArray, logged_item: IntArray, propensity: FloatArray
) -> tuple[FloatArray, float]:
    """pi_e(cell | item) / pi_0(cell | item) of each logged title, shape (n,), and the policy's share in logged cells.

    pi_e is what the policy's titles show of it, an item's titles counted equally: the weights are unbiased, as the
    marginal weights of Saito & Joachims (2022) are linear in pi_e. What is written into cells an item never showed
    has no weight.
    """
    n_cells = int(max(new_cell.max(), logged_cell.max())) + 1
    n_items = int(max(new_item.max(), logged_item.max())) + 1
    key, new_key = logged_item * n_cells + logged_cell, new_item * n_cells + new_cell
    shown = np.bincount(key, weights=propensity / np.bincount(logged_item, weights=propensity)[logged_item])
    wanted = np.bincount(new_key, weights=1.0 / np.bincount(new_item)[new_item], minlength=n_items * n_cells)
    shown = np.pad(shown, (0, n_items * n_cells - len(shown)))
    covered = float(wanted[shown > 0].sum() / wanted.sum())
    weight: FloatArray = wanted[key] / shown[key]
    return weight, covered


def _by_item(item: IntArray) -> tuple[IntArray, IntArray]:
    """Row numbers ordered by item, and where each item's begin, shape (n_items + 1,)."""
    order = np.argsort(item, kind="stable")
    return order, np.searchsorted(item[order], np.arange(int(item.max()) + 2))


def _square_distances(a: FloatArray, b: FloatArray, diagonal: float | None = None) -> FloatArray:
    out: FloatArray = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
    if diagonal is not None:
        np.fill_diagonal(out, diagonal)
    return out
