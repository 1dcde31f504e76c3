"""``rlopt sft``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import show


@click.command("sft", cls=Configured)
@click.argument("catalogue", metavar="[CATALOGUE]", required=False)
@from_config(
    "SftConfig", "model", "gguf_file", "task", "shots", "learn", "last_n", "lora_rank", "steps", "epochs", "batch_size",
    "optimizer", "learning_rate", "schedule", "weight_decay", "dropout", "shuffle_fields", "drop_fields", "variants",
    "weight_by", "early_stopping", "save_every", "report_to",
)  # fmt: skip
@options.reviews("Database of `rlopt review`: titles that people approved or wrote are learned, too.")
@click.option("--force", is_flag=True, help="Train again even if nothing has changed since the last time.")
@options.columns
@options.query
@preset("columns", "exclude", "constraints")  # kept in a run that a catalogue begins
@options.in_run
@options.common
def command(
    catalogue: str | None,
    config: Path | None,
    run_path: str,
    force: bool,
    reviews: str | None,
    columns: str | None,
    query: str | None,
    **flags: Any,
) -> None:
    """Train the supervised policy: a language model that writes titles like those in the logs.

    It is PPO's starting point and reference, and the baseline of offline-eval. `rlopt ppo` trains it if the run has
    none; use this command to choose the model or its settings. If interrupted, the same command continues from the
    last checkpoint; if finished and unchanged, it returns at once.

    CATALOGUE, a table with item_id, title and the items' fields, starts a run without clicks: the policy learns those
    titles, and `rlopt generate` writes titles without a reward. Later, `rlopt fit-reward LOGS` in the same run
    replaces the catalogue with the logs; then train the policy again.

    \b
    Example:
      rlopt sft --model smollm2 --learn lora --steps 200
      rlopt sft --reviews titles.reviews.db
      rlopt sft products.parquet --columns title=name,item_id=sku
    """
    from rlopt.config import SftConfig, read_preset

    run = options.open_run(run_path, create=True) if catalogue is not None else options.writing_run(run_path)
    if catalogue is None and (columns or query):
        raise click.UsageError("--columns and --query say how to read CATALOGUE. Name it, or leave them out.")
    settings = options.settings(SftConfig, config, flags, run)
    kept = read_preset(config) if config is not None else {}

    from rlopt.training.trackers import check_trackers

    check_trackers(settings.report_to)  # before anything slow is loaded

    from rlopt.stages.sft.stage import train_sft

    given: dict[str, Any] = {"catalogue": catalogue, "columns": columns, "query": query, "preset": kept}
    show(train_sft(run, settings, force=force, reviews=reviews, **given))
