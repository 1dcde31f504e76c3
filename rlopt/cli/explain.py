"""``rlopt explain``."""

import click

from rlopt.cli import options
from rlopt.cli.show import show


@click.command("explain")
@click.argument("title", metavar="TITLE")
@click.option("--item", "item_id", metavar="ID", required=True, help="Item of the logs that the title is for.")
@options.in_run
@options.common
def command(title: str, item_id: str, run_path: str) -> None:
    """Say why the reward model thinks of a title what it does.

    Prints the predicted chance of a click with its interval; what length, fields named, claims, wording and so on
    add to it against the item's logged titles; whether the title is like anything logged, and if not, why; words the
    item does not state; and the logged titles nearest to it.

    \b
    Example:
      rlopt explain "Norda red running shoes, new" --item sku-1042
    """
    run = options.fitted_run(run_path)

    from rlopt.stages.explain import explain_title

    result = explain_title(run, title, item_id)
    show(result, result.to_text())
