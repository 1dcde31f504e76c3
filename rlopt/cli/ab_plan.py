"""``rlopt ab-plan``."""

from typing import TYPE_CHECKING, Any

import click

from rlopt.cli import options
from rlopt.cli.show import percent, show, table

if TYPE_CHECKING:
    from rlopt.stages.ab.plan import Plan

LOOKS = {"one": "one, at the end (--final)", "any": "any number"}
RATE = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.command("ab-plan")
@click.option("--lift", type=float, help="Lift to find, 0.03 is +3 %.  [default: the one offline-eval predicted]")
@click.option(
    "--baseline", type=click.Choice(["logged", "sft"]), default="logged", show_default=True,
    help="Over what the predicted lift is.",
)  # fmt: skip
@click.option(
    "--metric", type=click.Choice(["clicks", "conversions"]), default="clicks", show_default=True,
    help="What is counted per impression.",
)  # fmt: skip
@click.option("--split", type=RATE, default=0.5, show_default=True, help="Share that sees the new titles.")
@click.option("--alpha", type=RATE, default=0.05, show_default=True, help="Chance of a false discovery.")
@click.option("--power", type=RATE, default=0.8, show_default=True, help="Chance of finding the lift.")
@click.option("--one-sided", is_flag=True, help="Only a gain counts as a discovery.")
@click.option(
    "--traffic", type=click.FloatRange(0, min_open=True), metavar="N",
    help="Impressions a day.  [default: from the logs' timestamps]",
)  # fmt: skip
@click.option(
    "--policy", metavar="POLICY", default="ppo", show_default=True,
    help="Whose titles the test shows, as offline-eval --policy was told it.",
)  # fmt: skip
@options.in_run
@options.common
def command(run_path: str, one_sided: bool, **settings: Any) -> None:
    """Plan the A/B test: impressions for each arm, and days, to find the predicted lift or its lower limit.

    Overdispersion of the counts, the number of items and how differently they respond are taken from the run.

    \b
    Example:
      rlopt ab-plan --split 0.2 --traffic 50000
    """
    run = options.fitted_run(run_path)

    from rlopt.stages.ab.plan import plan_test

    plan = plan_test(run, two_sided=not one_sided, **settings)
    show(plan, plan_text(plan))


def plan_text(plan: "Plan") -> str:
    """The plan for a person: one row a lift, then a row a share of the traffic."""
    shares = list(dict.fromkeys(share for row in plan.lifts for share in row.days))
    rows = [
        (
            row.name,
            percent(row.lift),
            LOOKS[row.looks],
            *("-" if n is None else f"{n:,.0f}" for n in (row.impressions_control, row.impressions_treatment)),
            *("-" if share not in row.days else f"{row.days[share]:,.1f}" for share in shares),
        )
        for pair in zip(plan.lifts, plan.always_valid, strict=True)
        for row in pair
    ]
    header = ("lift", "", "looks", "control", "treatment", *(f"days at {share}" for share in shares))
    known = "from rows that repeat a title" if plan.overdispersion_known else "not known from these logs: taken as 1"
    traffic = "unknown (--traffic N)" if plan.impressions_a_day is None else f"{plan.impressions_a_day:,.0f}"
    lines = [
        table(header, rows, title=f"Impressions for {plan.power:.0%} power at alpha {plan.alpha:g}"),
        f"Base rate          {plan.base_rate:.4%} {plan.metric} per impression",
        f"Test               {'two' if plan.two_sided else 'one'}-sided, {plan.treated_share:.0%} see the new titles",
        f"Overdispersion     {plan.overdispersion:.2f} ({known})",
        f"Items              {plan.effective_items:,.0f} effective; their lifts differ by {plan.lift_spread:.1%}",
        f"Impressions a day  {traffic}",
    ]
    lines += [f"{row.name}: {row.reason}." for row in plan.always_valid if row.reason]
    return "\n".join(lines)
