"""Guardrails of a launch: conversions, revenue, and titles that break rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from reward.arrays import FloatArray, IntArray
from reward.plain import Plain

from .direct import LiftEstimate, TitleDraws, estimate_lift, item_ratios

RULES = {
    "empty": "empty",
    "too_long": "too long",
    "unreadable": "unreadable characters",
    "repeated": "repeats words",
    "banned": "banned words",
    "required": "lacks a required phrase",
    "superlative": "superlative",
    "harmful": "harmful or unlawful",
    "capitals": "shouts in capitals",
    "punctuation": "strings of symbols",
    "promise": "unsupported promise",
    "unfinished": "unfinished",
    "near_duplicate": "near duplicate",
}  # name of a title's fault -> words of the verdict


@dataclass(frozen=True)
class Guardrails(Plain):
    """Figures that can veto a launch.

    Parameters
    ----------
    conversions, revenue
        Lift of conversions and revenue per impression over the logged titles; None where the logs have none.
    violations
        Rule -> share of the policy's titles that break it; "unsupported" claims count as faithfulness instead.
    violation_share
        Share of titles that break any of these rules.
    """

    conversions: LiftEstimate | None = None
    revenue: LiftEstimate | None = None
    violations: Mapping[str, float] = field(default_factory=dict)
    violation_share: float = 0.0


def rate_slope(
    conversions: FloatArray, clicks: FloatArray, log_rate: FloatArray, item: IntArray, prior_std: float = 0.5
) -> tuple[float, float]:
    """Estimate the calibration slope of predicted differences in P(conversion | click) between an item's titles.

    Given an item's conversions, each title's share of them is proportional to clicks * exp(slope * log_rate): 1 for a
    calibrated model, 0 for a useless one. Posterior mode with the prior N(1, prior_std^2), error clustered by item.

    Parameters
    ----------
    conversions, clicks
        Of logged titles the model has not seen, shape (n,).
    log_rate
        Log of the predicted rate, shape (n,).
    item
        Item position of each, integers from 0.
    prior_std
        Standard deviation of the prior.
    """
    clicked = clicks > 0
    conversions, clicks, x, item = conversions[clicked], clicks[clicked], log_rate[clicked], item[clicked]
    n_items = int(item.max(initial=-1)) + 1
    total = np.bincount(item, weights=conversions, minlength=n_items)
    slope, precision = 1.0, prior_std**-2
    for _ in range(50):
        weight = clicks * np.exp(np.clip(slope * x, -500, 500))
        share = weight / np.bincount(item, weights=weight, minlength=n_items)[item]
        mean = np.bincount(item, weights=share * x, minlength=n_items)
        scores = np.bincount(item, weights=conversions * (x - mean[item]), minlength=n_items)
        information = float((total[item] * share) @ (x - mean[item]) ** 2) + precision
        step = (float(scores.sum()) - (slope - 1.0) * precision) / information
        slope += float(np.clip(step, -1.0, 1.0))
        if abs(step) < 1e-9:
            break
    return slope, float(np.sqrt(scores @ scores + precision)) / information


def outcome_lift(
    policy: TitleDraws,
    logged: TitleDraws,
    policy_rate: FloatArray,
    logged_rate: FloatArray,
    item_rate: FloatArray,
    slope: tuple[float, float],
    item_worth: FloatArray | None = None,
    *,
    rng: np.random.Generator,
    confidence: float,
    widening: float,
) -> LiftEstimate:
    """Lift of what comes after the click, per impression: the judge's clicks times the reward model's conversion rate.

    Parameters
    ----------
    policy, logged
        Titles with the judge's draws of their effect on clicks.
    policy_rate, logged_rate
        P(conversion | click) of each title by the reward model, shape (n_titles,), > 0.
    item_rate
        Draws of the items' logged CTR, shape (n_draws, n_items).
    slope
        Mean and standard deviation of `rate_slope`: differences from the item's logged rate are multiplied by it.
    item_worth
        Worth of a conversion of each item, shape (n_items,); None: one.
    rng, confidence, widening
        As in `estimate_lift`.
    """
    n_draws, n_items = item_rate.shape
    share = np.ones(len(logged.item)) if logged.share is None else logged.share
    mean = np.bincount(logged.item, weights=share * np.log(logged_rate)) / np.bincount(logged.item, weights=share)
    slopes = slope[0] + slope[1] * rng.standard_normal((n_draws, 1))
    new, base = (
        TitleDraws(titles.effects + slopes * (np.log(rate) - mean[titles.item]), titles.item, titles.share)
        for titles, rate in ((policy, policy_rate), (logged, logged_rate))
    )
    worth = np.exp(mean) if item_worth is None else np.exp(mean) * item_worth
    return estimate_lift(
        new,
        base,
        base,
        item_rate * item_ratios(base, logged, n_items, widening) * worth,
        rng=rng,
        confidence=confidence,
        widening=widening,
    )


def violation_shares(broken: list[tuple[str, ...]]) -> tuple[dict[str, float], float]:
    """Rule -> share of titles that break it, the worst first, and the share that break any; faithfulness left out."""
    rules = [[kind for kind in kinds if kind != "unsupported"] for kinds in broken]
    n = max(len(rules), 1)
    shares = {kind: sum(kind in kinds for kinds in rules) / n for kind in {k for kinds in rules for k in kinds}}
    return dict(sorted(shares.items(), key=lambda entry: (-entry[1], entry[0]))), sum(map(bool, rules)) / n
