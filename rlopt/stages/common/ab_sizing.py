"""Noise that a test of each design has to overcome, from the run's logs: of counts, of items and of periods."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from reward.arms import Arms
from reward.arrays import FloatArray
from rlopt.config import AbPlanConfig
from rlopt.errors import EvaluationError
from rlopt.ope.power import TestDesign, always_valid, group_sequential
from rlopt.ope.simultaneous import max_critical
from rlopt.ope.weights import effective_sample_size

SECONDS_A_DAY = 86_400.0
FEWEST_UNSEEN = 20


@dataclass(frozen=True)
class Noise:
    """Noise as estimated from the logs.

    Parameters
    ----------
    base_rate
        Events per impression.
    overdispersion
        Variance of the counts over chance.
    lift_spread
        Standard deviation of the lift between items.
    effective_items
        Kish's effective number of items by their traffic.
    item_spread, item_spread_adjusted
        Relative spread of the items' rates, and the part that their logged rates leave unknown.
    item_spread_predicted
        The part that these and the reward's predictions leave unknown; None where no item was held out.
    """

    base_rate: float
    overdispersion: float
    lift_spread: float
    effective_items: float
    item_spread: float
    item_spread_adjusted: float
    item_spread_predicted: float | None = None

    @property
    def item_spread_left(self) -> float:
        """Spread of the items' rates that an analysis cannot explain."""
        known = self.item_spread_predicted
        return self.item_spread_adjusted if known is None else known


def noise_of(
    arms: Arms, config: AbPlanConfig, overdispersion: float, lift_spread: float, predicted: FloatArray | None = None
) -> Noise:
    """The noise that the logs show; of revenue that of orders and their values.

    ``predicted`` are rates that the reward predicts of items it has not seen, NaN of the others, shape (n_items,).
    """
    by_item = np.bincount(arms.item_index, weights=arms.impressions).astype(np.float64)
    base = base_rate(arms, config.metric)
    dispersion = max(overdispersion, 1.0)
    if config.metric == "revenue":
        dispersion += config.order_spread**2  # each order counts by its value: a compound Poisson sum
    spreads = item_spreads(arms, config, base, max(overdispersion, 1.0), predicted)
    return Noise(base, dispersion, lift_spread, effective_sample_size(by_item), *spreads)


def design_of_plan(config: AbPlanConfig, noise: Noise, items: int, daily: float | None) -> TestDesign:
    """One variant against the control as the design has it.

    Whole items differ by their rates, however long the test is (`lift_spread`); the days of a period move together,
    which makes counts noisier by the clicks of a period (`overdispersion`).

    Raises
    ------
    EvaluationError
        A serial test of unknown traffic.
    """
    shares = arm_shares(config)
    share = shares[1] / (shares[0] + shares[1])
    both = (shares[0] + shares[1]) * (1.0 if config.design != "serial" else kept_share(config))
    spread, dispersion = noise.lift_spread, noise.overdispersion
    if config.design == "items":
        between = noise.item_spread_left**2 * (1 / share + 1 / (1 - share)) / (shares[0] + shares[1])
        spread = float(np.sqrt(spread**2 + between))
    if config.design == "serial":
        if daily is None:
            raise EvaluationError("A serial test is sized by the clicks of a period. Name the traffic: --traffic 50000")
        clicks = noise.base_rate * daily / items * config.period * both / (shares[0] + shares[1])
        dispersion += clicks * config.period_spread**2
    return TestDesign(
        base_rate=noise.base_rate,
        treated_share=share,
        alpha=config.alpha,
        two_sided=config.two_sided,
        overdispersion=dispersion,
        lift_spread=spread,
        effective_items=noise.effective_items,
    )


def used_share(config: AbPlanConfig) -> float:
    """Share of the test's impressions that one comparison is made of."""
    shares = arm_shares(config)
    return (shares[0] + shares[1]) * (kept_share(config) if config.design == "serial" else 1.0)


def kept_share(config: AbPlanConfig) -> float:
    """Share of a serial test's days that carry-over leaves: after each change, which about half the periods begin with.

    Raises
    ------
    EvaluationError
        None is left of a period.
    """
    if config.carry_over >= config.period:
        raise EvaluationError(
            f"Periods of {config.period} days leave nothing after {config.carry_over} days of carry-over. Name longer "
            "ones: --period 7"
        )
    shares = arm_shares(config)
    changes = 1 - float(np.sum(np.square(shares)))
    return 1 - changes * config.carry_over / config.period


