"""``rlopt generate``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import show


@click.command("generate", cls=Configured)
@click.argument("items", metavar="ITEMS")
@options.output
@from_config(
    "GenerateConfig", "policy", "n", "diverse", "best_of", "temperature", "top_p", "beams", "max_width", "max_chars",
    "banned", "required", "superlatives", "harmful", "promises", "facts", "support", "belonging", "confidence",
    "keep_current", "engine", "batch_size", "ensemble", "ensemble_by",
)  # fmt: skip
@options.columns
@options.query
@options.reviews("Database of `rlopt review`: approved titles are kept, refused ones are not proposed again.")
@preset()
@options.in_run
@options.common
def command(
    items: str,
    out: Path,
    columns: str | None,
    query: str | None,
    reviews: str | None,
    config: Path | None,
    run_path: str,
    **flags: Any,
) -> None:
    """Write titles for the items of a catalogue.

    ITEMS is a parquet, CSV or JSONL file with item_id and the item's fields. The output has one row per title: its
    log_prob, its predicted reward, its similarity to logged titles (support), whether it belongs to its item
    (relevance) and reads like a title (fluency), and why a current title was kept. --diverse adds the expected reward
    of the item's best title, how different the titles are, and how each differs from the others (angle).

    The section "constraints" of the preset and flags set the rules. In a run that has learned from titles alone
    (`rlopt sft CATALOGUE`) the titles are proposals: nothing says yet what they earn. If interrupted, the same command
    continues where it was. `accelerate launch -m rlopt generate` shares the work between processes and writes the same
    titles.

    \b
    Example:
      rlopt generate items.parquet -o titles.parquet --n 3
      rlopt generate items.parquet -o portfolio.parquet --n 5 --diverse
      rlopt generate items.parquet -o next.parquet --reviews titles.reviews.db
    """
    from rlopt.config import GenerateConfig

    run = options.writing_run(run_path)
    settings = options.settings(GenerateConfig, config, flags, run)

    from rlopt.stages.common.policies import policy_folder, writing_policy

    wanted = writing_policy(run, settings.policy)
    policy_folder(run, wanted)  # reports a missing one before anything slow is loaded
    options.there(items)

    from rlopt.stages.generate.stage import generate

    show(generate(run, items, out, settings, columns=columns, query=query, reviews=reviews))
