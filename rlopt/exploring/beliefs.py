"""Posterior of the title effects of many items given clicks: Gaussian, with unknown levels of the items.

    log rate of title j of item i in batch b = level_ib + e_ij,   e_ij = mean_ij + factors_ij u + rest_ij d_ij

with u and d standard normal, u one for all items: so items teach one another. Every batch of an item has a level of its
own, with a flat prior: given a batch's clicks, they fall on its titles as a multinomial, whatever the level.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from reward.arrays import BoolArray, FloatArray, IntArray

WIDENING = (
    1.25  # on the model's own doubt of a title; chosen on a part of the archive (tests/benchmarks/bandit_replay.py)
)
DOUBT = 0.3  # least standard error of the slope of predictions: other items, another season
_STEPS = 12
_LONGEST_STEP = 1.0  # of a log rate, in one Newton step
_CLOSE = 1e-6
_HAIR = 1e-9  # variance of a log rate that is no matter


@dataclass(frozen=True)
class TitlePrior:
    """Prior of the titles of n items with at most k titles each, before any clicks.

    Parameters
    ----------
    mean
        Log rate of each title relative to its item's level, shape (n, k).
    factors
        Loadings on the unknown factors that titles of all items share, shape (n, k, f).
    rest
        Standard deviation of each title's own part, above 0, shape (n, k).
    present
        False where an item has fewer titles, shape (n, k).
    """

    mean: FloatArray
    factors: FloatArray
    rest: FloatArray
    present: BoolArray

    @classmethod
    def flat(cls, present: BoolArray, spread: float) -> "TitlePrior":
        """Flat prior, except for the spread of one item's titles: standard deviation ``spread`` of a log rate."""
        shape = present.shape
        return cls(np.zeros(shape), np.zeros((*shape, 1)), np.full(shape, spread), present)

    def with_doubt(self, slope: float, error: float) -> "TitlePrior":
        """Predicted differences multiplied by ``slope``, known to ``error`` (at least `DOUBT`): a factor of all items.

        Clicks then tell how far predictions may be believed, and what they say of some items corrects the others. What
        is each title's own is widened by `WIDENING`.
        """
        count = np.maximum(self.present.sum(axis=1, keepdims=True), 1)
        beyond = np.where(self.present, self.mean - (self.mean * self.present).sum(axis=1, keepdims=True) / count, 0.0)
        factors = np.concatenate([slope * self.factors, (max(error, DOUBT) * beyond)[..., None]], axis=2)
        rest = np.where(self.present, WIDENING * self.rest, self.rest)
        return replace(self, mean=slope * beyond, factors=factors, rest=rest)

    def take(self, items: BoolArray) -> "TitlePrior":
        """Select these items."""
        return TitlePrior(self.mean[items], self.factors[items], self.rest[items], self.present[items])

    @cached_property
    def beliefs(self) -> "Beliefs":
        """The posterior without a click."""
        return Beliefs(self.mean, self.factors @ self.factors.swapaxes(1, 2) + _diagonal(self.rest**2), self.present)


@dataclass(frozen=True)
class Clicks:
    """Clicks and impressions of batches, shape (n_batches, n, k) each.

    Parameters
    ----------
    clicks, impressions
        Of each title in each batch; titles of one batch and item shared its visitors at random.
    weight
        Weight of each batch, shape (n_batches,): 1, or less for old batches (`discount`).
    """

    clicks: FloatArray
    impressions: FloatArray
    weight: FloatArray

    @classmethod
    def of(cls, clicks: FloatArray, impressions: FloatArray, half_life: float | None = None) -> "Clicks":
        """With the weights of `discount`, the last batch being the newest."""
        return cls(clicks, impressions, discount(len(clicks), half_life))

    def take(self, items: BoolArray) -> "Clicks":
        """Select these items."""
        return replace(self, clicks=self.clicks[:, items], impressions=self.impressions[:, items])

    def then(self, clicks: FloatArray, impressions: FloatArray) -> "Clicks":
        """With one more batch (n, k), which counts whole."""
        return Clicks(
            np.concatenate([self.clicks, clicks[None]]),
            np.concatenate([self.impressions, impressions[None]]),
            np.append(self.weight, 1.0),
        )


def discount(batches: int, half_life: float | None) -> FloatArray:
    """Weight of each batch, the newest 1 and half as much every ``half_life`` batches before; shape (batches,).

    A power of the likelihood, which forgets at that rate (Raftery, Karny & Ettler 2010); None forgets nothing.
    """
    age = np.arange(batches)[::-1]
    return np.ones(batches) if half_life is None else 0.5 ** (age / half_life)


