"""Values that belong to the item: its prices, its pictures. They are compared with the item's other values.

Deciles of all prices part cheap items from dear ones, and hardly ever an item's sale from its usual price. So such a
number counts by its ratio to the item's highest one. The address of a picture is of one item and can have no click rate
over all items: it counts by its place among the item's own.
"""

from dataclasses import dataclass

from .grouped import grouped
from .typed_rows import TypedRows

MAX_WITHIN = 0.5
"""Share of the variance of a number's deciles that is within items, under which it belongs to the item."""
MOST_OF_ONE = 40.0
"""Values of an item in the mean; with more they are sessions or times."""
_REPEATED = 1.05  # a value that is mistyped may be at two items
_ITEM, _MOST, _VALUE, _PLACE = (f"__rlopt_{name}" for name in ("item", "most", "value", "place"))


@dataclass(frozen=True)
class OfItem:
    """A column as compared with the item's other values.

    Parameters
    ----------
    sql
        Its value in a source row.
    table
        Temporary table that ``sql`` names.
    """

    sql: str
    table: str


def relative_number(rows: TypedRows, some: TypedRows, value: str, decile: str, table: str) -> OfItem | None:
    """A number's ratio to the item's highest; None if it does not belong to the item. See `OfItem`.

    Where some numbers are not positive, it is the difference.

    Parameters
    ----------
    rows, some
        Valid rows, and those of some items, which tell what kind of column it is.
    value, decile
        SQL of the number in a source row, and of its decile over all items, from 0.
    table
        Name of the table to make.
    """
    sums = "count(*) AS n, sum(d) AS once, sum(d * d) AS twice, min(v) AS least"
    by_item = f"SELECT {sums} FROM {_shown(some, v=value, d=decile)} WHERE v IS NOT NULL GROUP BY item_id"
    within, total, least = some.source.query(
        "SELECT sum(twice - once * once / n), sum(twice) - sum(once) * sum(once) / sum(n), min(least) "
        f"FROM ({by_item})",
        some.parameters,
    ).fetchall()[0]
    if not total or within >= MAX_WITHIN * total:
        return None
    known = f"(SELECT * FROM {_shown(rows, v=value)} WHERE isfinite(CAST(v AS DOUBLE)))"
    found, parameters = grouped(rows, ("item_id",), {"most": "max(v)"}, known, rows.parameters)
    _make(rows, table, f"SELECT item_id AS {_ITEM}, CAST(most AS DOUBLE) AS {_MOST} FROM {found}", parameters)
    highest = f"(SELECT {_MOST} FROM {table} WHERE {_ITEM} = {rows.expression('item_id')})"
    return OfItem(f"CAST({value} AS DOUBLE) {'/' if least > 0 else '-'} {highest}", table)


def place_in_item(rows: TypedRows, some: TypedRows, value: str, table: str) -> OfItem | None:
    """A text's place among the item's, from 0, as text; None if texts do not belong to items, or to too many at once.

    Parameters are those of `relative_number`.
    """
    pairs = f"SELECT DISTINCT item_id, v FROM {_shown(some, v=value)} WHERE v IS NOT NULL"
    n_pairs, n_values, n_items = some.source.query(
        f"SELECT count(*), count(DISTINCT v), count(DISTINCT item_id) FROM ({pairs})", some.parameters
    ).fetchall()[0]
    if n_pairs > _REPEATED * n_values or n_pairs > MOST_OF_ONE * n_items:
        return None
    known = f"(SELECT * FROM {_shown(rows, v=value)} WHERE v IS NOT NULL)"
    found, parameters = grouped(rows, ("item_id", "v"), {"n": "count(*)"}, known, rows.parameters)
    place = "CAST(dense_rank() OVER (PARTITION BY item_id ORDER BY v) - 1 AS VARCHAR)"
    _make(rows, table, f"SELECT item_id AS {_ITEM}, v AS {_VALUE}, {place} AS {_PLACE} FROM {found}", parameters)
    same = f"{_ITEM} = {rows.expression('item_id')} AND {_VALUE} = {value}"
    return OfItem(f"(SELECT {_PLACE} FROM {table} WHERE {same})", table)


def _shown(rows: TypedRows, **values: str) -> str:
    return rows.select("item_id", "impressions", extra=values, where="impressions > 0")


def _make(rows: TypedRows, table: str, query: str, parameters: dict[str, object]) -> None:
    rows.source.query(f"CREATE OR REPLACE TEMP TABLE {table} AS {query}", parameters)
