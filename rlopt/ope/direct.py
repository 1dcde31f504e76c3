"""Direct method: what the judge expects new titles to earn, as a lift paired by item.

For titles nobody has shown, exact-match estimators are blind, so the answer is a model's: the judge, fitted on other
items than the reward that PPO optimised. Its posterior draws carry what it does not know (parameters, and how a single
title departs from its features); resampled items carry that other items would have been drawn.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from reward.arrays import FloatArray, IntArray
from reward.plain import JsonObject, Plain

from .rounds import RoundsError

_TAIL_DRAWS = 10.0


@dataclass(frozen=True)
class TitleDraws:
    """Posterior draws of the titles of one policy.

    Parameters
    ----------
    effects
        Draws of the title effect on log CTR, shape (n_draws, n_titles). Draw s of every policy in a comparison must
        come from the same draw of the judge's parameters (one call of ``Judge.draws`` over all titles).
    item
        Item position of each title, shape (n_titles,), integers from 0; every item has at least one title.
    share
        Frequency of the title under the policy, shape (n_titles,), any positive scale; None: an item's titles equally.
    """

    effects: FloatArray
    item: IntArray
    share: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.effects.ndim != 2 or self.effects.shape[1] != len(self.item):
            raise RoundsError(
                f"effects must have shape (n_draws, n_titles) with n_titles={len(self.item)}. Got {self.effects.shape}."
            )
        if not np.isfinite(self.effects).all():
            raise RoundsError("effects must be finite. Got NaN or infinity among the judge's draws.")
        if self.share is not None and (self.share.shape != self.item.shape or not (self.share > 0).all()):
            raise RoundsError("share must be positive, one value per title.")

    @property
    def n_draws(self) -> int:
        """Number of posterior draws."""
        return len(self.effects)

    def at_mean(self) -> "TitleDraws":
        """One draw: each title's mean effect."""
        return TitleDraws(self.effects.mean(axis=0, keepdims=True), self.item, self.share)

    def item_factor(self, n_items: int, widening: float = 1.0) -> FloatArray:
        """Mean of exp(effect) over each item's titles, shape (n_draws, n_items).

        Parameters
        ----------
        n_items
            Number of items.
        widening
            Each title's draws are spread by this factor around their mean (kappa of the hidden-arm test).
        """
        share = np.ones(len(self.item)) if self.share is None else self.share
        total = np.bincount(self.item, weights=share, minlength=n_items)
        if len(total) > n_items or (total <= 0).any():
            raise RoundsError(f"Every one of the {n_items} items needs a title of every policy that is compared.")
        effects = self.effects
        if widening != 1.0:
            mean = effects.mean(axis=0)
            effects = mean + widening * (effects - mean)
        order = np.argsort(self.item, kind="stable")
        starts = np.searchsorted(self.item[order], np.arange(n_items))
        weighted = np.exp(effects[:, order]) * (share / total[self.item])[order]
        return np.add.reduceat(weighted, starts, axis=1)


@dataclass(frozen=True)
class LiftEstimate(Plain):
    """Relative lift of one policy over another on the same items; 0.05 is +5%.

    Parameters
    ----------
    value, low, high
        Posterior median and limits of sum_i value_new,i / sum_i value_base,i - 1.
    confidence
        Coverage of the interval.
    probability_positive
        Posterior probability that the lift is above zero.
    expected_loss
        Posterior mean of the loss, a share of the baseline; draws of the lift above zero count as zero.
    std_error_judge, std_error_items
        Standard deviation of the lift from the judge's uncertainty alone, and from the draw of items alone.
    n_items
        Items compared.
    item_lift, item_std
        Posterior mean and standard deviation of each item's lift, shape (n_items,).
    """

    value: float
    low: float
    high: float
    confidence: float
    probability_positive: float
    expected_loss: float
    std_error_judge: float
    std_error_items: float
    n_items: int
    item_lift: FloatArray
    item_std: FloatArray

    @property
    def item_spread(self) -> float:
        """Standard deviation between items of their lifts, posterior uncertainty included."""
        return float(np.sqrt(self.item_lift.var() + (self.item_std**2).mean()))

    def to_dict(self) -> JsonObject:
        """The figures, without the per-item arrays."""
        return {name: value for name, value in super().to_dict().items() if name not in ("item_lift", "item_std")}


def item_rate_draws(clicks: FloatArray, exposure: FloatArray, n_draws: int, rng: np.random.Generator) -> FloatArray:
    """Posterior draws of each item's logged CTR, shape (n_draws, n_items).

    Gamma-Poisson: clicks_i ~ Poisson(rate_i * exposure_i), rate_i ~ Gamma(shape, shape / mean) with the shape fitted to
    the items' spread by moments (DerSimonian & Laird's weights have no part: items count equally in the lift).

    Parameters
    ----------
    clicks, exposure
        Totals of each item, shape (n_items,); exposure > 0.
    n_draws
        Number of draws.
    rng
        Source of randomness.

    Raises
    ------
    RoundsError
        No item has a click.
    """
    if clicks.sum() <= 0:
        raise RoundsError("No test item has a click: a relative lift to a CTR of zero is not defined.")
    mean = float(clicks.sum() / exposure.sum())
    # Var[clicks] = mean n + (mean n)^2 / shape
    excess = float((((clicks - mean * exposure) ** 2) - mean * exposure).sum())
    shape = float(((mean * exposure) ** 2).sum()) / excess if excess > 0 else 1e3
    shape = float(np.clip(shape, 0.05, 1e3))
    draws: FloatArray = rng.gamma(clicks + shape, size=(n_draws, len(clicks))) / (exposure + shape / mean)
    return draws


