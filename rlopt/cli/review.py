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
    help="Database of the decisions: a SQLite file or postgresql://USER:$PASSWORD@HOST/NAME.  [default: TITLES with "
    ".reviews.db at its end]",
)  # fmt: skip
@click.option("--items", metavar="ITEMS", help="The catalogue that the titles were written for: its fields are shown.")
@click.option(
    "--export", "out", metavar="FILE", type=click.Path(path_type=Path),
    help="Write what people approved (.parquet or .csv), and open no pages.",
)  # fmt: skip
@options.csv
@click.option(
    "--export-banned", "banned", metavar="FILE", type=click.Path(path_type=Path),
    help="Write the words that reviewers banned, for constraints: {banned: [@FILE]}.",
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
    """Read proposed titles, the most worth reading first: accept, edit, reject; then write what goes live.

    TITLES is a file that `rlopt generate` wrote. It serves local pages until Ctrl-C, stores each decision at once
    with who and when, and never overwrites one. Keys: a accepts, e edits, r rejects, s skips, u undoes. A
    second page asks about titles drawn at random whether they mislead: `offline-eval --reviews` makes a share with an
    interval of it. `generate --reviews` and `sft --reviews` use the decisions. Needs the extra [review].

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