@dataclass(frozen=True)
class Beliefs:
    """Gaussian posterior of the log rates of titles within items.

    Parameters
    ----------
    mean
        Shape (n, k).
    covariance
        Shape (n, k, k).
    present
        Shape (n, k).
    common, common_covariance
        Posterior of the shared factors u, shapes (f,) and (f, f); None before any click.
    """

    mean: FloatArray
    covariance: FloatArray
    present: BoolArray
    common: FloatArray | None = None
    common_covariance: FloatArray | None = None

    def take(self, items: slice | BoolArray) -> "Beliefs":
        """Select these items."""
        return replace(self, mean=self.mean[items], covariance=self.covariance[items], present=self.present[items])

    def against(self, place: IntArray) -> tuple[FloatArray, FloatArray]:
        """Log rate of each title less that of the title at ``place`` (n,), and its standard deviation, (n, k) each."""
        rows = np.arange(len(place))
        variance = np.diagonal(self.covariance, axis1=1, axis2=2)
        squared = variance + variance[rows, place][:, None] - 2 * self.covariance[rows, :, place]
        return self.mean - self.mean[rows, place][:, None], np.sqrt(np.maximum(squared, 0.0))

    def draws(self, normal: FloatArray, temper: float = 1.0) -> FloatArray:
        """Log rates drawn with ``temper`` times the standard deviation, shape (s, n, k); absent titles are -inf.

        ``normal``, shape (s, k), are the standard normal numbers that every item is drawn with.
        """
        root = root_of(self.covariance)
        drawn = self.mean + temper * np.einsum("nij,sj->sni", root, normal)
        return np.where(self.present, drawn, -np.inf)


def learn(prior: TitlePrior, seen: Clicks, overdispersion: float = 1.0) -> Beliefs:
    """The posterior after clicks, exact but for the normal shape of the multinomial's likelihood around its mode.

    Given u an item's posterior has precision W_i + D_i^-1 with W_i the multinomial's information and D_i the variances
    of what is its own; u itself has precision 1 + sum_i F_i' W_i (1 + D_i W_i)^-1 F_i. (Penalised quasi-likelihood, as
    in `reward.model.bayes`; the conditional likelihood that takes the level out: Cox & Hinkley 1974, section 2.3.)

    Parameters
    ----------
    prior
        Prior of n items.
    seen
        Clicks of the same n items.
    overdispersion
        Variance of the counts relative to a binomial's, at least 1: the likelihood is taken to this power's inverse.
    """
    own, factors = prior.rest**2, prior.factors
    identity = np.eye(prior.mean.shape[1])
    effect = prior.mean.copy()
    for _ in range(_STEPS):
        gradient, information = _multinomial(seen, effect, overdispersion)
        weighted = identity + information * own[:, None, :]  # 1 + W D
        right = (information @ (effect - prior.mean)[..., None])[..., 0] + gradient
        solved = np.linalg.solve(weighted, np.concatenate([information @ factors, right[..., None]], axis=2))
        through, pulled = solved[..., :-1], solved[..., -1]
        precision = np.eye(factors.shape[2]) + np.einsum("nif,nig->fg", factors, through)
        common_covariance = np.linalg.inv(precision)
        common = common_covariance @ np.einsum("nif,ni->f", factors, pulled)
        target = prior.mean + factors @ common + own * (pulled - through @ common)
        step = np.clip(target - effect, -_LONGEST_STEP, _LONGEST_STEP)
        effect = effect + step
        if np.max(np.abs(step), initial=0.0) < _CLOSE:
            break
    alone = own[:, :, None] * (identity - np.linalg.solve(weighted, information * own[:, None, :]))
    alone = (alone + alone.swapaxes(1, 2)) / 2
    reach = factors - own[..., None] * through
    covariance = alone + reach @ common_covariance @ reach.swapaxes(1, 2)
    return Beliefs(effect, covariance, prior.present, common, common_covariance)


def information_of(shares: FloatArray, clicks: npt.ArrayLike, overdispersion: float) -> FloatArray:
    """Information of ``clicks`` (n,) that fall on titles with chances ``shares`` (n, k), shape (n, k, k)."""
    total = np.asarray(clicks, dtype=np.float64)[:, None, None] / overdispersion
    spread: FloatArray = _diagonal(shares) - shares[:, :, None] * shares[:, None, :]
    return total * spread


def root_of(covariance: FloatArray) -> FloatArray:
    """Lower triangular root of each covariance, shape (n, k, k); one that is singular is taken a hair wider."""
    wider = covariance + _HAIR * np.eye(covariance.shape[1])
    return np.asarray(np.linalg.cholesky(wider), dtype=np.float64)


def _multinomial(seen: Clicks, effect: FloatArray, overdispersion: float) -> tuple[FloatArray, FloatArray]:
    """Score (n, k) and information (n, k, k) of log rates, given the clicks of each batch and item."""
    gradient: FloatArray = np.zeros(effect.shape)
    information: FloatArray = np.zeros((*effect.shape, effect.shape[1]))
    top = np.exp(effect - effect.max(axis=1, keepdims=True))
    for clicks, impressions, weight in zip(seen.clicks, seen.impressions, seen.weight, strict=True):
        expected = impressions * top
        share = expected / np.maximum(expected.sum(axis=1, keepdims=True), 1e-300)
        total = weight * clicks.sum(axis=1)
        gradient += (weight * clicks - total[:, None] * share) / overdispersion
        information += information_of(share, total, overdispersion)
    return gradient, information


def _diagonal(values: FloatArray) -> FloatArray:
    return values[:, :, None] * np.eye(values.shape[1])
