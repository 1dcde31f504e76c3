"""``rlopt ab-plan``: how large and how long an A/B test must be to find what offline-eval predicted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reward.plain import Plain
from rlopt.config import AbPlanConfig
from rlopt.errors import EvaluationError
from rlopt.files import refuse_in_run
from rlopt.ope.past_tests import HISTORY, PastTests, past_tests
from rlopt.ope.power import TestDesign, smallest_lift
from rlopt.run import DATA, Run
from rlopt.stages.ab.assignment import assign
from rlopt.stages.ab.covariates import unseen_rates
from rlopt.stages.ab.dry_run import DryRun, rehearse
from rlopt.stages.ab.prediction import Evaluation, Predicted
from rlopt.stages.common.ab_sizing import arm_shares, deciding, design_of_plan, logged_traffic, noise_of, used_share
from rlopt.stages.common.log_report import read_report
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.title_source import TitleSource

TRAFFIC_SHARES = (1.0, 0.5, 0.25, 0.1)
WEEKS = (1, 2, 4, 8)
LOOKS: tuple[Literal["one", "planned", "any"], ...] = ("one", "planned", "any")


@dataclass(frozen=True)
class PlannedLift:
    """Size of a test that finds one lift.

    Parameters
    ----------
    name
        "predicted", "lower limit" or "given".
    lift
        The lift to find.
    impressions_control, impressions_treatment
        Needed in the control and in each variant, carry-over included; None where no number of impressions suffices.
    days
        Share of the traffic in the test -> days; empty where the traffic a day is unknown.
    looks
        "one": the fixed-horizon interval decides at the planned end (ab-analyze --final); "planned": the
        group-sequential one at the planned looks (--look); "any": the always-valid one, whenever it is looked at.
    reason
        Reason why there is no number.
    weeks
        Whole weeks with all of the traffic; None where the days are unknown.
    items
        Items that an item split needs to find the lift in the planned weeks with the traffic an item has; None for
        other designs, or where no number suffices.
    """

    name: str
    lift: float
    impressions_control: float | None
    impressions_treatment: float | None
    days: Mapping[str, float]
    looks: Literal["one", "planned", "any"] = "one"
    reason: str = ""
    weeks: int | None = None
    items: int | None = None


@dataclass(frozen=True)
class Plan(Plain):
    """The plan of an A/B test: its design, what the logs say of the noise, and the sizes.

    ``lifts`` are those of one look at the planned end, ``group_sequential`` those of the planned looks, of which there
    are ``looks``, ``always_valid`` those of any number of looks. ``smallest_lifts`` are those found after n weeks
    with all of the traffic, by looks; ``item_spread`` is how much items' rates differ, ``item_spread_adjusted`` what of
    it their logged rates leave unknown, ``item_spread_predicted`` what these and the reward's predictions leave (None
    for other designs, and where no items were held back from the reward).
    """

    metric: str
    design: str
    arms: tuple[str, ...]
    base_rate: float
    treated_share: float
    alpha: float
    power: float
    two_sided: bool
    overdispersion: float
    overdispersion_known: bool
    lift_spread: float
    effective_items: float
    item_spread: float
    item_spread_adjusted: float
    item_spread_predicted: float | None
    looks: int
    impressions_a_day: float | None
    lifts: tuple[PlannedLift, ...]
    always_valid: tuple[PlannedLift, ...] = ()
    group_sequential: tuple[PlannedLift, ...] = ()
    smallest_lifts: Mapping[str, Mapping[str, float | None]] | None = None
    past: PastTests | None = None
    dry_run: DryRun | None = None
    assignment: str | None = None
    fingerprint: str | None = None


def plan_test(
    run: Run,
    config: AbPlanConfig | None = None,
    *,
    assign_to: Path | None = None,
    dry_run: str | Path | None = None,
    columns: str | None = None,
) -> Plan:
    """Size of an A/B test, and its assignment.

    Parameters
    ----------
    run
        A run with logs; with an evaluation where no lift is given.
    config
        The design and what it should find.
    assign_to
        File for the assignment; None: no file.
    dry_run
        Past logs that are split as planned, over and over; None: none.
    columns
        The user's column names of those logs, timestamp and visitor among them.

    Raises
    ------
    EvaluationError
        The logs lack the metric, or the run has no evaluation of the policy and no lift is given.
    PolicyError
        There is no such policy.
    """
    config = config or AbPlanConfig()
    opened = OpenedRun(run)
    report = evaluation_of(run, config.policy)
    past = past_tests(run.metrics(HISTORY).rows(), config.metric)
    wanted = wanted_lifts(config, report, past)
    arms = opened.arms
    dispersion = logged_overdispersion(run)
    spread = (report.diagnostics.item_lift_spread or 0.0) if report else 0.0
    unseen = unseen_rates(opened, config.metric) if config.design == "items" else None
    noise = noise_of(arms, config, dispersion or 1.0, spread, unseen)
    daily = config.traffic if config.traffic is not None else logged_traffic(arms)
    design = design_of_plan(config, noise, len(arms.items), daily)
    sizes = {
        looks: tuple(
            planned(name, value, design, config, daily, looks, len(arms.items)) for name, value in wanted.items()
        )
        for looks in LOOKS
    }
    rehearsed = None if dry_run is None else rehearse(run, dry_run, config, next(iter(wanted.values())), columns)
    assignment = None
    if assign_to is not None:
        refuse_in_run(assign_to)
        assignment = assign(arms, config, next(iter(wanted.values())))
        assignment.write(assign_to)
    return Plan(
        metric=config.metric,
        design=config.design,
        arms=config.arm,
        base_rate=design.base_rate,
        treated_share=config.split,
        alpha=config.alpha,
        power=config.power,
        two_sided=config.two_sided,
        overdispersion=design.overdispersion,
        overdispersion_known=dispersion is not None,
        lift_spread=noise.lift_spread,
        effective_items=design.effective_items,
        item_spread=noise.item_spread,
        item_spread_adjusted=noise.item_spread_adjusted,
        item_spread_predicted=noise.item_spread_predicted,
        looks=config.looks,
        impressions_a_day=daily,
        lifts=sizes["one"],
        group_sequential=sizes["planned"],
        always_valid=sizes["any"],
        smallest_lifts=None if daily is None else smallest_lifts(design, config, daily),
        past=past,
        dry_run=rehearsed,
        assignment=None if assign_to is None else str(assign_to),
        fingerprint=None if assignment is None else assignment.fingerprint,
    )


def wanted_lifts(config: AbPlanConfig, report: Evaluation | None, past: PastTests | None) -> dict[str, float]:
    """The lifts to find: the one given, else the predicted one and its lower limit.

    From three tests of the run on, the predicted one is also read as these say it should be.

    Raises
    ------
    EvaluationError
        None is given, and nothing was predicted.
    """
    if config.lift is not None:
        return {"given": config.lift}
    if report is None:
        command = "rlopt offline-eval" if config.policy == "ppo" else f"rlopt offline-eval --policy {config.policy}"
        raise EvaluationError(
            f"This run has no evaluation of {config.policy} to take a lift from. Run {command}, or name one: "
            "--lift 0.03"
        )
    found = predicted_lift(report, config.metric, config.baseline)
    wanted = {"predicted": found.value, "lower limit": found.low}
    if past is not None:
        wanted["as earlier tests say"] = past.rescaled(found.value, found.low, found.high)[0]
    return wanted


def predicted_lift(report: Evaluation, metric: str, baseline: str) -> Predicted:
    """Lift of this metric against this baseline as predicted by offline-eval.

    Raises
    ------
    EvaluationError
        It predicted none: for conversions it has the lift over the logged titles alone, where they have any.
    """
    found = report.lift(metric, baseline)
    if found is None:
        raise EvaluationError(f"The evaluation has no lift of {metric} over {baseline}. Name one: --lift 0.03")
    return found


def planned(
    name: str,
    lift: float,
    design: TestDesign,
    config: AbPlanConfig,
    daily: float | None,
    looks: Literal["one", "planned", "any"],
    items: int,
) -> PlannedLift:
    """Size of a test that finds ``lift``, with one look at the end, the planned ones, or any number."""
    if lift <= 0 and (name != "given" or not design.two_sided or lift == 0):
        reason = "a test cannot show a gain where there is none"
        return PlannedLift(name, lift, None, None, {}, looks, reason)
    needed = items_needed(lift, design, config, daily, looks, items) if config.design == "items" else None
    pair = deciding(design, config, looks, lift).impressions(lift, config.power)
    if not math.isfinite(pair):
        reason = (
            f"items differ too much in how they respond (standard deviation {design.lift_spread:.1%} over "
            f"{design.effective_items:.0f} effective items): more items are needed, not more impressions"
        )
        return PlannedLift(name, lift, None, None, {}, looks, reason, items=needed)
    total = pair / used_share(config)
    days = {} if daily is None else {f"{share:.0%}": total / (daily * share) for share in TRAFFIC_SHARES}
    shares = arm_shares(config)
    weeks = None if daily is None else math.ceil(total / daily / 7)
    return PlannedLift(
        name, lift, math.ceil(total * shares[0]), math.ceil(total * shares[1]), days, looks, "", weeks, needed
    )


def items_needed(
    lift: float,
    design: TestDesign,
    config: AbPlanConfig,
    daily: float | None,
    looks: Literal["one", "planned", "any"],
    items: int,
) -> int | None:
    """Items with which the planned weeks find ``lift``, each with the traffic that items have; None where unknown.

    Errors fall with the root of the number of items, all else being alike.
    """
    if daily is None or lift <= 0:
        return None
    found = found_after(config.weeks, design, config, daily, looks)
    return None if found is None else math.ceil(items * (found / lift) ** 2)


def smallest_lifts(design: TestDesign, config: AbPlanConfig, daily: float) -> dict[str, dict[str, float | None]]:
    """Looks -> weeks -> the smallest lift that is found by then with all of the traffic; None where not even +100%."""
    return {looks: {str(weeks): found_after(weeks, design, config, daily, looks) for weeks in WEEKS} for looks in LOOKS}


def found_after(
    weeks: int, design: TestDesign, config: AbPlanConfig, daily: float, looks: Literal["one", "planned", "any"]
) -> float | None:
    """The smallest lift that n weeks find with all of the traffic; None where not even +100%."""

    def needed(lift: float) -> float:
        return deciding(design, config, looks, lift).impressions(lift, config.power)

    return smallest_lift(needed, daily * 7 * weeks * used_share(config), design.base_rate)


def evaluation_of(run: Run, policy: str = "ppo") -> Evaluation | None:
    """Evaluation of this policy; None before there is one, or where its inputs have changed since.

    Raises
    ------
    PolicyError, StageOrderError
        If there is no such policy.
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
