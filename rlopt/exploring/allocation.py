"""Allocation of an item's impressions to titles in the next batch, by what the batch earns and teaches.

Compares a few allocations, from one title alone to all alike, with Thompson sampling from a posterior made narrower
in between. The value of each is what it earns while it is kept up for some batches, plus what
the title chosen after those earns for the rest (a knowledge gradient over batches: Frazier & Powell 2010, paradoxes in
learning and the marginal value of information). Takes the best, item by item, batch after batch.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, qmc

from reward.arrays import BoolArray, FloatArray

from .beliefs import Beliefs, information_of, root_of

TEMPERS = (0.0, 0.35, 0.6, 1.0)  # standard deviations drawn, of the posterior's
LENGTHS = (1, 3, 9, 27)
_DRAWS = 256
_OUTCOMES = 64
_BLOCK = 2000  # items at once


@dataclass(frozen=True)
class Horizon:
    """Impressions that n items have still to show.

    Parameters
    ----------
    batch
        Impressions of the next batch, shape (n,).
    left
        Impressions that may be explored from now on, the batch included, shape (n,).
    after
        Impressions for which the title that then looks best is shown, shape (n,).
    rate
        Clicks per impression of the item's average title, as estimated, shape (n,).
    overdispersion
        Variance of the counts relative to the binomial's.
    """

    batch: FloatArray
    left: FloatArray
    after: FloatArray
    rate: FloatArray
    overdispersion: float = 1.0

    @property
    def total(self) -> FloatArray:
        """Impressions from now to the end, shape (n,)."""
        return self.left + self.after

    def take(self, items: slice) -> "Horizon":
        """Select these items."""
        return Horizon(self.batch[items], self.left[items], self.after[items], self.rate[items], self.overdispersion)


@dataclass(frozen=True)
class Allocation:
    """Probabilities of showing each title.

    Parameters
    ----------
    probability
        Probability of each title, shape (n, k); sums to 1, 0 for absent titles alone.
    gain
        Clicks that learning is expected to add until the end, as a share of those of the best title known, (n,).
    """

    probability: FloatArray
    gain: FloatArray


def allocate(beliefs: Beliefs, horizon: Horizon, *, floor: float, seed: int) -> Allocation:
    """The most valuable of some allocations for each item.

    Parameters
    ----------
    beliefs
        Of n items, with a title each at least.
    horizon
        Impressions still to show.
    floor
        Least chance of a title; of items with many titles at most half the impressions go to floors.
    seed
        Of the draws, which are the same for all items; same seed, same allocation.
    """
    n, k = beliefs.mean.shape
    normal, outcomes = standard_normal(_DRAWS, k, seed), standard_normal(_OUTCOMES, k, seed + 1)
    probability, gain = np.zeros((n, k)), np.zeros(n)
    for start in range(0, n, _BLOCK):
        rows = slice(start, start + _BLOCK)
        found = _allocate(beliefs.take(rows), horizon.take(rows), floor, normal, outcomes)
        probability[rows], gain[rows] = found.probability, found.gain
    return Allocation(probability, gain)


def _allocate(beliefs: Beliefs, horizon: Horizon, floor: float, normal: FloatArray, outcomes: FloatArray) -> Allocation:
    options = [with_floor(one, beliefs.present, floor) for one in _options(beliefs, normal)]
    relative = relative_rates(beliefs)
    best_now = np.max(np.where(beliefs.present, relative, -np.inf), axis=1)
    value = np.stack([_value(beliefs, horizon, one, relative, outcomes) for one in options])
    chosen = np.argmax(value, axis=0)
    everyone = np.arange(len(chosen))
    return Allocation(np.stack(options)[chosen, everyone], value[chosen, everyone] / best_now - 1)


def best_chance(beliefs: Beliefs, normal: FloatArray, temper: float = 1.0) -> FloatArray:
    """Chance of each title to be its item's best, by draws with ``temper`` standard deviations, shape (n, k)."""
    return _shares(np.argmax(beliefs.draws(normal, temper), axis=2), beliefs.mean.shape[1])


