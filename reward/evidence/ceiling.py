"""The noise ceiling: how many pairs of titles a model that knew the true rates would put in the observed order."""

import numpy as np
from scipy.special import ndtr

from ..model.linear import ArmCounts
from .metrics import arms_of_items, pair_z

_VARIANCES = np.concatenate([[0.0], np.exp2(np.arange(-4.0, 9.0))])  # of true differences; that of the noise is 1
_SURE = 8.0  # an observed difference of so many standard deviations has the true sign
_BIN = 0.02
_STEPS = 3000


def noise_ceiling(rows: ArmCounts, overdispersion: float = 1.0) -> float:
    """Expected share of an item's pairs of titles whose observed order is the true one, where true ties count half.

    What `metrics.pair_accuracy` would be for a perfect model. A pair's observed difference in units of its noise is
    normal around the true one, z ~ N(mu, 1), and mu comes from a mixture of normal distributions around 0, a point at 0
    among them, whose weights are fitted to all pairs by EM (Stephens 2017, False discovery rates: a new deal). Given z
    and a component of variance v, z has the sign of mu with the chance Phi(sqrt(v / (1 + v)) |z|). Differences within
    an item alone count, so what moves all its titles is no part of it. 0.5 without a pair.

    Over some hundred items it is right to about 0.03, below 0.6 to 0.05; where many titles earn exactly the same, it is
    up to 0.04 too high. Titles of about one click each tie too often for it: it is then too low.

    Parameters
    ----------
    rows
        Clicks and exposure.
    overdispersion
        Variance of the counts relative to the binomial.
    """
    counts, ties = np.zeros(int(_SURE / _BIN) + 1, dtype=np.int64), 0
    for _, arms in arms_of_items(rows):
        _, _, difference, found = pair_z(rows, arms, overdispersion)
        bins = (np.minimum(found, _SURE) / _BIN).astype(np.int64)
        ties += int(np.sum(difference == 0))
        counts += np.bincount(bins, minlength=len(counts))
    if counts.sum() == ties:
        return 0.5
    z, share = _BIN * (np.flatnonzero(counts) + 0.5), counts[counts > 0] / counts.sum()
    density = np.exp(-0.5 * z[:, None] ** 2 / (1 + _VARIANCES)) / np.sqrt(1 + _VARIANCES)
    weight = np.full(len(_VARIANCES), 1 / len(_VARIANCES))
    for _ in range(_STEPS):
        weight = weight * ((share / (density @ weight)) @ density)
    posterior = density * weight / (density @ weight)[:, None]
    agreed = np.sum(posterior * ndtr(np.sqrt(_VARIANCES / (1 + _VARIANCES)) * z[:, None]), axis=1)
    in_order = share * counts.sum() - ties * (z < _BIN)  # ties have no order, but belong to the distribution of z
    return float(in_order @ agreed / in_order.sum())
