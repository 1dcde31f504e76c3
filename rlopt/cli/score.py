"""``rlopt score``."""

from pathlib import Path

import click

from rlopt.cli import options
from rlopt.cli.show import show


@click.command("score")
@click.argument("titles", metavar="TITLES")
@options.output
@options.columns
@options.query
@options.in_run
@options.common
def command(titles: str, out: Path, columns: str | None, query: str | None, run_path: str) -> None:
    """Predict what titles would earn.

    TITLES is a parquet, CSV or JSONL file with item_id, title and the item's fields. The output has all its columns,
    and adds p_click, p_conversion, reward (expected value per impression), reward_std and support (1: similar to
    logged titles, below 0.5: unlike any of them). lift and lift_std compare a title's clicks with the item's titles in
    the file, shrunk by the slope on held-out items. far names what is far from the logs: wording, item or both. If the
    file lacks rlopt's column names, those of the run apply.

    \b
    Example:
      rlopt score titles.parquet -o scored.parquet
    """
    run = options.fitted_run(run_path)
    options.there(titles)

    from rlopt.stages.score import score

    show(score(run, titles, out, columns=columns, query=query))
