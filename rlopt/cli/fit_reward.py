"""``rlopt fit-reward``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.show import show


@click.command("fit-reward")
@click.argument("logs", metavar="LOGS")
@click.option("--judge-share", type=float, help="Share of items only the judge learns from.  [default: 0.2]")
@click.option("--test-share", type=float, help="Share of items only offline-eval sees.  [default: 0.2]")
@click.option("--time-split", is_flag=True, default=None, help="Take the newest items as test items.")
@click.option("--members", type=int, help="Models in the ensemble.  [default: 5]")
@click.option("--click-weight", type=float, help="Worth of a click.  [default: 1.0]")
@click.option("--conversion-weight", type=float, help="Worth of a conversion.  [default: 0.0]")
@click.option("--memory-limit", metavar="SIZE", help="Memory of the log engine, such as 2GB.  [default: 1GB]")
@click.option("--force", is_flag=True, help="Fit again although nothing changed since the last time.")
@options.tmp_dir
@options.columns
@options.configured
@options.in_run
@options.common
def command(
    logs: str, force: bool, tmp_dir: str | None, columns: str | None, config: Path | None, run_path: str, **flags: Any
) -> None:
    """Learn from logged clicks what a title earns.

    LOGS is a parquet or CSV file, a folder or a glob of them, with one row per impression or per title:
    item_id, title, clicks; where known impressions, conversions, propensity, position, timestamp. Every other
    column describes the item. The log doctor looks first (rlopt check-logs) and stops on logs that would
    teach nonsense.

    Items are split once: train (this model and PPO), judge (a second model that only offline-eval asks) and
    test. Interrupted, the same command continues; finished and unchanged, it returns at once.

    \b
    Example:
      rlopt fit-reward logs.parquet --columns title=headline,item_id=article
    """
    from rlopt.config import RewardConfig, read_preset

    run = options.open_run(run_path, create=True)
    preset = read_preset(config) if config is not None else {}
    settings = options.settings(RewardConfig, config, flags)

    from rlopt.stages.fit_reward import fit_reward

    result = fit_reward(run, logs, settings, columns=columns, preset=preset, tmp_dir=tmp_dir, force=force)
    show(result, result.to_text())
