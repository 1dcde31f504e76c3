"""``rlopt explain``."""

import click

from rlopt.cli import options
from rlopt.cli.show import show


@click.command("explain")
@click.argument("title", metavar="TITLE")
@click.option(
    "--item", "item_id", metavar="ID", required=True, help="The item, by its id in the logs, that the title is for."
)
@options.in_run
@options.common
def command(title: str, item_id: str, run_path: str) -> None:
    """Explain the reward model's prediction for a title.

    Prints the predicted probability of a click with its interval; the contributions of length, fields named, claims,
    wording and so on, relative to the item's logged titles; whether the title is similar to logged ones, and if not,
    why; words that the item does not state; and the most similar logged titles.

    \b
    Example:
      rlopt explain "Norda red running shoes, new" --item sku-1042
    """
    run = options.fitted_run(run_path)

    from rlopt.stages.explain import explain_title

    result = explain_title(run, title, item_id)
    show(result, result.to_text())
