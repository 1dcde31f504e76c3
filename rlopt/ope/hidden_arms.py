"""Hidden-arm test: the judge predicts real arms it has never seen, and the clicks they got say whether it was right."""

from dataclasses import dataclass

import numpy as np

from reward.arrays import FloatArray, IntArray
from reward.plain import Plain

from .intervals import clustered_interval

MAX_WIDENING = 3.0
UNTESTED_WIDENING = 1.3  # for a judge no real arm could test: posteriors fitted by empirical Bayes run narrow


@dataclass(frozen=True)
class HiddenArmTest(Plain):
    """The judge's predictions against observed clicks of real arms it has never seen.

    Parameters
    ----------
    z
        (observed - predicted lift) / standard error, of the logged titles the evaluation policy prefers.
    observed_lift, predicted_lift
        Lift of those preferred titles over the items' logged average.
    slope, slope_std_error
        Within items, observed clicks regressed on predicted ones: 1 for a calibrated judge, 0 for a useless one.
    widening
        kappa: root mean square of the arms' standardised residuals, not below 1 nor above 3; the judge's spread is
        multiplied by it.
    n_items, n_arms
        Items with at least two arms and one click, and their arms.
    prefers
        True if the policy prefers some logged titles to others at all; else z tests nothing.
    """

    z: float
    observed_lift: float
    predicted_lift: float
    slope: float
    slope_std_error: float
    widening: float
    n_items: int
    n_arms: int
    prefers: bool = True


def hidden_arm_test(
    effects: FloatArray, item: IntArray, clicks: FloatArray, exposure: FloatArray, preference: FloatArray
) -> HiddenArmTest | None:
    """Test the judge on the logged arms of the test items.

    Given an item's total clicks, each arm's share of them is predicted by exposure * exp(effect); click noise is
    multinomial, and the posterior draws give the prediction's own spread.

    Parameters
    ----------
    effects
        Judge's draws of the log-CTR effect of each arm, shape (n_draws, n_arms).
    item
        Item position of each arm, shape (n_arms,), integers from 0.
    clicks, exposure
        Observed counts, shape (n_arms,).
    preference
        The evaluation policy's probability of each arm within its item (sums to one an item), shape (n_arms,).

    Returns
    -------
    HiddenArmTest or None
        None where fewer than ten items have two arms and a click: nothing to test on.
    """
    n_items = int(item.max()) + 1
    arms_of = np.bincount(item, minlength=n_items)
    clicks_of = np.bincount(item, weights=clicks, minlength=n_items)
    usable = (arms_of >= 2) & (clicks_of > 0)
    if usable.sum() < 10:
        return None
    keep = usable[item]
    position = np.cumsum(usable) - 1
    item, effects = position[item[keep]], effects[:, keep]
    clicks, exposure, preference = clicks[keep], exposure[keep], preference[keep]
    n_items = int(usable.sum())
    total = np.bincount(item, weights=clicks)[item]

    share = exposure * np.exp(effects)
    share /= _item_sums(share, item, n_items)[:, item]
    predicted = total * share.mean(axis=0)
    residual = clicks - predicted
    click_variance = predicted * (1 - predicted / total)
    variance = click_variance + (total * share.std(axis=0)) ** 2
    widening = float(np.sqrt(np.mean(residual**2 / np.maximum(variance, 1e-12))))

    # lift of the preferred titles over the item's logged CTR, each item counted equally as in the lift itself
    per_exposure = preference / exposure
    rate = np.bincount(item, weights=clicks) / np.bincount(item, weights=exposure)
    observed = np.bincount(item, weights=per_exposure * clicks)
    predicted_draws = _item_sums(per_exposure * total * share, item, n_items)
    gap = observed - predicted_draws.mean(axis=0)
    spread = n_items / (n_items - 1) * float(((gap - gap.mean()) ** 2).sum()) + float(predicted_draws.sum(axis=1).var())
    slope, slope_std_error = _slope(
        predicted, clicks, total * exposure / np.bincount(item, weights=exposure)[item], item
    )
    return HiddenArmTest(
        z=float(gap.sum() / np.sqrt(spread)) if spread > 0 else 0.0,
        observed_lift=float(observed.sum() / rate.sum() - 1),
        predicted_lift=float(predicted_draws.mean(axis=0).sum() / rate.sum() - 1),
        slope=slope,
        slope_std_error=slope_std_error,
        widening=float(np.clip(widening, 1.0, MAX_WIDENING)),
        n_items=n_items,
        n_arms=len(clicks),
        prefers=bool(np.ptp(preference * np.bincount(item)[item]) > 1e-6),
    )


def _item_sums(values: FloatArray, item: IntArray, n_items: int) -> FloatArray:
    """Sums over each item's columns, (n_draws, n_arms) -> (n_draws, n_items)."""
    order = np.argsort(item, kind="stable")
    starts = np.searchsorted(item[order], np.arange(n_items))
    return np.add.reduceat(values[:, order], starts, axis=1)


def _slope(predicted: FloatArray, clicks: FloatArray, flat: FloatArray, item: IntArray) -> tuple[float, float]:
    """Regression of (clicks - flat) on (predicted - flat), inverse click variance as weight, item-clustered error.

    ``flat`` are the clicks an arm would have if titles made no difference.
    """
    x, y = (predicted - flat) / np.sqrt(flat), (clicks - flat) / np.sqrt(flat)
    square = float(x @ x)
    if square == 0:
        return 0.0, float("inf")
    slope = float(x @ y) / square
    scores = np.bincount(item, weights=x * (y - slope * x)) / square
    return slope, clustered_interval(slope, scores, confidence=0.95, log_scale=False).std_error
