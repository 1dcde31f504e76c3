"""Simulated A/B tests of titles with a known truth, one function a kind of test: each returns rows ready to compare."""

from dataclasses import dataclass

import numpy as np

from reward.arms import Arms
from reward.arrays import FloatArray
from reward.items import Item
from rlopt.ope.comparison import Counts
from rlopt.stages.ab.assignment import stratified
from rlopt.stages.ab.covariates import shrunken_rates


@dataclass(frozen=True)
class Shop:
    """Items with their click rates and impressions.

    Parameters
    ----------
    rate, shown
        Click rate and impressions of each item in the test, shape (n_items,).
    """

    rate: FloatArray
    shown: FloatArray

    @classmethod
    def draw(cls, rng: np.random.Generator, items: int, impressions: float, spread: float = 0.6) -> "Shop":
        """Log-normal rates around 5%, log-normal traffic."""
        rate = 0.05 * np.exp(rng.normal(-(spread**2) / 2, spread, items))
        traffic = np.exp(rng.normal(0, 0.8, items))
        return cls(np.minimum(rate, 0.5), np.maximum(np.round(impressions * traffic / traffic.sum()), 2.0))


def visitors(rng: np.random.Generator, shop: Shop, lift: float, share: float = 0.5) -> Counts:
    """Impressions are split within each item."""
    new = rng.binomial(shop.shown.astype(int), share)
    shown = np.concatenate([shop.shown - new, new])
    rate = np.concatenate([shop.rate, shop.rate * (1 + lift)])
    n = len(shop.rate)
    clicks = rng.binomial(shown.astype(int), rate).astype(float)
    return Counts(np.repeat([False, True], n), np.tile(np.arange(n), 2), shown, clicks)


def items(
    rng: np.random.Generator, shop: Shop, lift: float, pre: float, share: float = 0.5, foreseen: float | None = None
) -> Counts:
    """Whole items are split, in strata of what ``pre`` times the test's traffic had shown before; adjusted by it.

    ``foreseen`` is the share of the variance of the log rates that predictions know too; None: there are none.
    """
    n = len(shop.rate)
    before = np.maximum(np.round(pre * shop.shown), 1.0)
    logged = rng.binomial(before.astype(int), shop.rate)
    mean = logged.sum() / before.sum()
    arm, block = stratified(logged - mean * before, (1 - share, share), rng)
    treated = arm == 1
    clicks = rng.binomial(shop.shown.astype(int), np.minimum(shop.rate * np.where(treated, 1 + lift, 1.0), 0.9))
    expected = shrunken_rates(logged.astype(float), before) * shop.shown
    if foreseen is not None:
        log_rate = np.log(shop.rate)
        seen = foreseen * (log_rate - log_rate.mean())
        spread = np.sqrt(foreseen * (1 - foreseen)) * log_rate.std()
        expected = np.stack([expected, np.exp(seen + rng.normal(0, spread, n)) * shop.shown], axis=1)
    return Counts(treated, np.arange(n), shop.shown, clicks.astype(float), expected=expected, block=block)


