"""Rows that are sums of other rows: subtotals, totals of several levels, months beside days, all beside parts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..arrays import FloatArray, IntArray
from ..errors import LogError
from .source import FILE, ROW, quote
from .typed_rows import TypedRows
from .validate import LogTotals

CARRIES_COUNTS = 1.5
"""Impressions a row, on average, from which rows count impressions rather than being one."""
_MOST_ROWS = 2_000_000
_MOST_TOTALS = 1_000  # rows at the end, or at the beginning, that sum up others
_LEVELS = 3  # of totals: of brands, of all, and again
_MOST_VALUES = 50
_MOST_COLUMNS = 40
_FEWEST = 3
_FEWEST_CLICKS = 10
_RARE = 1e4  # impressions times clicks of a row from which equal sums are no chance
WAY_OUT = "Leave one of the two out (the preset's exclude does); to count it anyway, --copies keep"


def refuse_sums(rows: TypedRows, totals: LogTotals) -> None:
    """Stop if rows of counts are the sums of other rows.

    Parameters
    ----------
    rows
        Valid rows.
    totals
        What they count.

    Raises
    ------
    LogError
        Naming the sums and what they would add.
    """
    if not rows.has("impressions") or totals.impressions < CARRIES_COUNTS * (totals.rows - totals.empty_rows):
        return
    _refuse_sums_by_title(rows)
    _refuse_sums_by_value(rows)
    if totals.rows <= _MOST_ROWS:
        _refuse_sums_by_place(rows)


def _refuse_sums_by_title(rows: TypedRows) -> None:
    """Stop if in most titles one row has what all its other rows have together: a month beside its days."""
    table = rows.select("item_id", "title", "impressions", "clicks", where="impressions > 0")
    by_title = (
        "SELECT max(impressions) AS i, sum(impressions) AS all_i, arg_max(clicks, impressions) AS c, "
        f"sum(clicks) AS all_c FROM {table} GROUP BY item_id, title HAVING count(*) > 2"
    )
    is_sum = "2 * i = all_i AND 2 * c = all_c"
    found = rows.source.query(
        f"SELECT count(*), count(*) FILTER ({is_sum}), sum(i) FILTER ({is_sum}), sum(c) FILTER ({is_sum}) "
        f"FROM ({by_title})",
        rows.parameters,
    )
    several, sums, impressions, clicks = found.fetchall()[0]
    if sums >= _FEWEST and 2 * sums > several and clicks >= _FEWEST_CLICKS:
        raise LogError(
            f"{rows.source.where}: of {sums:,} titles one row is the sum of the title's other rows (a total or a "
            f"longer period), which would add {impressions:,.0f} impressions and {clicks:,.0f} clicks a second time. "
            f"{WAY_OUT}"
        )


def _refuse_sums_by_value(rows: TypedRows) -> None:
    """Stop if one value of a column, such as all of devices, has what its other values have together."""
    kinds = rows.source.columns
    texts = [c for c in rows.context_columns if kinds[c] == "VARCHAR" or kinds[c].startswith("ENUM")]
    columns = texts[:_MOST_COLUMNS]
    if not columns:
        return
    counts = ", ".join(f"approx_count_distinct({quote(column)})" for column in columns)
    query = rows.source.query
    n_values = query(f"SELECT {counts} FROM {rows.source.relation}", rows.source.parameters).fetchall()[0]
    for column, n in zip(columns, n_values, strict=True):
        if 1 < n <= _MOST_VALUES:
            table = rows.select("impressions", "clicks", extra={"v": f"CAST({quote(column)} AS VARCHAR)"})
            found = query(
                f"SELECT v, sum(impressions), sum(clicks) FROM {table} GROUP BY v ORDER BY 2 DESC, v", rows.parameters
            ).fetchall()
            impressions, clicks = (sum(row[i] for row in found) for i in (1, 2))
            name, shown, clicked = found[0]
            if len(found) > 2 and 2 * shown == impressions and 2 * clicked == clicks and clicked >= _FEWEST_CLICKS:
                what = "no value" if name is None else f"{name!r:.60}"
                raise LogError(
                    f"{rows.source.where}: the rows with {what} in the column '{column}' have as many impressions and "
                    f"clicks as all others together, which would add {shown:,.0f} impressions and {clicked:,.0f} "
                    f"clicks a second time. {WAY_OUT}"
                )


def _refuse_sums_by_place(rows: TypedRows) -> None:
    """Stop if rows sum up those above (or below) them: subtotals, or totals at one end of a file."""
    for file in rows.source.files:
        own = replace(rows, source=rows.source.only([file]))
        table = own.select("impressions", "clicks", extra={"file": FILE, "row": ROW}, where="impressions > 0")
        found = own.source.table(f"SELECT row, impressions, clicks FROM {table} ORDER BY row", own.parameters)
        row, shown, clicked = (found.column(i).to_numpy() for i in range(3))
        if len(row) < 2 * _FEWEST:
            continue
        for down in (True, False):
            order = slice(None) if down else slice(None, None, -1)
            sums = subtotals(shown[order], clicked[order])
            sums = totals_at_end(shown[order], clicked[order]) if not len(sums) else sums
            if len(sums):
                places = np.sort(row[order][sums])
                impressions, clicks = shown[order][sums].sum(), clicked[order][sums].sum()
                raise LogError(_told(rows.source.file_name(file), places.tolist(), impressions, clicks))


def subtotals(shown: FloatArray, clicked: FloatArray) -> IntArray:
    """Indices of rows that each sum up the rows since the one before, if that explains all rows; else none.

    Parameters
    ----------
    shown, clicked
        Impressions and clicks in the order of the file, shape (n_rows,).
    """
    sums: list[int] = []
    open_rows = 0
    since = [(0.0, 0.0)] * (_LEVELS + 1)  # of rows, of their subtotals, of the sums of these ...
    for i, (impressions, clicks) in enumerate(zip(shown.tolist(), clicked.tolist(), strict=True)):
        levels = [0] if open_rows > 1 else range(1, _LEVELS) if not open_rows and sums else []
        level = next((k for k in levels if since[k] == (impressions, clicks)), None)
        if level is None:
            open_rows += 1
        else:
            sums.append(i)
            open_rows, since[level] = 0, (0.0, 0.0)
        above = 0 if level is None else level + 1
        since[above] = (since[above][0] + impressions, since[above][1] + clicks)
        if i == _MOST_TOTALS and not sums:  # no group is as long
            break
    found = np.array(sums, dtype=np.int64)
    certain = len(sums) >= _FEWEST and open_rows == 0 and clicked[found].sum() >= _FEWEST_CLICKS
    return found if certain else found[:0]


def totals_at_end(shown: FloatArray, clicked: FloatArray) -> IntArray:
    """Indices of the last rows that sum up all rows before them, once or on several levels; none if there are none."""
    n = len(shown)
    first = np.arange(max(_FEWEST, n - min(_MOST_TOTALS, n // 4)), n)
    above_shown, above_clicked = (np.cumsum(values)[first - 1] for values in (shown, clicked))
    for level in range(1, _LEVELS + 1):
        same = (shown.sum() - above_shown == level * above_shown) & (
            clicked.sum() - above_clicked == level * above_clicked
        )
        rare = shown[first] * np.maximum(clicked[first], 1) >= _RARE
        enough = (n - first >= level) & (above_clicked >= _FEWEST_CLICKS) & rare
        if len(found := first[same & enough]):
            return np.arange(found[-1], n)
    return np.array([], dtype=np.int64)


def _told(file: str, places: Sequence[int], impressions: float, clicks: float) -> str:
    first = f"row {int(places[0]) + 1:,}"
    what = f"{first} is the sum" if len(places) == 1 else f"{len(places):,} rows (first: {first}) are sums"
    return (
        f"{file}: {what} of other rows, as subtotals and totals are, which would add {impressions:,.0f} impressions "
        f"and {clicks:,.0f} clicks a second time. {WAY_OUT}"
    )
