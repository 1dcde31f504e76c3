"""``rlopt tag fit`` and ``rlopt tag apply``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import lines, show, table


@click.group("tag", no_args_is_help=False)
@options.common
def command() -> None:
    """Shorten titles by keeping their most telling words, whole and in order (for mobile).

    `tag fit` learns which words name what; `tag apply` shortens the titles of a file.

    \b
    Example:
      rlopt tag fit tagged.parquet
      rlopt tag apply titles.parquet -o short.parquet --max-chars 15
    """


@command.command("fit", cls=Configured)
@click.argument("titles", metavar="TITLES")
@from_config("TagConfig", "title", "labels", "entities", "short", "required")
@click.option(
    "--unlabelled",
    multiple=True,
    metavar="FILE",
    help="File of more titles without tags, to learn words from. Repeatable.",
)
@from_config("TagConfig", "model", "epochs", "learning_rate", "batch_size")
@preset()
@options.in_run
@options.common
def fit(titles: str, config: Path | None, run_path: str, unlabelled: tuple[str, ...], **flags: Any) -> None:
    """Learn which words of a title name the product, the brand and so on.

    TITLES is a parquet, CSV or JSONL file of long titles with either the entities tagged in them ([[kind, text], ...])
    or the short titles that people wrote, whose words it finds in the long ones. It holds out some titles to measure
    the tagger.

    \b
    Example:
      rlopt tag fit titles.parquet --unlabelled catalogue.parquet
    """
    from rlopt.config import TagConfig

    run = options.open_run(run_path, create=True)
    settings = options.settings(TagConfig, config, flags, run)

    from rlopt.stages.tag.fit import fit_tagger

    result = fit_tagger(run, titles, settings, unlabelled=unlabelled)
    scores = [
        [kind, *(f"{100 * value:.1f}%" for value in (row.precision, row.recall, row.f1)), f"{row.support:,}"]
        for kind, row in result.entities.items()
    ]
    rest = {name: value for name, value in result.to_dict().items() if name not in ("entities", "kinds")}
    title = f"{result.held_out:,} held-out titles"
    show(result, table(["entities", "precision", "recall", "F1", "true"], scores, title=title) + "\n\n" + lines(rest))


@command.command("apply", cls=Configured)
@click.argument("titles", metavar="TITLES")
@options.output
@from_config("ShortenConfig", "title", "item_id", "max_chars", "max_width", "batch_size")
@preset()
@options.in_run
@options.common
def apply(titles: str, out: Path, config: Path | None, run_path: str, **flags: Any) -> None:
    """Shorten the titles of a file to the words worth keeping.

    The output has one row per title: the short title, the words it keeps and what they name, how certain the tagger
    is, and, if there is no short title, the reason. If interrupted, the same command continues where it was.

    \b
    Example:
      rlopt tag apply titles.parquet -o short.parquet --max-chars 15
    """
    from rlopt.config import ShortenConfig

    run = options.open_run(run_path, create=True)
    settings = options.settings(ShortenConfig, config, flags, run)
    options.there(titles)

    from rlopt.stages.tag.apply import apply_tagger

    show(apply_tagger(run, titles, out, settings))
