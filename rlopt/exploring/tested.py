"""Intervals from the batches alone, without the reward, that hold although plans followed earlier clicks.

A plan is fixed before its batch. Given what came before and the clicks m on two titles in the batch, those of one are
binomial with the chance n e / (n e + n0), e the ratio of the rates, n and n0 the impressions: whatever the level of
the batch and whatever led to the plan. Overdispersion takes the likelihood to the power of its inverse.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from reward.arrays import BoolArray, FloatArray, IntArray
from reward.plain import Plain

SPREAD = 0.2  # of log ratios that are bet on
ALPHA = 0.05
_FAR = 8.0  # log ratios beyond are not looked for
_STEPS = 50
_Z95 = 1.959964


@dataclass(frozen=True)
class LeadersLift(Plain):
    """Clicks of the titles that plans favoured over today's, in the batches that followed.

    Parameters
    ----------
    lift, low, high
        With its 95% interval.
    items
        Items of which a plan favoured another title than today's.
    """

    lift: float
    low: float
    high: float
    items: int


def leaders_lift(clicks: FloatArray, shown: FloatArray, today: IntArray, overdispersion: float) -> LeadersLift | None:
    """The lift of the titles shown most over today's, of all items and batches; None where no other one has clicks.

    Weighted by n n0 / (n + n0), as Mantel and Haenszel do, which is known before the clicks and keeps variances alike
    however small a propensity is (Hadad, Hirshberg, Zhan, Wager & Athey 2021, confidence intervals for policy
    evaluation in adaptive experiments). Which title is best is decided by earlier batches alone, so that its luck in
    being chosen is not counted.

    Parameters
    ----------
    clicks, shown
        Shape (n_batches, n, k).
    today
        Place of the title shown today, shape (n,).
    overdispersion
        Variance of the counts over a Poisson's.
    """
    leader = np.argmax(shown, axis=2)
    other = leader != today
    (c, n), (c0, n0) = (
        (_of(clicks, title), _of(shown, title)) for title in (leader, np.broadcast_to(today, leader.shape))
    )
    used = other & (n > 0) & (n0 > 0)
    part = np.where(used, n0 / np.maximum(n + n0, 1e-300), 0.0)
    rest = np.where(used, 1 - part, 0.0)
    ours, todays = float(np.sum(part * c)), float(np.sum(rest * c0))
    if not todays > 0:
        return None
    # Ratios r with (ours - r todays)^2 <= z^2 var, whose variance given both titles' clicks is r times this:
    variance = overdispersion * float(np.sum(part * rest * (c + c0)))
    middle = ours * todays + _Z95**2 * variance / 2
    reach = np.sqrt(middle**2 - (ours * todays) ** 2)
    lift, low, high = (float(ratio / todays**2 - 1) for ratio in (ours * todays, middle - reach, middle + reach))
    return LeadersLift(lift, low, high, int(used.any(axis=0).sum()))


def always_valid(
    clicks: FloatArray, shown: FloatArray, today: IntArray, present: BoolArray, overdispersion: float
) -> tuple[FloatArray, FloatArray]:
    """Log ratios of each title's rate to today's: the ends of intervals that hold at once, for all titles and looks.

    In at least 95% of items all intervals of all titles after all batches hold, so one may look at any time, stop when
    one likes, and pick the best title. They are the ratios that a bet on others has not won 20 (k - 1) times its stake
    against: the likelihood averaged over a normal distribution around 0 is that many times theirs (Robbins 1970;
    Howard, Ramdas, McAuliffe & Sekhon 2021, time-uniform confidence sequences), by Laplace's approximation.

    Parameters
    ----------
    clicks, shown
        Shape (n_batches, n, k).
    today
        Place of the title shown today, shape (n,).
    present
        Shape (n, k).
    overdispersion
        Variance of the counts over a Poisson's.

    Returns
    -------
    tuple of arrays
        Lower and upper end, shape (n, k); infinite where clicks tell nothing, 0 for today's.
    """
    place = np.broadcast_to(today, shown.shape[:2])
    c0, n0 = _of(clicks, place)[..., None], _of(shown, place)[..., None]
    used = (shown > 0) & (n0 > 0)
    c, m = np.where(used, clicks, 0.0), np.where(used, clicks + c0, 0.0)
    offset = np.log(np.where(used, shown, 1.0)) - np.log(np.where(used, n0, 1.0))

    def likelihood(effect: FloatArray) -> FloatArray:
        """Log likelihood of log ratios (n, k)."""
        value: FloatArray = np.sum(c * (effect + offset) - m * np.logaddexp(0.0, effect + offset), axis=0)
        return value / overdispersion

    def slope(effect: FloatArray) -> FloatArray:
        value: FloatArray = np.sum(c - m * expit(effect + offset), axis=0)
        return value / overdispersion

    far = np.full(present.shape, _FAR)
    mode = _falls_to_zero(lambda effect: slope(effect) - effect / SPREAD**2, -far, far)
    chance = expit(mode + offset)
    sharpness = np.sum(m * chance * (1 - chance), axis=0) / overdispersion * SPREAD**2 + 1
    won = likelihood(mode) - (mode / SPREAD) ** 2 / 2 - np.log(sharpness) / 2
    rivals = np.maximum(present.sum(axis=1, keepdims=True) - 1, 1)
    least = won - np.log(rivals / ALPHA)
    best = _falls_to_zero(slope, -far, far)
    low = -_falls_to_zero(lambda effect: likelihood(-effect) - least, -best, far)
    high = _falls_to_zero(lambda effect: likelihood(effect) - least, best, far)
    own = np.arange(present.shape[1]) == today[:, None]
    return (
        np.where(own, 0.0, np.where(low > -_FAR + 1e-3, low, -np.inf)),
        np.where(own, 0.0, np.where(high < _FAR - 1e-3, high, np.inf)),
    )


def _falls_to_zero(of: Callable[[FloatArray], FloatArray], low: FloatArray, high: FloatArray) -> FloatArray:
    """Find the root of a falling function between ``low`` and ``high``, or the nearer of these; by bisection."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        above = of(middle) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return (low + high) / 2


def _of(values: FloatArray, title: IntArray) -> FloatArray:
    """Values (n_batches, n, k) of a title of each batch and item, (n_batches, n)."""
    picked: FloatArray = np.take_along_axis(values, title[..., None], axis=2)[..., 0]
    return picked
