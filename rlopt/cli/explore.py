"""``rlopt explore``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import show


@click.command("explore", cls=Configured)
@click.argument("titles", metavar="TITLES")
@options.output
@click.option(
    "--continue",
    "results",
    metavar="RESULTS",
    help="File with the results of all earlier plans of these TITLES: the new plan learns from it.",
)
@from_config("ExploreConfig", "budget", "loss", "span", "afterwards", "batches", "floor", "stop", "half_life")
@options.columns
@options.query
@preset()
@options.in_run
@options.common
def command(
    titles: str,
    out: Path,
    results: str | None,
    columns: str | None,
    query: str | None,
    config: Path | None,
    run_path: str,
    **flags: Any,
) -> None:
    """Plan which titles to show next, and how often: to learn much at little cost.

    TITLES is a parquet, CSV or JSONL file with item_id, title and the item's fields: those that rlopt generate wrote,
    or your own. rlopt adds the titles in use today. Items that teach most per impression come first, within --budget
    and --loss; the plan leaves the others out. The plan has item_id, title and the exact probability of each (never
    below --floor); the screen says what it will be able to find out. A documented hash decides which visitor sees
    which title.

    Re-plan after each batch: --continue RESULTS learns from all results so far, in one file (item_id, title,
    impressions, clicks, and a column batch with a number or a day). Items whose best title is known well enough are
    decided: they get that title alone.

    \b
    Example:
      rlopt explore titles.parquet -o plan.parquet --budget 1000000
      rlopt explore titles.parquet -o plan-2.parquet --continue results.parquet
    """
    from rlopt.config import ExploreConfig

    run = options.fitted_run(run_path)
    settings = options.settings(ExploreConfig, config, flags, run)
    options.there(titles)

    from rlopt.stages.explore.stage import explore

    result = explore(run, titles, out, settings, results=results, columns=columns, query=query)
    show(result, result.to_text())
