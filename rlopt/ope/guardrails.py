"""What a launch must not cost: conversions, revenue, and titles that break rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .direct import LiftEstimate, TitleDraws, estimate_lift
from .rounds import FloatArray


@dataclass(frozen=True)
class Guardrails:
    """Figures that can veto a launch.

    Parameters
    ----------
    conversions, revenue
        Lift of conversions and revenue per impression over the logged titles; None where the logs have none.
    violations
        Rule -> share of the policy's titles that break it; "unsupported" words are told as faithfulness instead.
    violation_share
        Share of titles that break any of these rules.
    """

    conversions: LiftEstimate | None = None
    revenue: LiftEstimate | None = None
    violations: Mapping[str, float] = field(default_factory=dict)
    violation_share: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "conversions": self.conversions.to_dict() if self.conversions else None,
            "revenue": self.revenue.to_dict() if self.revenue else None,
            "violations": dict(self.violations),
            "violation_share": self.violation_share,
        }


def outcome_lift(
    policy: TitleDraws,
    logged: TitleDraws,
    policy_rate: FloatArray,
    logged_rate: FloatArray,
    item_rate: FloatArray,
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
        P(conversion | click) of each title by the reward model, shape (n_titles,), > 0. Its own uncertainty is no part
        of the interval.
    item_rate
        Draws of the items' logged CTR, shape (n_draws, n_items).
    item_worth
        Worth of a conversion of each item, shape (n_items,); None: one.
    rng, confidence, widening
        As in `estimate_lift`.
    """
    n_items = item_rate.shape[1]
    new, base = (
        TitleDraws(titles.effects + np.log(rate), titles.item, titles.share)
        for titles, rate in ((policy, policy_rate), (logged, logged_rate))
    )
    after_click = base.item_factor(n_items).mean(axis=0) / logged.item_factor(n_items).mean(axis=0)
    worth = after_click if item_worth is None else after_click * item_worth
    return estimate_lift(new, base, base, item_rate * worth, rng=rng, confidence=confidence, widening=widening)


def violation_shares(broken: list[tuple[str, ...]]) -> tuple[dict[str, float], float]:
    """Rule -> share of titles that break it, the worst first, and the share that break any; faithfulness left out."""
    rules = [[kind for kind in kinds if kind != "unsupported"] for kinds in broken]
    n = max(len(rules), 1)
    shares = {kind: sum(kind in kinds for kinds in rules) / n for kind in {k for kinds in rules for k in kinds}}
    return dict(sorted(shares.items(), key=lambda entry: (-entry[1], entry[0]))), sum(map(bool, rules)) / n
