"""``rlopt review``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import show


@click.command("review", cls=Configured)
@click.argument("titles", metavar="TITLES", type=click.Path(path_type=Path))
@click.option(
    "--reviews", "place", metavar="DB",
    help="Where decisions are stored: a SQLite file, or postgresql://USER:$PASSWORD@HOST/NAME for "
"a team. [default: TITLES with .reviews.db at its end]",
)  # fmt: skip
@click.option(
    "--items", metavar="ITEMS", help="The catalogue that the titles were written for: the pages show its fields."
)
@click.option(
    "--export", "out", metavar="FILE", type=click.Path(path_type=Path),
    help="Write the approved titles to a .parquet or .csv file, instead of opening the pages.",
)  # fmt: skip
@options.csv
@click.option(
    "--export-banned", "banned", metavar="FILE", type=click.Path(path_type=Path),
    help="Write the words that reviewers banned, instead of opening the pages; for constraints: "
"{banned: [@FILE]}.",
)  # fmt: skip
@from_config("ReviewConfig", "host", "port", "lang", "second_opinions", "sample")
@options.columns
@preset()
@options.in_run
@options.common
def command(
    titles: Path,
    place: str | None,
    items: str | None,
    out: Path | None,
    banned: Path | None,
    columns: str | None,
    config: Path | None,
    run_path: str,
    **flags: Any,
) -> None:
    """Review proposed titles on local pages: accept, edit or reject them; then export what goes live.

    TITLES is a file that `rlopt generate` wrote. The command serves local pages until Ctrl-C. It stores each decision
    at once, with who and when, and never overwrites one. Keys: a accepts, e edits, r rejects, s skips, u undoes. A
    second page asks whether titles drawn at random mislead; `offline-eval --reviews` reports the share with its
    interval. `generate --reviews` and `sft --reviews` use the decisions. Needs the extra [review].

    \b
    Example:
      rlopt review titles.parquet --items items.parquet
      rlopt review titles.parquet --export approved.parquet
      rlopt review titles.parquet --reviews 'postgresql://me:$PASSWORD@host/reviews' --host 0.0.0.0
    """
    from rlopt.reviewing.database import needs

    if out is not None or banned is not None:
        needs("sqlalchemy")

        from rlopt.stages.review.stage import default_place, export

        result = export(place or default_place(titles), out, banned)
        show(result)
        return
    from rlopt.config import ReviewConfig

    run = options.fitted_run(run_path)
    settings = options.settings(ReviewConfig, config, flags, run)
    options.there(titles)

    needs("sqlalchemy", "starlette", "uvicorn", "multipart")

    from rlopt.stages.review.stage import review

    show(review(run, titles, place, settings, items=items, columns=columns))
