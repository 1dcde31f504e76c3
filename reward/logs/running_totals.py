"""Counts that hold earlier ones: running totals (clicks so far), and windows that overlap (the last 7 days, every day).

Clicks of different impressions are independent. So the rates of two neighbouring rows differ by their chance; those of
rows that share most of their impressions hardly do.
"""

import math
from collections.abc import Sequence

from ..errors import LogError
from .schema import WHERE_SHOWN
from .source import FILE, ROW, quote
from .sums import CARRIES_COUNTS
from .typed_rows import TypedRows
from .validate import LogTotals

_FEWEST_ROWS = 3  # of a title
_FEWEST_TITLES = 3
_NEVER_FALL = 0.95
_SURE = 25.0  # log of the odds against rows in ascending order
_FEWEST_STEPS, _FEWEST_STEPS_OF_WINDOWS = 20, 100
_CHANCE, _CHANCE_OF_WINDOWS = 0.6, 0.5  # of the variance of independent rows
_SMOOTH = 0.5
_EXPECTED = 3  # clicks of rows that are compared
_MOST_VALUES = 50
_MOST_COLUMNS = 40
_WAY_OUT = "Export what each row's own time adds; to count the rows as they are, --copies keep"


def refuse_running_totals(rows: TypedRows, some: TypedRows, totals: LogTotals) -> None:
    """Stop if each row of a title holds the counts of those before it.

    Parameters
    ----------
    rows, some
        Valid rows, and those of some items (`reward.logs.some_items`).
    totals
        Totals of all rows.

    Raises
    ------
    LogError
        Naming how many titles there are, and what they would add.
    """
    if not rows.has("impressions") or totals.impressions < CARRIES_COUNTS * (totals.rows - totals.empty_rows):
        return
    scale = totals.rows / max(_count(some), 1) if some is not rows else 1.0
    texts = _texts(some)
    for beside in ((), texts) if texts else ((),):
        _refuse(some, beside, scale)


def _count(rows: TypedRows) -> int:
    return int(
        rows.source.query(f"SELECT count(*) FROM {rows.source.relation}", rows.source.parameters).fetchall()[0][0]
    )


def _texts(rows: TypedRows) -> tuple[str, ...]:
    """Columns of few texts, such as the device, by which rows of one title may be told apart."""
    kinds = rows.source.columns
    where = [rows.location(name) for name in WHERE_SHOWN if rows.has(name)]
    columns = [*where, *(c for c in rows.context_columns if kinds[c] == "VARCHAR" and c not in where)][:_MOST_COLUMNS]
    if not columns:
        return ()
    counts = ", ".join(f"approx_count_distinct({quote(column)})" for column in columns)
    found = rows.source.query(f"SELECT {counts} FROM {rows.source.relation}", rows.source.parameters).fetchall()[0]
    return tuple(column for column, n in zip(columns, found, strict=True) if 1 < n <= _MOST_VALUES)


def _refuse(rows: TypedRows, beside: Sequence[str], scale: float) -> None:
    """Stop if rows of one title, with equal values ``beside`` it, hold the counts of earlier ones."""
    timed = rows.has("timestamp")
    keys = ", ".join(["item_id", "title", *(f"beside_{i}" for i in range(len(beside)))])
    extra = {"file": FILE, "row": ROW, **{f"beside_{i}": quote(column) for i, column in enumerate(beside)}}
    names = ("item_id", "title", "impressions", "clicks", *(["timestamp"] if timed else []))
    table = rows.select(*names, extra=extra, where="impressions > 0")
    order = "timestamp, file, row" if timed else "file, row"
    stepped = (
        f"SELECT *, lag(impressions) OVER w AS shown, lag(clicks) OVER w AS clicked, "
        f"sum(clicks) OVER own / sum(impressions) OVER own AS rate, avg(impressions) OVER own AS mean FROM {table} "
        f"WINDOW own AS (PARTITION BY {keys}), w AS (PARTITION BY {keys} ORDER BY {order})"
    )
    enough = f"rate * least(impressions, shown) >= {_EXPECTED} AND rate < 1"
    off = "(clicks - clicked * impressions / shown)"
    chance = "(rate * (1 - rate) * impressions * (1 + impressions / shown))"
    by_title = (
        f"SELECT count(*) AS n, coalesce(bool_and(impressions >= shown AND clicks >= clicked), true) "
        f"AND max(impressions) > min(impressions) AS rises, sum(impressions) - max(impressions) AS more, "
        f"sum(clicks) - max(clicks) AS more_clicks, count(*) FILTER ({enough}) AS steps, "
        f"sum({off} ** 2 / {chance}) FILTER ({enough}) AS ratio, sum({off} ** 2) FILTER ({enough}) AS squares, "
        f"sum((impressions - shown) ** 2) AS jumps, sum((impressions - mean) ** 2) AS spread "
        f"FROM ({stepped}) GROUP BY {keys} HAVING count(*) >= {_FEWEST_ROWS}"
    )
    found = rows.source.query(
        "SELECT count(*), count(*) FILTER (rises), coalesce(sum(lgamma(n + 1)) FILTER (rises), 0), sum(more), "
        "sum(more_clicks), coalesce(sum(steps), 0), sum(ratio) / sum(steps), sum(squares) / sum(steps), "
        f"sum(jumps) / 2 / sum(spread) FROM ({by_title})",
        rows.parameters,
    ).fetchall()[0]
    titles, rising, odds, impressions, clicks, steps, ratio, squares, jumps = found
    if titles < _FEWEST_TITLES or steps < _FEWEST_STEPS:
        return
    below = ratio + 2 * math.sqrt(2 / steps) < 1
    if rising >= _NEVER_FALL * titles and odds >= _SURE and below and ratio < _CHANCE:
        about = "about " if scale > 1 else ""
        raise LogError(
            f"{rows.source.where}: in {rising:,} of {titles:,} titles impressions and clicks never fall from row to "
            f"row, and their rates hardly change: running totals, which would add {about}{impressions * scale:,.0f} "
            f"impressions and {about}{clicks * scale:,.0f} clicks a second time. {_WAY_OUT}"
        )
    windows = timed and steps >= _FEWEST_STEPS_OF_WINDOWS and squares > 1 and (jumps or 0) < _SMOOTH
    if windows and ratio < _CHANCE_OF_WINDOWS:
        raise LogError(
            f"{rows.source.where}: click rates change from row to row of a title with only {ratio:.0%} of the variance "
            "of chance: rows that hold each other's impressions, such as the last 7 days on every day, which would "
            f"count most of them several times. {_WAY_OUT}"
        )
