"""Settings of the A/B test: ``ab-plan`` and ``ab-analyze``."""

from typing import ClassVar, Literal

from rlopt.algorithms import DEFAULT

from .base import StageConfig, setting

DesignName = Literal["visitors", "items", "serial"]


class AbConfig(StageConfig):
    """Settings that plan and analysis share: the design, the policy, the baseline."""

    section: ClassVar[str] = "ab"

    baseline: Literal["logged", "sft"] = setting(
        "logged",
        "Titles that the control shows: the logged ones, or those of the SFT policy. Lifts are relative to them.",
    )
    split: float = setting(0.5, "Share of all impressions that get new titles, all variants together.", gt=0, lt=1)
    policy: str = setting(
        DEFAULT.name,
        "Policy under test, as in offline-eval --policy.",
        metavar="POLICY",
        min_length=1,
    )
    carry_over: int = setting(1, "Serial design: days to leave out after each change of title.", metavar="DAYS", ge=0)


class AbPlanConfig(AbConfig):
    """``ab-plan``: size, days and assignment of a test."""

    section: ClassVar[str] = "ab-plan"

    design: DesignName = setting(
        "visitors",
        "What is split: visitors, whole items, or time (serial: one title of an item after the other).",
    )
    lift: float | None = setting(
        None, "Lift that the test must be able to find; 0.03 is +3%.", none="the one that offline-eval predicted"
    )
    metric: Literal["clicks", "conversions", "revenue"] = setting("clicks", "Outcome per impression to compare.")
    order_spread: float = setting(
        1.0,
        "For --metric revenue: standard deviation of an order's value over its mean. It is an assumption.",
        metavar="CV",
        ge=0,
    )
    alpha: float = setting(0.05, "Accepted chance of finding a lift that is not there.", gt=0, lt=1)
    power: float = setting(0.8, "Wanted chance of finding the lift if it is there.", gt=0, lt=1)
    two_sided: bool = setting(True, "Whether a loss counts as a discovery, too.", flag="--two-sided/--one-sided")
    looks: int = setting(
        4, "Looks at the results of the group-sequential design, equally far apart.", metavar="N", ge=1, le=52
    )
    traffic: float | None = setting(
        None,
        "Impressions per day, to turn sizes into days.",
        none="from the logs' timestamps",
        metavar="N",
        gt=0,
    )
    pre_days: float | None = setting(
        None,
        "Design items: days of logs before the test that the analysis adjusts for.",
        none="those of the run",
        metavar="DAYS",
        ge=0,
    )
    arm: tuple[str, ...] = setting(
        ("control", "treatment"),
        "Name of an arm, the control first; more than two for several variants.",
        metavar="NAME",
    )
    period: int = setting(7, "Serial design: days for which an item keeps a title.", metavar="DAYS", ge=1)
    period_spread: float = setting(
        0.1,
        "Serial design: relative change of an item's click rate from period to period. It is an assumption.",
        metavar="CV",
        ge=0,
    )
    weeks: int = setting(4, "Weeks that --assign and --dry-run plan for.", metavar="N", ge=1, le=104)
    repetitions: int = setting(1000, "How often --dry-run splits the logs.", metavar="N", ge=20)
    start: str | None = setting(
        None, "First day of the test, 2026-03-02; rlopt serve needs one.", none="days are numbered", metavar="DATE",
        pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$",
    )  # fmt: skip


class AbAnalyzeConfig(AbConfig):
    """``ab-analyze``: what decides, and what else is reported."""

    section: ClassVar[str] = "ab-analyze"

    metric: tuple[str, ...] = setting(
        ("clicks",),
        "What to compare per impression: clicks, conversions, revenue or any column of numbers; "
        "or a ratio such as revenue/conversions. The first decides.",
        metavar="NAME",
        min_length=1,
    )
    guardrail: tuple[str, ...] = setting(
        (),
        "Metric that must not get worse: with revenue:-0.02 it must not fall by 2%, with "
        "returns:+0.05 it must not rise by 5%.",
        metavar="NAME:LIMIT",
    )
    design: DesignName | None = setting(
        None, "What was split: visitors, whole items, or time (serial).", none="inferred from the results"
    )
    control: str = setting("control", "Name of the control in the column arm.", min_length=1)
    planned_lift: float | None = setting(
        None,
        "Lift that the test was planned for; intervals of several looks are tuned to it.",
        none="the predicted one, else 0.05",
    )
    confidence: float = setting(0.95, "Confidence of the intervals.", gt=0, lt=1)
    final: bool = setting(
        False,
        "Use at the planned end, if you have not looked before: the narrower fixed-horizon interval decides.",
        flag="--final/--not-final",
    )
    look: tuple[float, ...] = setting(
        (),
        "For planned looks: share of the planned impressions at each look so far, the present one "
        "last (0.25, then 0.5). The group-sequential interval decides.",
        metavar="SHARE",
    )
    winsorize: float = setting(
        0.999, "Cap the amounts of a visitor (or one impression) at this quantile of those that have "
"any, against outliers; 1: no cap.",
        metavar="QUANTILE", gt=0.5, le=1,
    )  # fmt: skip
    covariate: str | None = setting(
        None, "Column with clicks (or similar) from before the test, by item or visitor: adjusting for "
"it narrows the interval.",
        none="items' logged rates and predictions if whole items are split", metavar="COLUMN", min_length=1,
    )  # fmt: skip
    copies: Literal["stop", "keep"] = setting(
        "stop",
        "What to do with rows that count something twice, such as totals and running totals: stop, or count them.",
    )
    by: tuple[str, ...] = setting((), "Also report the lift by this item field, numbers in bands.", metavar="FIELD")
    lang: Literal["en", "zh"] = setting("en", "Language of ab/report.html.")