def doubt_of_best(beliefs: Beliefs, seed: int) -> FloatArray:
    """Clicks that the title best known is expected to lose against the one that is best, as a share, shape (n,)."""
    relative = relative_rates(beliefs)
    normal = standard_normal(_DRAWS, beliefs.mean.shape[1], seed)
    out = np.zeros(len(relative))
    for start in range(0, len(relative), _BLOCK):
        rows = slice(start, start + _BLOCK)
        rates = np.exp(beliefs.take(rows).draws(normal))
        best = np.argmax(np.where(beliefs.present[rows], relative[rows], -np.inf), axis=1)
        known = np.take_along_axis(rates, best[None, :, None], axis=2)[..., 0]
        out[rows] = 1 - known.mean(axis=0) / rates.max(axis=2).mean(axis=0)
    return out


def with_floor(probability: FloatArray, present: BoolArray, floor: float) -> FloatArray:
    """Chances of at least ``floor``, or half an equal share where that is less; they still sum to 1, shape (n, k)."""
    count = present.sum(axis=1, keepdims=True)
    least = np.minimum(floor, 0.5 / count)
    return np.where(present, least + (1 - count * least) * probability, 0.0)


def relative_rates(beliefs: Beliefs) -> FloatArray:
    """Expected rate of each title over that of the item's average one, shape (n, k)."""
    variance = np.diagonal(beliefs.covariance, axis1=1, axis2=2)
    rate = np.where(beliefs.present, np.exp(beliefs.mean + variance / 2), 0.0)
    mean: FloatArray = rate.sum(axis=1, keepdims=True) / beliefs.present.sum(axis=1, keepdims=True)
    return rate / mean


def _options(beliefs: Beliefs, normal: FloatArray) -> list[FloatArray]:
    """Allocations to choose from, shape (n, k) each."""
    equal = beliefs.present / beliefs.present.sum(axis=1, keepdims=True)
    return [equal, *(best_chance(beliefs, normal, temper) for temper in TEMPERS)]


def _value(
    beliefs: Beliefs, horizon: Horizon, probability: FloatArray, relative: FloatArray, outcomes: FloatArray
) -> FloatArray:
    """Clicks until the end over those of the average title, when ``probability`` is kept up as long as best, (n,)."""
    at_once = np.sum(probability * relative, axis=1)
    value: FloatArray = at_once
    share = probability * np.where(beliefs.present, np.exp(beliefs.mean), 0.0)
    share = share / share.sum(axis=1, keepdims=True)
    for length in LENGTHS:
        kept_up = np.minimum(length * horizon.batch, horizon.left)
        clicks = kept_up * horizon.rate * at_once
        after = expected_best(beliefs, information_of(share, clicks, horizon.overdispersion), relative, outcomes)
        part = kept_up / np.maximum(horizon.total, 1e-12)
        value = np.maximum(value, part * at_once + (1 - part) * after)
        if np.all(kept_up >= horizon.left):
            break
    return value


def expected_best(beliefs: Beliefs, information: FloatArray, relative: FloatArray, outcomes: FloatArray) -> FloatArray:
    """Expected rate of the title that will be best known after clicks with this ``information``, shape (n,).

    The posterior mean after them is normal around today's with covariance V - V', V' = V (1 + W V)^-1. ``relative`` are
    today's expected rates, on whose scale the result is.
    """
    identity = np.eye(beliefs.mean.shape[1])
    after = beliefs.covariance @ np.linalg.inv(identity + information @ beliefs.covariance)
    root = root_of(beliefs.covariance - (after + after.swapaxes(1, 2)) / 2)
    moved = np.einsum("nij,sj->sni", root, outcomes)
    half = np.sum(root**2, axis=2) / 2
    rate = np.where(beliefs.present, relative * np.exp(moved - half), -np.inf)
    return np.asarray(rate.max(axis=2).mean(axis=0))


def _shares(best: np.ndarray[tuple[int, ...], np.dtype[np.int64]], k: int) -> FloatArray:
    """Share of each title among draws of the best, shape (s, n) to (n, k)."""
    return np.stack([(best == title).mean(axis=0) for title in range(k)], axis=1)


def standard_normal(draws: int, dimensions: int, seed: int) -> FloatArray:
    """Standard normal numbers that fill the space evenly (scrambled Sobol), each with its opposite, shape (s, k)."""
    points = qmc.Sobol(dimensions, scramble=True, seed=seed).random(draws // 2)
    half = norm.ppf(np.clip(points, 1e-9, 1 - 1e-9))
    return np.concatenate([half, -half])
