"""K titles of an item that together are worth most: whichever turns out best is the one that will be kept.

The worth of a set is the expected reward of its best title under what is believed. It is monotone and submodular, so
that taking the title that adds most, one by one, gives at least 1 - 1/e of what the best set has (Nemhauser, Wolsey &
Fisher 1978). What is not known of two titles is the same as far as their words are: near-copies add next to nothing.
"""

from collections.abc import Sequence

import numpy as np

from reward.arrays import FloatArray
from reward.text import words
from rlopt.exploring.allocation import standard_normal
from rlopt.exploring.beliefs import root_of

DRAWS = 512
NEAR = 3  # times as many titles as are taken, the best by reward, are looked at: others would be there by luck alone
SAME = 1e-4  # of the set's worth: titles that add the same but for this are alike, and the least alike one is taken


def likeness(titles: Sequence[str]) -> FloatArray:
    """Word similarity of titles, cosine in [0, 1], shape (k, k); a Chinese character is a word."""
    parts = [frozenset(words(title)) for title in titles]
    column = {word: place for place, word in enumerate(sorted(frozenset[str]().union(*parts)))}
    table = np.zeros((len(titles), len(column) + 1))
    for row, own in enumerate(parts):
        table[row, [column[word] for word in own]] = 1.0
    length = np.maximum(np.sqrt(table.sum(axis=1)), 1e-12)
    found: FloatArray = table @ table.T / (length[:, None] * length)
    np.fill_diagonal(found, 1.0)
    return found


def worths(reward: FloatArray, std: FloatArray, alike: FloatArray, slope: float) -> FloatArray:
    """Rewards that k titles of one item may have, drawn from what is believed of them, shape (s, k).

    Parameters
    ----------
    reward
        Predicted, above 0, shape (k,).
    std
        Standard deviation of the effects, in log rates, shape (k,).
    alike
        `likeness`: correlation of the unknown parts of two titles, shape (k, k).
    slope
        Factor for predicted differences (`reward.evidence.slope.trust`).
    """
    log = np.log(reward)
    covariance = std[:, None] * std * alike
    drawn = standard_normal(DRAWS, len(log), seed=0) @ root_of(covariance[None])[0].T
    return np.asarray(np.exp(log.mean() + slope * (log - log.mean()) - std**2 / 2 + drawn))


def most_worth(worth: FloatArray, alike: FloatArray, n: int) -> list[int]:
    """Places of ``n`` titles, or of all where they are fewer, each the one that adds most to those before.

    Parameters
    ----------
    worth
        `worths`, shape (s, k).
    alike
        `likeness`, shape (k, k): among titles that add the same the one least like those before is taken.
    """
    left, taken = list(range(worth.shape[1])), list[int]()
    best = np.zeros(len(worth))
    while left and len(taken) < n:
        value = np.maximum(best[:, None], worth[:, left]).mean(axis=0)
        near = np.flatnonzero(value >= value.max() * (1 - SAME))
        closest = alike[np.ix_(taken, left)].max(axis=0, initial=0.0)[near]
        title = left[int(near[np.lexsort((-value[near], closest))[0]])]
        best = np.maximum(best, worth[:, title])
        taken.append(title)
        left.remove(title)
    return taken


def expected_best(worth: FloatArray) -> float:
    """Expected reward of the best of all titles of ``worth``, shape (s, k)."""
    return float(worth.max(axis=1).mean())


def diversity(alike: FloatArray) -> float | None:
    """Mean distance in words of two of the titles, in [0, 1]; None of a single one."""
    k = len(alike)
    return None if k < 2 else float(1 - (alike.sum() - k) / (k * (k - 1)))
