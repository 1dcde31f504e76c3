"""``rlopt generate``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.show import show


@click.command("generate")
@click.argument("items", metavar="ITEMS")
@options.output
@click.option("--policy", metavar="NAME", help="ppo, sft, grpo or rloo of the run, or a policy folder.  [default: ppo]")
@click.option(
    "--n", type=int,
    help="Titles an item; from 2 on all are new ones, and the current title is not among them.  [default: 1]",
)  # fmt: skip
@click.option("--best-of", type=int, help="Titles written an item; the best by reward are kept.  [default: 1]")
@click.option("--temperature", type=float, help="Sampling temperature; 0 takes the likeliest word.  [default: 1.0]")
@click.option("--top-p", type=float, help="Sample from the likeliest words with this probability.  [default: 1.0]")
@click.option("--beams", type=int, help="Beam search instead of sampling.  [default: 1]")
@click.option("--max-width", type=int, help="Longest title in columns; a Chinese character is two.  [default: 160]")
@click.option("--max-chars", type=int, help="Longest title in characters.")
@click.option("--banned", multiple=True, metavar="PHRASE", help="No title holds it; @FILE: one a line. Repeatable.")
@click.option("--required", multiple=True, metavar="PHRASE", help="Every title holds it. Repeatable.")
@click.option(
    "--superlatives",
    multiple=True,
    metavar="PHRASE",
    help="Phrases of advertising law in place of rlopt's own lists; @FILE: one a line. Repeatable.",
)
@click.option(
    "--support",
    multiple=True,
    type=click.Choice(["number", "unit", "brand", "value", "word", "promise"]),
    help="Claims the item must state, in place of promises and those that logged titles keep to. Repeatable.",
)
@click.option(
    "--promises",
    multiple=True,
    metavar="PHRASE",
    help="Promises of the shop in place of rlopt's own lists; @FILE: one a line. Repeatable.",
)
@click.option("--facts", metavar="FILE", help="YAML of what holds for the shop's items (docs/promises.md).")
@click.option("--confidence", type=float, help="Chance of being better that replaces a current title.  [default: 0.8]")
@click.option("--keep-current/--replace-all", default=None, help="Keep current titles that no new one beats.")
@click.option("--engine", type=click.Choice(["transformers", "vllm"]), help="Who computes.  [default: transformers]")
@click.option("--batch-size", type=int, help="Titles at once.  [default: 256]")
@click.option("--ensemble", multiple=True, metavar="FOLDER", help="A policy that writes along. Repeatable.")
@click.option(
    "--ensemble-by",
    type=click.Choice(["tokens", "titles"]),
    help="Average what comes next, or rank --policy's titles by all members.  [default: tokens]",
)
@options.columns
@options.configured
@options.in_run
@options.common
def command(items: str, out: Path, columns: str | None, config: Path | None, run_path: str, **flags: Any) -> None:
    """Write titles for the items of a catalogue.

    ITEMS is a parquet, CSV or JSONL file with item_id and the item's fields. The output has one row a title, with its
    log_prob, its predicted reward, how like the logged titles it is (support), and why a current title was kept. Rules
    come from the section "constraints" of the preset and from flags. Interrupted, the same command goes on where it
    was; `accelerate launch -m rlopt generate` shares it between processes, with the same titles.

    \b
    Example:
      rlopt generate items.parquet -o titles.parquet --n 3
    """
    from rlopt.config import GenerateConfig

    run = options.open_run(run_path)
    run.require("fit-reward")
    given = {name: value or None if isinstance(value, tuple) else value for name, value in flags.items()}
    settings = options.settings(GenerateConfig, config, given, run)

    from rlopt.stages.generate.stage import generate

    show(generate(run, items, out, settings, columns=columns))
