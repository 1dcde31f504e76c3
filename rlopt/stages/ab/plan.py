"""``rlopt ab-plan``: how large and how long an A/B test must be to find what offline-eval predicted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reward.arms import Arms
from reward.plain import Plain
from rlopt.errors import EvaluationError
from rlopt.ope.power import TestDesign, always_valid
from rlopt.ope.weights import effective_sample_size
from rlopt.run import DATA, Run
from rlopt.stages.ab.prediction import Evaluation, Predicted
from rlopt.stages.common.log_report import read_report
from rlopt.stages.common.title_source import TitleSource

SECONDS_A_DAY = 86_400.0
TRAFFIC_SHARES = (1.0, 0.5, 0.25, 0.1)


@dataclass(frozen=True)
class PlannedLift:
    """What one lift takes.

    Parameters
    ----------
    name
        "predicted", "lower limit" or "given".
    lift
        The lift to find.
    impressions_control, impressions_treatment
        Needed in each arm; None where no number of impressions suffices.
    days
        Share of the traffic in the test -> days; empty where the traffic a day is unknown.
    looks
        "one": the fixed-horizon interval decides at the planned end (ab-analyze --final); "any": the always-valid one
        does, whenever it is looked at, as ab-analyze takes it by default.
    reason
        Why there is no number.
    """

    name: str
    lift: float
    impressions_control: float | None
    impressions_treatment: float | None
    days: Mapping[str, float]
    looks: Literal["one", "any"] = "one"
    reason: str = ""


@dataclass(frozen=True)
class Plan(Plain):
    """The plan of an A/B test: its design, what the logs say of the noise, and the sizes.

    ``lifts`` are those of one look at the planned end, ``always_valid`` those of any number of looks.
    """

    metric: str
    base_rate: float
    treated_share: float
    alpha: float
    power: float
    two_sided: bool
    overdispersion: float
    overdispersion_known: bool
    lift_spread: float
    effective_items: float
    impressions_a_day: float | None
    lifts: tuple[PlannedLift, ...]
    always_valid: tuple[PlannedLift, ...] = ()


def plan_test(
    run: Run,
    *,
    lift: float | None = None,
    baseline: str = "logged",
    metric: str = "clicks",
    split: float = 0.5,
    alpha: float = 0.05,
    power: float = 0.8,
    two_sided: bool = True,
    traffic: float | None = None,
    policy: str = "ppo",
) -> Plan:
    """Size of an A/B test.

    Parameters
    ----------
    run
        A run with logs; with an evaluation where no ``lift`` is given.
    lift
        Lift to find; None: the one the evaluation predicted, and its lower limit.
    baseline
        "logged" or "sft": which predicted lift.
    metric
        "clicks" or "conversions", per impression.
    split
        Share of the impressions that see the new titles.
    alpha, power, two_sided
        Of the test.
    traffic
        Impressions a day; None: from the logs' timestamps.
    policy
        Whose titles are tested, as offline-eval was told it (``--policy``).

    Raises
    ------
    EvaluationError
        The logs lack the metric, or the run has no evaluation of the policy and no lift is given.
    PolicyError
        There is no such policy.
    """
    run.require("fit-reward")
    report = evaluation_of(run, policy)
    if lift is None and report is None:
        command = "rlopt offline-eval" if policy == "ppo" else f"rlopt offline-eval --policy {policy}"
        raise EvaluationError(
            f"This run has no evaluation of {policy} to take a lift from. Run {command}, or name one: --lift 0.03"
        )
    arms = run.arms()
    dispersion = logged_overdispersion(run)
    by_item = np.bincount(arms.item_index, weights=arms.impressions).astype(np.float64)
    design = TestDesign(
        base_rate=base_rate(arms, metric),
        treated_share=split,
        alpha=alpha,
        two_sided=two_sided,
        overdispersion=max(dispersion or 1.0, 1.0),
        lift_spread=(report.diagnostics.item_lift_spread or 0.0) if report else 0.0,
        effective_items=effective_sample_size(by_item),
    )
    daily = traffic if traffic is not None else logged_traffic(arms)
    wanted = {} if lift is None else {"given": lift}
    if report is not None and lift is None:
        predicted = predicted_lift(report, metric, baseline)
        wanted = {"predicted": predicted.value, "lower limit": predicted.low}
    return Plan(
        metric=metric,
        base_rate=design.base_rate,
        treated_share=split,
        alpha=alpha,
        power=power,
        two_sided=two_sided,
        overdispersion=design.overdispersion,
        overdispersion_known=dispersion is not None,
        lift_spread=design.lift_spread,
        effective_items=design.effective_items,
        impressions_a_day=daily,
        lifts=tuple(planned(name, value, design, power, daily, "one") for name, value in wanted.items()),
        always_valid=tuple(planned(name, value, design, power, daily, "any") for name, value in wanted.items()),
    )


def predicted_lift(report: Evaluation, metric: str, baseline: str) -> Predicted:
    """What offline-eval said of this metric against this baseline.

    Raises
    ------
    EvaluationError
        It said nothing of it: of conversions it knows the lift over the logged titles alone, where they have any.
    """
    found = report.lift(metric, baseline)
    if found is None:
        raise EvaluationError(f"The evaluation has no lift of {metric} over {baseline}. Name one: --lift 0.03")
    return found


def planned(
    name: str, lift: float, design: TestDesign, power: float, daily: float | None, looks: Literal["one", "any"]
) -> PlannedLift:
    """What finding ``lift`` takes, with one look at the end or with any number of looks."""
    if lift <= 0 and (name != "given" or not design.two_sided or lift == 0):
        reason = "a test cannot show a gain where there is none"
        return PlannedLift(name, lift, None, None, {}, looks, reason)
    deciding = design if looks == "one" else always_valid(design, lift, power)
    total = deciding.impressions(lift, power)
    if not math.isfinite(total):
        reason = (
            f"items differ too much in how they respond (standard deviation {design.lift_spread:.1%} over "
            f"{design.effective_items:.0f} effective items): more items are needed, not more impressions"
        )
        return PlannedLift(name, lift, None, None, {}, looks, reason)
    days = {} if daily is None else {f"{share:.0%}": total / (daily * share) for share in TRAFFIC_SHARES}
    control, treatment = (math.ceil(total * share) for share in (1 - design.treated_share, design.treated_share))
    return PlannedLift(name, lift, control, treatment, days, looks)


def evaluation_of(run: Run, policy: str = "ppo") -> Evaluation | None:
    """What this policy's evaluation said; None before it, or where what it stands on changed since.

    Raises
    ------
    PolicyError, StageOrderError
        When there is no such policy.
    """
    stage, folder, outside = "offline-eval", "eval", {}
    if policy != "ppo":
        source = TitleSource.find(run, policy)
        stage, folder, outside = source.stage, source.folder, source.fingerprints()
    path = run / folder / "report.json"
    if not run.done(stage) or not path.exists():
        return None
    evaluated = run.record(stage)["inputs"]
    if any(evaluated.get(name) != now for name, now in outside.items()):
        return None
    return Evaluation.read(path, "Run rlopt offline-eval again.")


def logged_overdispersion(run: Run) -> float | None:
    """Variance of clicks over chance from rows of the logs that repeat a title; None where too few do."""
    return read_report(run / DATA).overdispersion


def base_rate(arms: Arms, metric: str) -> float:
    """Clicks or conversions per impression of the logs."""
    events = arms.clicks if metric == "clicks" else arms.conversions
    if events is None:
        raise EvaluationError("The run's logs hold no conversions. Plan for clicks, or fit-reward on logs with them.")
    if events.sum() <= 0:
        raise EvaluationError(f"The run's logs hold no {metric} at all, so that no rate can be planned for.")
    return float(events.sum() / arms.impressions.sum())


def logged_traffic(arms: Arms) -> float | None:
    """Impressions a day of the logs; None without timestamps or within less than a day."""
    if arms.first_seen is None or arms.last_seen is None:
        return None
    days = float(np.nanmax(arms.last_seen) - np.nanmin(arms.first_seen)) / SECONDS_A_DAY
    return float(arms.impressions.sum()) / days if days >= 1 else None
