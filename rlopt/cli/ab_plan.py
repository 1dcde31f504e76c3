"""``rlopt ab-plan``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import show


@click.command("ab-plan", cls=Configured)
@from_config(
    "AbPlanConfig", "design", "lift", "baseline", "metric", "split", "arm", "alpha", "power", "two_sided", "looks",
    "traffic", "weeks", "repetitions", "period", "carry_over", "period_spread", "pre_days", "order_spread",
    "start", "policy",
)  # fmt: skip
@click.option(
    "--assign", "assign_to", metavar="FILE", type=click.Path(path_type=Path),
    help="Write who gets which arm as CSV: items, periods or buckets of visitors. ab-analyze "
"--plan checks results against it.",
)  # fmt: skip
@click.option(
    "--dry-run", metavar="LOGS",
    help="Rehearse on past logs, without new titles: split them as planned, many times, and report "
"false decisions and half-widths.",
)  # fmt: skip
@click.option(
    "--columns", metavar="NAME=COLUMN,...",
    help="If the columns of the --dry-run logs have other names: visitor=user,timestamp=time. By "
"default the names given to fit-reward apply.",
)  # fmt: skip
@preset()
@options.in_run
@options.common
def command(
    assign_to: Path | None, dry_run: str | None, columns: str | None, config: Path | None, run_path: str, **flags: Any
) -> None:
    """Plan the A/B test that finds the predicted lift: impressions per arm, whole weeks, assignment.

    The run supplies the overdispersion of the counts, how much items differ and how differently they respond. Each
    lift has three sizes: for one look at the end, for a few planned looks, and for any number of looks.

    \b
    Example:
      rlopt ab-plan --split 0.2 --traffic 50000
      rlopt ab-plan --design items --weeks 4 --assign plan.csv
      rlopt ab-plan --dry-run logs.parquet
      rlopt ab-plan --design serial --period 7 --carry-over 1 --traffic 50000 --assign plan.csv
    """
    from rlopt.config import AbPlanConfig

    run = options.fitted_run(run_path)
    settings = options.settings(AbPlanConfig, config, flags, run)

    from rlopt.cli.ab_plan_text import plan_text
    from rlopt.stages.ab.plan import plan_test

    plan = plan_test(run, settings, assign_to=assign_to, dry_run=dry_run, columns=columns)
    show(plan, plan_text(plan))
