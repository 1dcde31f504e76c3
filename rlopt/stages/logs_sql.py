"""``rlopt logs-sql``: the query that adds impressions up to arms in the user's own engine."""

from collections.abc import Sequence
from dataclasses import dataclass

from reward.logs.schema import ColumnMapping
from reward.logs.sources.arms_sql import Dialect, Template, arms_query
from reward.plain import Plain


@dataclass(frozen=True)
class LogsSqlResult(Plain):
    """The query, and whose it is."""

    dialect: str
    template: str
    sql: str

    def to_text(self) -> str:
        """The query."""
        return self.sql


def logs_sql(
    dialect: Dialect,
    template: Template = "impressions",
    *,
    table: str | None = None,
    titles: str | None = None,
    columns: str | None = None,
    context: Sequence[str] = (),
) -> LogsSqlResult:
    """The query; parameters as in `reward.logs.sources.arms_sql.arms_query`, ``columns`` as in ``--columns``.

    Raises
    ------
    LogError
        If an option does not suit the template, or sqlglot is not installed.
    """
    mapping = ColumnMapping.parse(columns or "")
    sql = arms_query(dialect, template, table=table, titles=titles, mapping=mapping, context=context)
    return LogsSqlResult(dialect, template, sql)