def deciding(design: TestDesign, config: AbPlanConfig, kind: str, lift: float) -> TestDesign:
    """The design with the interval that decides, alpha shared between the variants."""
    variants = len(config.arm) - 1
    if kind == "one":
        if variants < 2 or not config.two_sided:
            return replace(design, alpha=config.alpha / variants)
        freedom = max(design.effective_items / 3, 1.0)
        return replace(design, critical=_dunnett(variants, design.treated_share, 1 - config.alpha, freedom))
    shared = replace(design, alpha=config.alpha / variants)
    if kind == "any":
        return always_valid(shared, lift, config.power)
    return group_sequential(shared, config.looks, config.power)


@cache
def _dunnett(variants: int, share: float, confidence: float, freedom: float) -> float:
    """Critical value of k variants that share a control: two of them correlate by a variant's share of a pair."""
    correlated = np.full((variants, variants), share) + (1 - share) * np.eye(variants)
    return max_critical(correlated, confidence, freedom)


def item_spreads(
    arms: Arms, config: AbPlanConfig, base: float, overdispersion: float, predicted: FloatArray | None = None
) -> tuple[float, float, float | None]:
    """Relative standard deviation of items' rates, and what logged rates, and predictions too, leave of it unknown.

    Items count by their traffic. Between-item variance by moments, that around the predictions of items which the
    reward has not seen; what is left is the posterior variance of a normal model with the clicks of ``pre_days`` days.
    The last is None where there are fewer than `FEWEST_UNSEEN` such items.
    """
    n = len(arms.items)
    events = arms.clicks if config.metric == "clicks" or arms.conversions is None else arms.conversions
    total = np.bincount(arms.item_index, events, minlength=n)
    shown = np.bincount(arms.item_index, arms.exposure, minlength=n).astype(np.float64)
    weight: FloatArray = np.square(shown) / np.square(shown).sum()  # an item counts by its traffic, squared
    rate = total / np.maximum(shown, 1e-300)
    chance = overdispersion * base / np.maximum(shown, 1e-300)
    between = max(float(weight @ ((rate - base) ** 2 - chance)), 0.0)
    days = logged_days(arms)
    scale = 1.0 if config.pre_days is None or days is None else config.pre_days / days
    known = shown * scale / (overdispersion * base)

    def left(unknown: float) -> float:
        return float(np.sqrt(weight @ (unknown / (1 + unknown * known)))) / base

    spread = float(np.sqrt(between)) / base
    unseen = np.zeros(n, dtype=bool) if predicted is None else ~np.isnan(predicted) & (shown > 0)
    if predicted is None or unseen.sum() < FEWEST_UNSEEN:
        return spread, left(between), None
    around = _around(rate[unseen], predicted[unseen], weight[unseen], chance[unseen])
    return spread, left(between), left(min(around, between))


def _around(rate: FloatArray, predicted: FloatArray, weight: FloatArray, chance: FloatArray) -> float:
    """Variance of true rates around a line in the predictions, as the analysis fits it (its two degrees taken off)."""
    weight = weight / weight.sum()
    x, y = predicted - weight @ predicted, rate - weight @ rate
    left = y - x * float(weight * x @ y) / max(float(weight * x @ x), 1e-300)
    degrees = 1 - 2 * float(weight @ weight)  # of weighted squares
    return max(float(weight @ left**2) / max(degrees, 0.1) - float(weight @ chance), 0.0)


def base_rate(arms: Arms, metric: str) -> float:
    """Clicks or conversions per impression of the logs; of revenue those of conversions."""
    events = arms.clicks if metric == "clicks" else arms.conversions
    if events is None:
        raise EvaluationError("The run's logs hold no conversions. Plan for clicks, or fit-reward on logs with them.")
    if events.sum() <= 0:
        raise EvaluationError(f"The run's logs hold no {metric} at all, so that no rate can be planned for.")
    return float(events.sum() / arms.impressions.sum())


def logged_days(arms: Arms) -> float | None:
    """Days that the logs span; None without timestamps or within less than a day."""
    if arms.first_seen is None or arms.last_seen is None:
        return None
    days = float(np.nanmax(arms.last_seen) - np.nanmin(arms.first_seen)) / SECONDS_A_DAY
    return days if days >= 1 else None


def logged_traffic(arms: Arms) -> float | None:
    """Impressions a day of the logs; None without timestamps or within less than a day."""
    days = logged_days(arms)
    return None if days is None else float(arms.impressions.sum()) / days


def arm_shares(config: AbPlanConfig) -> tuple[float, ...]:
    """Share of each arm: what the control leaves is shared alike."""
    variants = max(len(config.arm) - 1, 1)
    return (1 - config.split, *[config.split / variants] * variants)
