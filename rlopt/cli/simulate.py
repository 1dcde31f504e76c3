"""``rlopt simulate``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.show import show


@click.command("simulate")
@options.output
@click.option("--items", type=int, help="Items in the shop.  [default: 2000]")
@click.option("--impressions", type=int, help="Impressions in the logs.  [default: 1000000]")
@click.option("--locale", type=click.Choice(["en", "zh"]), help="Language of the shop.  [default: en]")
@click.option("--rows", type=click.Choice(["impressions", "arms"]), help="What a row is.  [default: impressions]")
@options.configured
@options.common
def command(out: Path, config: Path | None, **flags: Any) -> None:
    """Write the logs of a shop that does not exist, and whose truth is known.

    Beside the logs OUT.parquet it writes OUT.items.parquet (the catalogue) and OUT.market.json (the true click and
    conversion probabilities of any title, also of titles nobody has written yet).

    \b
    Example:
      rlopt simulate -o logs.parquet --items 2000 --impressions 1000000 --locale zh
    """
    from rlopt.config import SimulateConfig
    from rlopt.stages.simulate import simulate

    show(simulate(out, options.settings(SimulateConfig, config, flags)))
