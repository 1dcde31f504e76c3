"""Settings of the A/B test: ``ab-plan`` and ``ab-analyze``."""

from typing import ClassVar, Literal

from rlopt.algorithms import DEFAULT

from .base import StageConfig, setting

DesignName = Literal["visitors", "items", "serial"]


class AbConfig(StageConfig):
    """Settings that plan and analysis share: the design, the policy, the baseline."""

    section: ClassVar[str] = "ab"

    baseline: Literal["logged", "sft"] = setting("logged", "Titles that the control shows; lifts are relative to them.")
    split: float = setting(0.5, "Share of all impressions that see new titles (of all variants together).", gt=0, lt=1)
    policy: str = setting(
        DEFAULT.name,
        "Policy under test, as in offline-eval --policy.",
        metavar="POLICY",
        min_length=1,
    )
    carry_over: int = setting(1, "Serial design: days to leave out after a change.", metavar="DAYS", ge=0)


class AbPlanConfig(AbConfig):
    """``ab-plan``: size, days and assignment of a test."""

    section: ClassVar[str] = "ab-plan"

    design: DesignName = setting(
        "visitors",
        "Unit of the split: visitors, whole items, or (serial) the time, one title of an item after the other.",
    )
    lift: float | None = setting(None, "Lift to find, 0.03 is +3%.", none="the one offline-eval predicted")
    metric: Literal["clicks", "conversions", "revenue"] = setting("clicks", "Outcome per impression.")
    order_spread: float = setting(
        1.0, "Metric revenue: standard deviation of an order's value over its mean.", metavar="CV", ge=0
    )
    alpha: float = setting(0.05, "Chance of a false discovery.", gt=0, lt=1)
    power: float = setting(0.8, "Chance of finding the lift.", gt=0, lt=1)
    two_sided: bool = setting(True, "Count a loss as a discovery too.", flag="--two-sided/--one-sided")
    looks: int = setting(4, "Looks of the group-sequential design, equally far apart.", metavar="N", ge=1, le=52)
    traffic: float | None = setting(None, "Impressions a day.", none="from the logs' timestamps", metavar="N", gt=0)
    pre_days: float | None = setting(
        None, "Design items: days of logs that the analysis adjusts by.", none="those of the run", metavar="DAYS", ge=0
    )
    arm: tuple[str, ...] = setting(("control", "treatment"), "Name of an arm, the control first.", metavar="NAME")
    period: int = setting(7, "Serial design: days of a period.", metavar="DAYS", ge=1)
    period_spread: float = setting(
        0.1, "Serial design: how much an item's click rate moves from period to period, relative.", metavar="CV", ge=0
    )
    weeks: int = setting(4, "Weeks in the plan of --assign and --dry-run.", metavar="N", ge=1, le=104)
    repetitions: int = setting(1000, "Times that --dry-run splits the logs.", metavar="N", ge=20)
    start: str | None = setting(
        None, "First day of the test, 2026-03-02.", none="days are numbered", metavar="DATE",
        pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$",
    )  # fmt: skip


class AbAnalyzeConfig(AbConfig):
    """``ab-analyze``: what decides, and what else is reported."""

    section: ClassVar[str] = "ab-analyze"

    metric: tuple[str, ...] = setting(
        ("clicks",),
        "clicks, conversions, revenue or any column of numbers, per impression; or NAME/NAME, revenue/conversions. The "
        "first decides.",
        metavar="NAME",
        min_length=1,
    )
    guardrail: tuple[str, ...] = setting(
        (),
        "A metric and a change that new titles must not reach: with revenue:-0.02 it must not fall by 2%, with "
        "returns:+0.05 it must not rise by 5%.",
        metavar="NAME:LIMIT",
    )
    design: DesignName | None = setting(None, "What was split.", none="as the results show")
    control: str = setting("control", "Name of the control in the column arm.", min_length=1)
    planned_lift: float | None = setting(None, "Lift the test was planned for.", none="the predicted one, else 0.05")
    confidence: float = setting(0.95, "Of the intervals.", gt=0, lt=1)
    final: bool = setting(
        False,
        "This is the planned end, and the only look: the fixed-horizon interval decides.",
        flag="--final/--not-final",
    )
    look: tuple[float, ...] = setting(
        (),
        "Share of the planned impressions at each look so far, the present one last (0.25, then 0.5): the "
        "group-sequential interval decides.",
        metavar="SHARE",
    )
    winsorize: float = setting(
        0.999, "Amounts of a visitor (or one impression) are cut to this quantile of those that have any; 1: none.",
        metavar="QUANTILE", gt=0.5, le=1,
    )  # fmt: skip
    covariate: str | None = setting(
        None, "Column with clicks (or similar) from before the test, by item or visitor, to adjust by.",
        none="items' logged rates and predictions where whole items are split", metavar="COLUMN", min_length=1,
    )  # fmt: skip
    by: tuple[str, ...] = setting((), "Lift by this item field too; numbers in bands.", metavar="FIELD")
    lang: Literal["en", "zh"] = setting("en", "Language of ab/report.html.")
