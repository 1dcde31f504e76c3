"""``rlopt logs-sql``."""

import click

from rlopt.cli import options
from rlopt.cli.show import show


@click.command("logs-sql")
@click.option(
    "--dialect",
    required=True,
    type=click.Choice(["bigquery", "snowflake", "spark", "clickhouse", "postgres", "duckdb"]),
    help="The engine that will run the query.",
)
@click.option(
    "--template",
    type=click.Choice(["impressions", "ga4", "search-console"]),
    default="impressions",
    show_default=True,
    help="What the table holds: impressions (or counts per title), GA4's export, or Search Console's export.",
)
@click.option("--table", metavar="NAME", help="Name of the table, as in FROM.")
@click.option(
    "--titles",
    metavar="NAME",
    help="For Search Console, which stores no titles: your table of url, title, first_day and last_day.",
)
@click.option("--context", metavar="COLUMN", multiple=True, help="A column that describes the item. Repeatable.")
@options.columns
@options.common
def command(
    dialect: str, template: str, table: str | None, titles: str | None, context: tuple[str, ...], columns: str | None
) -> None:
    """Print a query with which your own engine aggregates impressions to titles.

    Use it for billions of rows: your engine aggregates them, and rlopt learns from one row for each title, day and
    position. fit-reward reads the result like any log, from a file or with --query.

    The query always uses item_id, title and clicks. It uses impressions, conversions, revenue, position, timestamp,
    propensity, surface and locale only if --columns names them (position=position).

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
