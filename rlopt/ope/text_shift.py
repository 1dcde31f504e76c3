"""Shift of new titles from logged ones as texts: a classifier that separates them, and the divergence it implies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from reward.arrays import FloatArray, IntArray
from reward.features.ngrams import to_matrix, word_grams
from reward.plain import Plain
from reward.text import words

N_BUCKETS = 1 << 14
STRENGTH = 10.0  # inverse ridge penalty; weaker ones overfit and lower the held-out bound, as stronger ones do
MIN_ITEMS = 10


@dataclass(frozen=True)
class TextShift(Plain):
    """Divergence of new titles from logged ones, as far as a classifier on words and word pairs sees it.

    Parameters
    ----------
    kl
        Lower bound on KL(new || logged) in nats per title, not below zero.
    std_error
        Its item-clustered standard error.
    accuracy
        Share of held-out titles the classifier puts on the right side; 0.5 where they are alike.
    """

    kl: float
    std_error: float
    accuracy: float


def text_shift(
    new: Sequence[str],
    new_item: IntArray,
    logged: Sequence[str],
    logged_item: IntArray,
    logged_share: FloatArray | None = None,
    *,
    folds: int = 5,
    seed: int = 0,
) -> TextShift | None:
    """KL(new || logged) from a classifier that has not seen the items it is asked about.

    A logistic regression on hashed n-grams gives each title the log odds f of being new; E_new[f] - log E_logged[e^f]
    then never exceeds the divergence but by chance, whatever f is, and reaches it for the true log ratio. Reference:
    Donsker & Varadhan (1983); Nguyen, Wainwright & Jordan (2010), estimating divergence functionals.

    Parameters
    ----------
    new, logged
        Titles.
    new_item, logged_item
        Item position of each.
    logged_share
        Frequency with which each logged title was shown, any positive scale; items count equally. None: equally often.
    folds
        Folds of items.
    seed
        Of the draw of the folds.

    Returns
    -------
    TextShift or None
        None with fewer than ten items, of which nothing is left to learn from.
    """
    item = np.concatenate([new_item, logged_item])
    n_items = int(item.max()) + 1
    if n_items < MIN_ITEMS:
        return None
    weight = np.concatenate([_item_weights(new_item, None), _item_weights(logged_item, logged_share)])
    is_new = np.arange(len(item)) < len(new)
    features = to_matrix(word_grams([words(t) for t in (*new, *logged)]), np.ones(N_BUCKETS, dtype=np.float32))
    fold = np.random.default_rng(seed).integers(folds, size=n_items)[item]
    log_odds = np.zeros(len(item))
    for k in range(folds):
        seen, held = fold != k, fold == k
        if not held.any():
            continue
        model = LogisticRegression(C=STRENGTH, max_iter=200).fit(features[seen], is_new[seen], weight[seen])
        log_odds[held] = model.decision_function(features[held])
    return _bound(log_odds, is_new, weight, item)


def _bound(
    log_odds: FloatArray, is_new: np.ndarray[Any, np.dtype[np.bool_]], weight: FloatArray, item: IntArray
) -> TextShift:
    share = np.where(is_new, weight / weight[is_new].sum(), weight / weight[~is_new].sum())
    highest = float(log_odds[~is_new].max())
    mass = share * np.exp(np.where(is_new, -np.inf, log_odds - highest))
    kl = float(share[is_new] @ log_odds[is_new]) - highest - float(np.log(mass.sum()))
    mean_new = float(share[is_new] @ log_odds[is_new])
    influence = np.where(is_new, share * (log_odds - mean_new), share - mass / mass.sum())
    scores = np.bincount(item, weights=influence)
    right = np.where(is_new, log_odds > 0, log_odds < 0) + 0.5 * (log_odds == 0)
    return TextShift(max(kl, 0.0), float(np.sqrt(scores @ scores)), float(share @ right / 2))


def _item_weights(item: IntArray, share: FloatArray | None) -> FloatArray:
    """Weights that sum to one for every item."""
    share = np.ones(len(item)) if share is None else share
    return np.asarray(share / np.bincount(item, weights=share)[item], dtype=np.float64)
