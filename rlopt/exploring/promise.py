"""Power of a plan: simulate it on titles drawn from the posterior, and count what it can tell."""

from dataclasses import dataclass

import numpy as np

from reward.arrays import FloatArray, IntArray
from reward.plain import Plain

from .allocation import relative_rates
from .beliefs import Beliefs, Clicks, TitlePrior, learn, root_of

NOTABLE = 0.05  # lift that is worth finding
_Z95 = 1.959964


@dataclass(frozen=True)
class Promise(Plain):
    """Means over items and simulated outcomes.

    Parameters
    ----------
    lift_now, lift_after
        Clicks of the title that is best known over today's: now, and after the plan.
    half_width_now, half_width_after
        Of the 95% interval of the difference between that title and another one, in log rates: as a lift.
    finds_notable
        Among items that have a title at least `NOTABLE` above today's: share in which the interval of the title then
        chosen lies above 0. None where no item has such a title.
    coverage
        Share of the intervals that hold the truth: near 95%, or the plan's promises mean little.
    """

    lift_now: float
    lift_after: float
    half_width_now: float
    half_width_after: float
    finds_notable: float | None
    coverage: float


def simulate_plan(
    prior: TitlePrior,
    seen: Clicks,
    beliefs: Beliefs,
    shown: FloatArray,
    rate: FloatArray,
    today: IntArray,
    *,
    overdispersion: float,
    seed: int,
    repetitions: int = 20,
) -> Promise:
    """Carry a plan out on truths drawn from ``beliefs``, as one batch with its present chances.

    Parameters
    ----------
    prior, seen, beliefs
        The prior, the clicks so far, and the posterior that they make, of n items.
    shown
        Impressions of each title by the plan, shape (n, k).
    rate
        Clicks per impression of each item's average title, shape (n,).
    today
        Place of the title shown today, shape (n,).
    overdispersion
        Variance of the counts relative to a binomial's.
    seed, repetitions
        Of the simulation.
    """
    rng = np.random.default_rng(seed)
    root, items = root_of(beliefs.covariance), np.arange(len(rate))
    now = _best(beliefs)
    told: list[tuple[FloatArray, ...]] = []
    widths: list[float] = []
    for _ in range(repetitions):
        truth = beliefs.mean + np.einsum("nij,nj->ni", root, rng.normal(size=beliefs.mean.shape))
        level = np.sum(np.exp(truth) * beliefs.present, axis=1) / beliefs.present.sum(axis=1)
        expected = shown * (rate / level)[:, None] * np.exp(truth)
        clicks = counts(expected, overdispersion, rng)
        after = learn(prior, seen.then(clicks, shown), overdispersion)
        best = _best(after)
        widths.append(_width(after))
        difference, error = (values[items, best] for values in after.against(today))
        true = truth[items, best] - truth[items, today]
        most = np.max(np.where(beliefs.present, truth, -np.inf), axis=1) - truth[items, today]
        told.append((truth[items, now] - truth[items, today], true, difference, error, most, best != today))
    as_now, true, difference, error, most, other = (np.stack(values) for values in zip(*told, strict=True))
    other, notable = other.astype(bool), np.expm1(most) >= NOTABLE
    held = np.abs(difference - true) <= _Z95 * error
    return Promise(
        lift_now=float(np.mean(np.expm1(as_now))),
        lift_after=float(np.mean(np.expm1(true))),
        half_width_now=_width(beliefs),
        half_width_after=float(np.mean(widths)),
        finds_notable=float(np.mean((difference > _Z95 * error)[notable])) if notable.any() else None,
        coverage=float(np.mean(held[other])) if other.any() else 1.0,
    )


def counts(expected: FloatArray, overdispersion: float, rng: np.random.Generator) -> FloatArray:
    """Clicks with these means and ``overdispersion`` times a Poisson's variance, of the same shape."""
    if overdispersion <= 1:
        return rng.poisson(expected).astype(np.float64)
    shape = expected / (overdispersion - 1)
    return rng.poisson(rng.gamma(np.maximum(shape, 1e-12)) * (overdispersion - 1) * (expected > 0)).astype(np.float64)


def _best(beliefs: Beliefs) -> IntArray:
    best: IntArray = np.argmax(np.where(beliefs.present, relative_rates(beliefs), -np.inf), axis=1)
    return best


def _width(beliefs: Beliefs) -> float:
    """Mean half-width, as a lift, of the interval between the best title known and the other ones."""
    _, error = beliefs.against(_best(beliefs))
    others = beliefs.present & (error > 0)
    return float(np.expm1(_Z95 * np.mean(error[others]))) if others.any() else 0.0