def item_ratios(policy: TitleDraws, logged: TitleDraws, n_items: int, widening: float = 1.0) -> FloatArray:
    """Draws of each item's value under ``policy`` relative to the logs', shape (n_draws, n_items).

    N_i / L_i, the mean factors of its new and of its logged titles, scaled so that its mean over the draws is N_i / L_i
    at the mean effects. E[exp(e)] = exp(E[e] + var / 2) would add half of every variance to the value, and the spread
    of the draws is on purpose larger than the error (a prior that shrinks little, inflated standard deviations, kappa
    of the hidden-arm test): doubt would read as lift. What titles have beyond their features needs no such term: it
    lifts an item's new titles as it lifts the logged ones, whose clicks the value is relative to.

    Parameters
    ----------
    policy, logged
        Titles of the evaluation policy and of the logs, on the same items.
    n_items
        Number of items.
    widening
        As in `TitleDraws.item_factor`.
    """

    def ratio(titles: TitleDraws, base: TitleDraws, kappa: float) -> FloatArray:
        return titles.item_factor(n_items, kappa) / base.item_factor(n_items, kappa)

    draws = ratio(policy, logged, widening)
    draws *= ratio(policy.at_mean(), logged.at_mean(), 1.0) / draws.mean(axis=0)
    return draws


def estimate_lift(
    policy: TitleDraws,
    baseline: TitleDraws,
    logged: TitleDraws,
    item_rate: FloatArray,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    widening: float = 1.0,
) -> LiftEstimate:
    """Lift of ``policy`` over ``baseline`` by the judge, paired by item.

    An item's appeal is its logged CTR divided by the judge's mean factor of its logged titles; a policy's value there
    is the appeal times the mean factor of its own titles (`item_ratios`). With ``baseline`` equal to ``logged`` the
    base value is thus the observed CTR itself. Each draw combines one posterior draw of the judge, one of the items'
    CTR, and one Dirichlet(1, ..., 1) weighting of the items (Bayesian bootstrap, Rubin 1981).

    Parameters
    ----------
    policy, baseline, logged
        Titles of the evaluation policy, of what it is compared with, and of the logs, on the same items.
    item_rate
        Draws of the items' logged CTR, shape (n_draws, n_items), from `item_rate_draws`.
    rng
        Source of randomness for the item weights.
    confidence
        Coverage of the interval.
    widening
        Factor on the judge's posterior spread, see `rlopt.ope.hidden_arms.hidden_arm_test`.

    Raises
    ------
    RoundsError
        Fewer than two items, or draws that do not match.
    """
    n_draws, n_items = item_rate.shape
    if n_items < 2:
        raise RoundsError("A lift needs at least two test items. Got one: its interval would be unknown.")
    if {policy.n_draws, baseline.n_draws, logged.n_draws} != {n_draws}:
        raise RoundsError(
            f"All draws must be as many as item_rate's {n_draws}. "
            f"Got {policy.n_draws}, {baseline.n_draws}, {logged.n_draws}."
        )
    new = item_rate * item_ratios(policy, logged, n_items, widening)
    base = item_rate if baseline is logged else item_rate * item_ratios(baseline, logged, n_items, widening)

    dirichlet = rng.standard_exponential((n_draws, n_items))
    ratio = (dirichlet * new).sum(axis=1) / (dirichlet * base).sum(axis=1)
    low, median, high = _limits(np.log(ratio), n_items, confidence)
    ratio_items = (dirichlet @ new.mean(axis=0)) / (dirichlet @ base.mean(axis=0))
    item_lift = new / base - 1
    return LiftEstimate(
        value=median,
        low=low,
        high=high,
        confidence=confidence,
        probability_positive=float((ratio > 1).mean()),
        expected_loss=float(np.maximum(1 - ratio, 0.0).mean()),
        std_error_judge=float((new.sum(axis=1) / base.sum(axis=1)).std()),
        std_error_items=float(ratio_items.std()),
        n_items=n_items,
        item_lift=item_lift.mean(axis=0),
        item_std=item_lift.std(axis=0),
    )


def _limits(log_ratio: FloatArray, n_items: int, confidence: float) -> tuple[float, float, float]:
    """(low, median, high) of the lift; the log ratio's quantiles, widened where items are few as t is to normal.

    Tails that hold fewer than `_TAIL_DRAWS` draws are those that hold that many, extended as a normal's are.
    """
    tail = (1 - confidence) / 2
    drawn = min(max(tail, _TAIL_DRAWS / len(log_ratio)), 0.25)
    low, median, high = np.quantile(log_ratio, [drawn, 0.5, 1 - drawn])
    wider = stats.t.ppf(1 - tail, df=n_items - 1) / stats.norm.ppf(1 - drawn)
    return (
        float(np.expm1(median - wider * (median - low))),
        float(np.expm1(median)),
        float(np.expm1(median + wider * (high - median))),
    )
