"""``rlopt logs-sql``."""

import click

from rlopt.cli import options
from rlopt.cli.show import show


@click.command("logs-sql")
@click.option(
    "--dialect",
    required=True,
    type=click.Choice(["bigquery", "snowflake", "spark", "clickhouse", "postgres", "duckdb"]),
    help="Whose SQL.",
)
@click.option(
    "--template",
    type=click.Choice(["impressions", "ga4", "search-console"]),
    default="impressions",
    show_default=True,
    help="Kind of the rows: impressions (or counts of a title), GA4's export, or Search Console's with your titles.",
)
@click.option("--table", metavar="NAME", help="Where the rows are.")
@click.option("--titles", metavar="NAME", help="For Search Console: your table of url, title, first_day and last_day.")
@click.option("--context", metavar="COLUMN", multiple=True, help="A column that describes the item. Repeatable.")
@options.columns
@options.common
def command(
    dialect: str, template: str, table: str | None, titles: str | None, context: tuple[str, ...], columns: str | None
) -> None:
    """Print the query that aggregates impressions to titles, for your own engine.

    Use it for billions of rows: the engine that has them aggregates, and rlopt learns from one row for each title, day
    and position. fit-reward reads the result like any log, from a file or with --query.

    --columns names the columns of the rows: item_id, title and clicks are always there; impressions, conversions,
    revenue, position, timestamp, propensity, surface and locale only if you name them (position=position).

    \b
    Example:
      rlopt logs-sql --dialect postgres --table shown --columns title=headline,timestamp=at > arms.sql
      rlopt fit-reward 'postgresql://reader:$PASSWORD@host/shop' --query arms.sql
    """
    from typing import Any, cast

    from rlopt.stages.logs_sql import logs_sql

    chosen = cast(Any, dialect), cast(Any, template)
    result = logs_sql(*chosen, table=table, titles=titles, columns=columns, context=context)
    show(result, result.to_text())
