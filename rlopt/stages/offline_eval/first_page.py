"""First page of the report beside the verdict: where it comes from, what the lift means, the size of a test."""

import math
from datetime import UTC, datetime

import numpy as np

from reward.arms import Arms
from rlopt.config import AbPlanConfig
from rlopt.ope.direct import LiftEstimate
from rlopt.ope.guardrails import Guardrails
from rlopt.report.content import AbTestSize, Origin, Outcome
from rlopt.run import DATA, Run
from rlopt.stages.common.ab_sizing import deciding, design_of_plan, logged_traffic, noise_of
from rlopt.stages.common.log_report import read_report


def origin_of(run: Run, arms: Arms) -> Origin:
    """Run, logs and their days, and today."""
    logs = str(run.record("fit-reward")["notes"].get("logs", ""))
    return Origin(
        run=run.path.resolve().name,
        logs=logs.rstrip("/").rsplit("/", 1)[-1].rsplit("@", 1)[-1],  # no folder of ours, no password of a database
        first_day=_day(None if arms.first_seen is None else np.nanmin(arms.first_seen)),
        last_day=_day(None if arms.last_seen is None else np.nanmax(arms.last_seen)),
        evaluated=datetime.now(UTC).date().isoformat(),
    )


def _day(seconds: float | None) -> str | None:
    if seconds is None or not np.isfinite(seconds):
        return None
    return datetime.fromtimestamp(float(seconds), UTC).date().isoformat()


def outcomes_of(test: Arms, clicks: LiftEstimate, guardrails: Guardrails) -> tuple[Outcome, ...]:
    """Earnings per impression, and their change by the lift.

    Parameters
    ----------
    test
        The logged arms of the test items.
    clicks
        Lift of clicks over the logged titles.
    guardrails
        Lifts of conversions and revenue, where the logs have them.
    """
    found = [
        ("clicks", test.clicks, clicks),
        ("conversions", test.conversions, guardrails.conversions),
        ("revenue", test.revenue, guardrails.revenue),
    ]
    shown = float(test.impressions.sum())
    return tuple(
        Outcome(name, float(total.sum()) / shown, lift.value, lift.low, lift.high)
        for name, total, lift in found
        if total is not None and lift is not None
    )


def ab_sizes(
    run: Run, arms: Arms, lift: LiftEstimate, item_lift_spread: float, traffic: float | None
) -> tuple[AbTestSize, ...]:
    """Sizes by ``rlopt ab-plan``'s defaults for the predicted lift and for its lower limit, where that is a gain.

    Parameters
    ----------
    arms
        All logs of the run.
    lift
        Over the logged titles.
    item_lift_spread
        Standard deviation of the lift between items.
    traffic
        Impressions a day; None: that of the logs.
    """
    config = AbPlanConfig()
    noise = noise_of(arms, config, read_report(run / DATA).overdispersion or 1.0, item_lift_spread)
    daily = traffic if traffic is not None else logged_traffic(arms)
    design = design_of_plan(config, noise, len(arms.items), daily)
    sizes = []
    for value in (lift.value, lift.low):
        if value <= 0:
            continue
        both = deciding(design, config, "one", value).impressions(value, config.power)
        known = math.isfinite(both)
        sizes.append(
            AbTestSize(
                lift=value,
                impressions=math.ceil(both * config.split) if known else None,
                days=both / daily if known and daily else None,
                impressions_a_day=daily,
            )
        )
    return tuple(sizes)
