"""``rlopt check-logs``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config
from rlopt.cli.show import show


@click.command("check-logs", cls=Configured)
@click.argument("logs", metavar="LOGS")
@options.tmp_dir
@options.columns
@options.query
@click.option(
    "--config",
    metavar="PRESET",
    type=click.Path(path_type=Path),
    help="YAML file, or a preset of rlopt by name: its columns and exclusions apply.",
)
@from_config("RewardConfig", "plan", "decimal", "missing", "copies", "event_id")
@options.common
def command(
    logs: str, tmp_dir: str | None, columns: str | None, query: str | None, config: Path | None, **flags: Any
) -> None:
    """Examine logs: what they contain, what is wrong with them, and whether they can teach a reward.

    Exits with 1 if fit-reward would refuse them.

    \b
    Example:
      rlopt check-logs logs.parquet --columns title=headline
      rlopt check-logs sqlite:///shop.db --query "SELECT * FROM impressions"
    """
    options.there(logs)

    from rlopt.stages.check_logs import check_logs

    result = check_logs(logs, columns=columns, query=query, config=config, tmp_dir=tmp_dir, flags=flags)
    show(result, result.to_text())
    if result.stops:
        click.get_current_context().exit(1)
