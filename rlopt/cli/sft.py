"""``rlopt sft``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import show


@click.command("sft", cls=Configured)
@from_config(
    "SftConfig", "model", "gguf_file", "task", "shots", "learn", "last_n", "lora_rank", "steps", "epochs", "batch_size",
    "optimizer", "learning_rate", "schedule", "weight_decay", "dropout", "shuffle_fields", "drop_fields", "variants",
    "weight_by", "early_stopping", "save_every", "report_to",
)  # fmt: skip
@options.reviews("Database of `rlopt review`: titles that people approved or wrote are learned, too.")
@click.option("--force", is_flag=True, help="Train anew although nothing changed since the last time.")
@preset()
@options.in_run
@options.common
def command(config: Path | None, run_path: str, force: bool, reviews: str | None, **flags: Any) -> None:
    """Train the supervised policy: a language model that writes titles like those in the logs.

    It is PPO's starting point and reference, and the baseline of offline-eval. `rlopt ppo` calls it when the run
    has none; use this command to choose the model or its settings. Interrupted, the same command continues from the
    last checkpoint; finished and unchanged, it returns at once.

    \b
    Example:
      rlopt sft --model smollm2 --learn lora --steps 200
      rlopt sft --reviews titles.reviews.db
    """
    from rlopt.config import SftConfig

    run = options.fitted_run(run_path)
    settings = options.settings(SftConfig, config, flags, run)

    from rlopt.training.trackers import check_trackers

    check_trackers(settings.report_to)  # before anything slow is loaded

    from rlopt.stages.sft.stage import train_sft

    show(train_sft(run, settings, force=force, reviews=reviews))
