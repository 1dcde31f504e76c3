"""Counts of a title that come again beside other values: joins that repeat rows, exports whose prices have changed.

A row may repeat another one although they differ: in a category that the item has twice, in a price, a spelling or a
day. Its impressions and clicks tell. Of two rows of one title with equal impressions, clicks agree by chance with a
probability of about 1 / sqrt(4 pi variance).
"""

from ..errors import LogError
from .repeats import SAMPLE_ROWS, WAY_OUT, every, place
from .source import FILE, ROW, quote
from .sums import CARRIES_COUNTS
from .text_files import is_nested
from .typed_rows import TypedRows
from .validate import LogTotals

_FEWEST = 3
_FEWEST_ROWS = 20
_SHARE = 0.05
_EXPECTED, _SEEN = 10, 5  # clicks from which equal counts are rare, whatever the rows' own rates
_MOST_NAMED = 4


def refuse_repeated_counts(rows: TypedRows, totals: LogTotals, n_arms: int) -> None:
    """Stop if rows of one title have equal impressions and clicks more often than chance makes them equal.

    Parameters
    ----------
    rows
        Valid rows, none of which repeats another one in every column (`reward.logs.repeats`).
    totals
        What they count.
    n_arms
        Pairs of item and title.

    Raises
    ------
    LogError
        Naming a pair, what they differ in, how many there are and what they would add.
    """
    shown = totals.rows - totals.empty_rows
    if not rows.has("impressions") or totals.impressions < CARRIES_COUNTS * shown or shown <= n_arms:
        return
    step = -(-totals.rows // SAMPLE_ROWS)
    extra = {"file": FILE, "row": ROW, "kept": every(rows, step)}
    table = rows.select("item_id", "title", "impressions", "clicks", extra=extra, where="impressions > 0 AND kept")
    rated = f"SELECT *, sum(clicks) OVER title / sum(impressions) OVER title AS rate FROM {table} "
    rated += "WINDOW title AS (PARTITION BY item_id, title)"
    by_counts = (
        "SELECT item_id, title, impressions AS i, clicks AS c, count(*) AS n, "
        f"min({{'file': file, 'row': row}}) AS first, max({{'file': file, 'row': row}}) AS last FROM ({rated}) "
        f"WHERE impressions * rate >= {_EXPECTED} AND clicks >= {_SEEN} GROUP BY item_id, title, impressions, clicks"
    )
    query = rows.source.query
    query(f"CREATE OR REPLACE TEMP TABLE repeated_counts AS {by_counts}", rows.parameters)
    found = query(
        "SELECT coalesce(sum(n), 0), coalesce(sum(n - 1), 0), sum(n * (n - 1) / 2), sum((n - 1) * i), sum((n - 1) * c),"
        " min(first) FILTER (n > 1), arg_min(last, first) FILTER (n > 1) FROM repeated_counts"
    )
    n_rows, n, pairs, impressions, clicks, first, last = found.fetchall()[0]
    by_chance = query(
        "SELECT coalesce(sum(n * (n - 1) / 2 / sqrt(1 + 4 * pi() * c / n * greatest(1 - c / n / i, 0))), 0) FROM "
        "(SELECT i, sum(n) AS n, sum(n * c) AS c FROM repeated_counts GROUP BY item_id, title, i HAVING sum(n) > 1)"
    ).fetchall()[0][0]
    query("DROP TABLE repeated_counts")
    if n_rows < _FEWEST_ROWS or n < max(_FEWEST, _SHARE * n_rows) or pairs <= 2 * by_chance + 5 * by_chance**0.5:
        return
    about = "about " if step > 1 else ""
    raise LogError(
        f"{place(rows, last)} has the item, title, impressions and clicks of {place(rows, first)}"
        f"{_but(rows, first, last)}, and {about}{n * step:,.0f} such rows, more than by chance, would add "
        f"{impressions * step:,.0f} impressions and {clicks * step:,.0f} clicks a second time. A join, a second "
        f"export, or totals written beside each day repeat rows so. {WAY_OUT}"
    )


def _but(rows: TypedRows, *places: dict[str, object]) -> str:
    """Columns in which the rows at these places differ, in words."""
    source = rows.source
    columns = [column for column in source.columns if not is_nested(source.columns[column])]
    differ = ", ".join(f"count(DISTINCT coalesce(CAST({quote(column)} AS VARCHAR), ''))" for column in columns)
    here = " OR ".join(f"({FILE} = $file{i} AND {ROW} = $row{i})" for i in range(len(places)))
    own = {f"{key}{i}": value for i, where in enumerate(places) for key, value in where.items()}
    found = source.query(f"SELECT {differ} FROM {source.relation} WHERE {here}", {**source.parameters, **own})
    counts = found.fetchall()[0]
    named = [f"'{column}'" for column, n in zip(columns, counts, strict=True) if n > 1][:_MOST_NAMED]
    return f" but another {' and '.join(named)}" if named else ""