def serial(rng: np.random.Generator, shop: Shop, lift: float, days: int = 14, noise: float = 0.1) -> Counts:
    """Each item's days are shared between the arms; days have levels of their own, and items move by ``noise``."""
    n = len(shop.rate)
    treated = np.stack([rng.permutation(days) < days // 2 for _ in range(n)])
    level = np.exp(rng.normal(0, 0.2, days))
    moved = np.exp(rng.normal(-(noise**2) / 2, noise, (n, days)))
    shown = rng.poisson(np.outer(shop.shown, np.full(days, 1 / days)))
    rate = np.minimum(shop.rate[:, None] * level * moved * np.where(treated, 1 + lift, 1.0), 0.9)
    item, day = np.indices((n, days))
    clicks = rng.binomial(shown, rate)
    kept = shown.ravel() > 0
    return Counts(
        *(x.ravel()[kept] for x in (treated, item, shown.astype(float), clicks.astype(float), day)),
    )


def ramp_up(
    rng: np.random.Generator, shares: FloatArray, levels: FloatArray, lift: float = 0.0, n: int = 60, per: int = 400
) -> Counts:
    """Days with shares and click levels of their own; rows a day, item and arm."""
    appeal = rng.gamma(3.0, 0.03, n)
    total = rng.poisson(per, (len(shares), n))
    new = rng.binomial(total, shares[:, None])
    shown = np.stack([total - new, new])
    gain = np.array([1.0, 1.0 + lift])[:, None, None]
    clicks = rng.binomial(shown, np.minimum(appeal * levels[:, None] * gain, 0.9))
    day, item = np.indices(total.shape)
    return Counts(
        np.repeat([False, True], total.size),
        np.tile(item.ravel(), 2),
        shown.ravel().astype(float),
        clicks.ravel().astype(float),
        np.tile(day.ravel(), 2),
    )


def heavy_users(
    rng: np.random.Generator, users: int = 1500, lift: float = 0.0, arms: int = 2, order_spread: float = 0.0
) -> tuple[FloatArray, Counts]:
    """Users randomised: log sd 1.2 of impressions, .8 of clickiness; the arm of each, and all rows as counts.

    With ``order_spread``, events are amounts: every click is worth a log-normal sum of this log sd.
    """
    shown = np.maximum(rng.poisson(np.exp(rng.normal(3.0, 1.2, users))), 1)
    clicky = np.minimum(0.05 * np.exp(rng.normal(-0.32, 0.8, users)), 0.8)
    arm = rng.integers(0, arms, users)
    events = rng.binomial(shown, np.minimum(clicky * np.where(arm > 0, 1 + lift, 1.0), 0.95)).astype(float)
    if order_spread:
        events *= np.exp(rng.normal(0, order_spread, users))
    item = rng.integers(0, 50, users)
    return arm, Counts(arm > 0, item, shown.astype(float), events, visitor=np.arange(users))


def mixed(rng: np.random.Generator) -> Counts:
    """Items split 80/20 and 20/80, the much clicked ones the former; both arms of an item have one click rate."""
    n = 60
    high = np.arange(n) % 2 == 0
    new = rng.binomial(4000, np.where(high, 0.8, 0.2))
    shown = np.concatenate([4000 - new, new])
    clicks = rng.binomial(shown, np.tile(np.where(high, 0.08, 0.01), 2))
    return Counts(np.repeat([False, True], n), np.tile(np.arange(n), 2), shown.astype(float), clicks.astype(float))


def broken(rng: np.random.Generator, total: int, *, by_visitor: bool = False) -> Counts:
    """One of 40 items has 30% of the traffic and loses 10% of its treatment rows; a tie.

    With ``by_visitor`` every impression is a visitor of its own, and is known.
    """
    n = 40
    size = np.full(n, 0.7 * total / (n - 1))
    size[0] = 0.3 * total
    new = rng.binomial(size.astype(int), 0.5)
    old = size.astype(int) - new
    new[0] = rng.binomial(new[0], 0.9)
    shown = np.concatenate([old, new])
    clicks = rng.binomial(shown, 0.05)
    treated, item = np.repeat([False, True], n), np.tile(np.arange(n), 2)
    if not by_visitor:
        return Counts(treated, item, shown.astype(float), clicks.astype(float))
    clicked = np.concatenate([np.arange(k) < c for k, c in zip(shown, clicks, strict=True)])
    rows = len(clicked)
    return Counts(
        np.repeat(treated, shown), np.repeat(item, shown), np.ones(rows), clicked.astype(float), visitor=np.arange(rows)
    )


def logs_of(rng: np.random.Generator, shop: Shop, impressions: float) -> Arms:
    """Logs of the shop: a title an item, so many impressions by the items' traffic."""
    n = len(shop.rate)
    shown = np.maximum(np.round(impressions * shop.shown / shop.shown.sum()), 1.0)
    return Arms(
        items=tuple(Item(f"i{k}", {}) for k in range(n)),
        item_index=np.arange(n),
        title=np.array([f"title {k}" for k in range(n)], dtype=object),
        impressions=shown,
        clicks=rng.binomial(shown.astype(int), shop.rate).astype(float),
        exposure=shown.copy(),
        propensity=np.ones(n),
        propensity_logged=True,
    )
