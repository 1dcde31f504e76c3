"""Single impressions that a log holds twice: how often rows repeat is not how chance repeats them.

Rows that differ by nothing that is logged, such as two of one title in one second, come by chance in any number. If
rows of kind i come L_i times on average, n_k kinds come k times, and whatever the L_i are, n_3 is at least
2/3 n_2^2 / n_1 (Cauchy-Schwarz for mixtures of Poisson counts). Copies make pairs without their triples.
"""

import math
from collections.abc import Mapping

from ..errors import LogError
from .source import quote
from .sums import CARRIES_COUNTS
from .typed_rows import TypedRows
from .validate import LogTotals

_ALL_COLUMNS_ROWS = 1_000_000
"""Up to this many rows are compared in all columns, of longer logs those of some items in the schema's columns."""
_ALL_COLUMNS = 100
"""Columns that are read at once: of wider logs, again, the schema's."""
_FEWEST = 30
_MOST_COPIES = 5
_VARIED = 10
_COMPARED = ("item_id", "title", "clicks", "timestamp", "position", "surface", "locale")


def refuse_repeated_impressions(rows: TypedRows, some: TypedRows, totals: LogTotals) -> None:
    """Stop if rows that are one impression each are there twice, all of them or a part.

    Parameters
    ----------
    rows, some
        Valid rows, and those of some items (`reward.logs.some_items`).
    totals
        Totals of all rows.

    Raises
    ------
    LogError
        Naming how many rows repeat, and what they add.
    """
    if totals.impressions >= CARRIES_COUNTS * (totals.rows - totals.empty_rows):
        return
    if totals.rows <= _ALL_COLUMNS_ROWS and len(rows.source.columns) <= _ALL_COLUMNS:
        compared = rows
        values = [quote(column) for column in rows.source.columns if not column.startswith("__index_level_")]
    elif rows.has("timestamp"):
        compared = some
        values = [rows.expression(name) for name in _COMPARED if rows.has(name)]
    else:
        return
    same = f"hash({', '.join(values)})"
    table = compared.select("clicks", "impressions", extra={"same": same}, where="impressions > 0")
    by_row = f"SELECT count(*) AS n, any_value(clicks) AS c FROM {table} GROUP BY same"
    by_kind = f"SELECT n, count(*), sum(c) FROM ({by_row}) GROUP BY n ORDER BY n"
    found = compared.source.query(by_kind, compared.parameters)
    kinds, clicks = {}, {}
    for n, count, clicked in found.fetchall():
        kinds[n], clicks[n] = count, clicked
    times = copied(kinds)
    if not times:
        return
    step = 1.0 if compared is rows else totals.rows / sum(n * count for n, count in kinds.items())
    added = {n: n - n // times if times > 1 else n - 1 for n in kinds}
    about = "about " if step > 1 else ""
    raise LogError(
        f"{rows.source.where}: {about}{step * sum(added[n] * kinds[n] for n in kinds):,.0f} rows repeat another one in "
        f"every column that is compared, and not as chance repeats single impressions. They would add "
        f"{about}{step * sum(added[n] * clicks[n] for n in kinds):,.0f} clicks a second time. Remove what is there "
        "twice, or name a column of event ids (--event-id); to count it anyway, --copies keep"
    )


def copied(kinds: Mapping[int, int]) -> int:
    """Number of times every row is there; 1 if some rows are there again, 0 if chance explains what repeats.

    Parameters
    ----------
    kinds
        Number of different rows that come once, twice, and so on.
    """
    n = sum(kinds.values())
    if n < _FEWEST:
        return 0
    times = math.gcd(*kinds)
    if 1 < times <= _MOST_COPIES and (2 * kinds.get(times, 0) >= n or (times <= 3 and len(kinds) >= _VARIED)):
        return times
    once, pairs, triples = (kinds.get(k, 0) for k in (1, 2, 3))
    least = 2 / 3 * pairs**2 / max(once, 1)
    return int(pairs >= _FEWEST and triples + 5 * math.sqrt(triples) + 5 < least / 2)
