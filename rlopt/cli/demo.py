"""``rlopt demo``."""

from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.show import show


@click.command("demo")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of everything random.")
@click.option(
    "--locale", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="Language of the shop."
)
@click.option(
    "--run", "run_path", metavar="DIR", envvar=options.RUN_VARIABLE, help="Run directory.  [default: runs/demo-...]"
)
@click.option("--steps", type=click.IntRange(min=1), help="PPO updates.")
@options.common
def command(run_path: str | None, **flags: Any) -> None:
    """Simulate a shop, run the whole chain on its logs, and compare the verdict with the truth.

    Takes a few minutes on two cores. Interrupted, the same command continues.

    \b
    Example:
      rlopt demo --seed 1 --locale zh
    """
    from rlopt.stages.demo import demo

    result = demo(run_path, **flags)
    show(result, result.to_text())
