"""``rlopt evaluate-text``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import show, table
from rlopt.wording import counted


@click.command("evaluate-text", cls=Configured)
@click.argument("titles", metavar="TITLES")
@from_config("TextConfig", "references")
@click.option(
    "--run", "run_path", metavar="DIR", help="A run whose reward model also predicts CTR and CVR. [default: none]"
)
@options.columns
@options.query
@preset()
@options.common
def command(
    titles: str, columns: str | None, query: str | None, config: Path | None, run_path: str | None, **flags: Any
) -> None:
    """Compare titles with references and with what their items say.

    TITLES is a parquet, CSV or JSONL file with item_id, title, the item's fields and references. rlopt adds two
    baselines: all attributes joined by blanks, and the reference of the most similar other item.

    \b
    Against the references (0 to 1, 1 is the same text):
      bleu, rouge_1, rouge_2, rouge_l  words in common (in Chinese: characters)
      chrf                             pieces of words in common
      exact                            share of titles that are the reference
    About the items:
      coverage                         share of the item's short values that the title states
      precision                        share of what the title states that its item says, too
      length, distinct_1, distinct_2   words per title; share of distinct words and word pairs
    With --run:
      p_click, p_conversion            predicted CTR and conversions per click

    \b
    Example:
      rlopt evaluate-text titles.parquet --references human_title
    """
    from rlopt.config import TextConfig

    run = options.fitted_run(run_path) if run_path is not None else None
    settings = options.settings(TextConfig, config, flags, run)
    options.there(titles)

    from rlopt.stages.evaluate_text import evaluate_text

    result = evaluate_text(titles, settings, run=run, columns=columns, query=query)
    names = list(result.table)
    title = f"{counted(result.titles, 'title')} of {counted(result.items, 'item')}"
    rows = [[metric, *(_cell(result.table[name][metric]) for name in names)] for metric in result.table["titles"]]
    show(result, table(["metric", *names], rows, title=title))


def _cell(estimate: Any) -> str:
    if estimate.value != estimate.value:
        return "-"
    interval = "" if estimate.low != estimate.low else f" ({estimate.low:.3f} to {estimate.high:.3f})"
    return f"{estimate.value:.3f}{interval}"
