"""``rlopt fit-reward``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import show


@click.command("fit-reward", cls=Configured)
@click.argument("logs", metavar="LOGS")
@from_config(
    "RewardConfig", "judge_share", "test_share", "time_split", "members", "encoder", "click_weight",
    "conversion_weight", "revenue_weight", "assignment", "observational", "conversions_complete",
)  # fmt: skip
@click.option("--update", is_flag=True, help="Add LOGS, which hold only new rows, to what the run has already learned.")
@from_config("RewardConfig", "half_life_days", "engine")
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Address of the Dask cluster for --engine dask. [default: two local processes]",
)
@from_config("RewardConfig", "plan", "decimal", "missing", "copies", "event_id", "memory_limit")
@click.option("--force", is_flag=True, help="Fit again even if nothing has changed since the last time.")
@options.tmp_dir
@options.columns
@options.query
@preset("columns", "exclude", "constraints")  # kept in the run for all its commands
@options.in_run
@options.common
def command(
    logs: str,
    update: bool,
    force: bool,
    tmp_dir: str | None,
    scheduler: str | None,
    columns: str | None,
    query: str | None,
    config: Path | None,
    run_path: str,
    **flags: Any,
) -> None:
    """Learn from logged clicks what a title earns.

    LOGS is a parquet, CSV or JSONL file, a folder or a glob of them, a workbook, a URL (s3://, gs://, az://, https://)
    or a database (postgresql://, sqlite:///, duckdb:/// ..., with --query), with one row per impression or per title:
    item_id, title, clicks; if known also impressions, conversions, propensity, position, timestamp. Every other column
    describes the item. First the log doctor examines the logs, like rlopt check-logs, and refuses logs that would
    teach nonsense.

    Logs of a plan of rlopt explore need no propensities: --plan plan.parquet supplies them. With several plans, give
    --plan 1=plan.parquet --plan 2=plan-2.parquet and a column batch in LOGS.

    Items are split once: train (for this model and PPO), judge (for a second model that only offline-eval uses) and
    test. If interrupted, the same command continues; if finished and unchanged, it returns at once.

    --update refits on the arms of the run and those of new logs. Items keep their side of the split. The new model
    replaces the old one unless it is clearly worse on the judge's items of the newest log. LOGS must hold only new
    rows: rlopt recognises and refuses rows that it has learned from before. It estimates conversions that came after
    the end of their own log from their delay; to count them, fit again from all logs.

    --observational is for logs in which each item had only one title. It compares items that are similar in everything
    known except their titles. That shows correlations with clicks, not causes: the reward is marked observational
    everywhere, and no verdict on it says launch. Start with it, then let rlopt explore find out what really earns
    clicks.

    --engine dask aggregates Parquet logs on a Dask cluster (extra [dask]), one DuckDB per partition, to the same arms.
    It also trains the trees there, with LightGBM's own Dask estimators. Workers must see the logs under the path in
    LOGS. The features, the linear part and the judge stay here: they grow only with the number of titles.

    \b
    Example:
      rlopt fit-reward logs.parquet --columns title=headline,item_id=article
      rlopt fit-reward explored.parquet --plan plan.parquet
      rlopt fit-reward this-week.parquet --update --half-life-days 60
      rlopt fit-reward one-title-an-item.parquet --observational
      rlopt fit-reward 'postgresql://reader:$PASSWORD@host/shop' --query arms.sql
    """
    given: dict[str, Any] = {"columns": columns, "query": query, "tmp_dir": tmp_dir, "scheduler": scheduler}
    if update:
        _update(logs, config, run_path, flags, force=force, **given)
        return
    from rlopt.config import RewardConfig, read_preset

    run = options.open_run(run_path, create=True)
    preset = read_preset(config) if config is not None else {}
    settings = options.settings(RewardConfig, config, flags)
    options.there(logs)

    from rlopt.stages.fit_reward.stage import fit_reward

    result = fit_reward(run, logs, settings, preset=preset, force=force, **given)
    show(result, result.to_text())


def _update(logs: str, config: Path | None, run_path: str, flags: dict[str, Any], **more: Any) -> None:
    from rlopt.config import RewardConfig, load
    from rlopt.stages.fit_reward.update import run_settings, update_reward

    run = options.open_run(run_path)
    settings = load(RewardConfig, config, flags, preset={"reward": run_settings(run)})
    result = update_reward(run, logs, settings, **more)
    show(result, result.to_text())
