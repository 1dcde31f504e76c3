"""``rlopt simulate``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import show


@click.command("simulate", cls=Configured)
@options.output
@from_config("SimulateConfig", "items", "impressions", "locale", "rows")
@preset()
@options.common
def command(out: Path, config: Path | None, **flags: Any) -> None:
    """Write the logs of a simulated shop whose true click rates are known.

    With the logs OUT.parquet it writes OUT.items.parquet (the catalogue) and OUT.market.json (the true click and
    conversion probabilities of any title, even one not yet written).

    \b
    Example:
      rlopt simulate -o logs.parquet --items 2000 --impressions 1000000 --locale zh
    """
    from rlopt.config import SimulateConfig
    from rlopt.stages.simulate import simulate

    show(simulate(out, options.settings(SimulateConfig, config, flags)))
