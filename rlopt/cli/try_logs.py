"""``rlopt try``."""

from typing import TYPE_CHECKING, Any

import click

from reward.seeds import MAX_SEED
from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config
from rlopt.cli.show import show

if TYPE_CHECKING:
    from rlopt.stages.try_logs import TryResult


@click.command("try", cls=Configured)
@click.argument("logs", metavar="LOGS")
@from_config("RewardConfig", "assignment")
@click.option(
    "--seed",
    type=click.IntRange(0, MAX_SEED),
    default=0,
    show_default=True,
    help="Seed of everything random: the same seed gives the same result.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="PPO updates, the length of the training. [default: those of the preset quick]",
)
@click.option("--run", "run_path", metavar="DIR", help="Run directory.  [default: runs/try-NAME]")
@options.tmp_dir
@options.columns
@options.query
@options.common
def command(logs: str, run_path: str | None, **flags: Any) -> None:
    """Take a first look at your own logs: guess the columns, run the whole chain, give a verdict and a report.

    LOGS is anything that fit-reward reads, with one row per impression or per title. The output shows how each column
    was read; --columns corrects it. Trainings are short (preset quick): minutes on two cores. rlopt ppo --run DIR and
    the other commands can continue from the run. If interrupted, the same command continues.

    \b
    Example:
      rlopt try mine.csv
      rlopt try mine.csv --columns title=headline --assignment randomized
    """
    options.there(logs)

    from rlopt.stages.try_logs import try_logs

    result = try_logs(logs, run_path, **flags)
    show(result, last_screen(result))


def last_screen(result: "TryResult") -> str:
    """The verdict, what to read, and what may come next."""
    seconds = "  ".join(f"{stage} {spent:.0f}" for stage, spent in result.seconds.items())
    run = f"--run {result.run}"
    return "\n".join(
        [
            result.evaluation.to_text(),
            f"Seconds: {seconds}  (total {sum(result.seconds.values()):.0f})",
            "",
            f"Longer trainings: rlopt ppo --steps 2000 {run} && rlopt offline-eval {run}",
            f"New titles:       rlopt generate ITEMS -o titles.parquet {run}",
            f"The A/B test:     rlopt ab-plan {run}",
        ]
    )
