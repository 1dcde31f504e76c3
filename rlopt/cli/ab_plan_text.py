"""A plan of an A/B test for a person."""

from typing import TYPE_CHECKING

from rlopt.cli.show import percent, table

if TYPE_CHECKING:
    from rlopt.stages.ab.plan import Plan


def plan_text(plan: "Plan") -> str:
    """The plan for a person: three rows a lift, then what is found after some weeks, then what it stands on."""
    kinds = (plan.lifts, plan.group_sequential, plan.always_valid)
    several = [row for same in zip(*kinds, strict=True) for row in same]
    shares = list(dict.fromkeys(share for row in plan.lifts for share in row.days))
    rows = [
        (
            row.name,
            percent(row.lift),
            row.looks,
            *("-" if n is None else f"{n:,.0f}" for n in (row.impressions_control, row.impressions_treatment)),
            *("-" if share not in row.days else f"{row.days[share]:,.1f}" for share in shares),
            *([] if plan.impressions_a_day is None else ["-" if row.weeks is None else f"{row.weeks:,}"]),
        )
        for row in several
    ]
    weeks = [] if plan.impressions_a_day is None else ["whole weeks"]
    header = ("lift", "", "looks", "control", "each variant", *(f"days at {share}" for share in shares), *weeks)
    known = "from rows that repeat a title" if plan.overdispersion_known else "not known from these logs: taken as 1"
    traffic = "unknown (--traffic N)" if plan.impressions_a_day is None else f"{plan.impressions_a_day:,.0f}"
    counted, sides = "orders" if plan.metric == "revenue" else plan.metric, "two" if plan.two_sided else "one"
    lines = [
        table(header, rows, title=f"Impressions for {plan.power:.0%} power at alpha {plan.alpha:g}"),
        *_smallest(plan),
        f"Base rate          {plan.base_rate:.4%} {counted} per impression",
        f"Test               {plan.design}, {sides}-sided, {plan.treated_share:.0%} see new titles "
        f"({len(plan.arms) - 1} variant{'s' if len(plan.arms) > 2 else ''})",
        f"Looks              one: at the end (--final); planned: {plan.looks}, equally spaced (--look); any: daily",
        f"Overdispersion     {plan.overdispersion:.2f} ({known})",
        f"Items              {plan.effective_items:,.0f} effective; their lifts differ by {plan.lift_spread:.1%}",
        f"Impressions a day  {traffic}",
    ]
    if plan.design == "items":
        lines.append(
            f"Before the test    items' rates differ by {plan.item_spread:.0%}; the logs leave "
            f"{plan.item_spread_adjusted:.0%}, {_predictions(plan.item_spread_predicted)}"
        )
        lines += [
            f"Items needed       {row.items:,} for {percent(row.lift)} (looks: {row.looks})"
            for row in several
            if row.items is not None
        ]
    if plan.past is not None:
        lines.append(
            f"Earlier tests      {plan.past.right} of {plan.past.n_tests} went in the predicted direction; "
            f"observed over predicted {plan.past.slope:.2f} +- {plan.past.slope_std_error:.2f}"
        )
    if (tried := plan.dry_run) is not None:
        before = f", {tried.pre_days} days before them known" if tried.pre_days else ""
        lines += [
            f"Dry run            {tried.repetitions:,} splits of {tried.days} days{before}, no new title shown",
            f"  one look         {tried.false_decisions:.1%} false decisions, half-width {tried.half_width:.1%}",
            f"  any number       {tried.false_decisions_any:.1%} at the end, half-width {tried.half_width_any:.1%}",
            f"  split alarms     {tried.split_alarms:.1%}",
        ]
    if plan.assignment is not None:
        lines.append(f"Assignment         {plan.assignment} (plan {plan.fingerprint})")
    lines += list(dict.fromkeys(f"{row.name}: {row.reason}." for row in several if row.reason))
    return "\n".join(lines)


def _predictions(left: float | None) -> str:
    return (
        "predictions not judged: too few items held back"
        if left is None
        else f"with the reward's predictions {left:.0%}"
    )


def _smallest(plan: "Plan") -> list[str]:
    if plan.smallest_lifts is None:
        return []
    rows = [
        (looks, *("over 100%" if lift is None else percent(lift) for lift in by_weeks.values()))
        for looks, by_weeks in plan.smallest_lifts.items()
    ]
    weeks = [f"{week} week{'' if week == '1' else 's'}" for week in next(iter(plan.smallest_lifts.values()))]
    return [table(("smallest detectable lift, by looks", *weeks), rows)]
