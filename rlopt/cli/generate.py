"""``rlopt generate``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.show import show


@click.command("generate")
@click.argument("items", metavar="ITEMS")
@options.output
@click.option("--n", type=int, help="Titles an item.  [default: 1]")
@click.option("--temperature", type=float, help="Sampling temperature; 0 takes the likeliest word.  [default: 1.0]")
@click.option("--batch-size", type=int, help="Items at once.  [default: 64]")
@options.columns
@options.configured
@options.in_run
@options.common
def command(items: str, out: Path, columns: str | None, config: Path | None, run_path: str, **flags: Any) -> None:
    """Write titles for the items of a catalogue.

    ITEMS is a parquet or CSV file with item_id and the item's fields. The output has one row a title, with its
    log_prob and its predicted reward.

    \b
    Example:
      rlopt generate items.parquet -o titles.parquet --n 3
    """
    from rlopt.config import GenerateConfig

    run = options.open_run(run_path)
    run.require("fit-reward", "sft", "ppo")
    settings = options.settings(GenerateConfig, config, flags, run)

    from rlopt.stages.generate import generate

    show(generate(run, items, out, settings, columns=columns))
