"""A copy of every k-th item's rows: enough for the tests and searches over long logs, which read them several times."""

from dataclasses import replace
from pathlib import Path

from .source import quote
from .typed_rows import TypedRows

MOST_ROWS = 1_500_000
"""Rows from which on items are left out."""
FEWEST_ITEMS = 300
"""Of logs with few items as many as these stay, whatever their rows are."""


def some_items(rows: TypedRows, most_rows: int | None = None, fewest_items: int | None = None) -> TypedRows:
    """All rows of some items; of a short log, or one with few items, all rows there are.

    Parameters
    ----------
    rows
        Valid rows, added up (the table ``arms`` of `reward.logs.aggregate`); also those of some items, for fewer.
    most_rows
        Rows of a short log; None: `MOST_ROWS`.
    fewest_items
        Items that stay; None: `FEWEST_ITEMS`.
    """
    source = rows.source
    n_rows, n_items = source.query("SELECT sum(rows), count(DISTINCT item) FROM arms").fetchall()[0]

    def every(most: int, fewest: int) -> int:
        return max(1, min(-(-int(n_rows or 0) // most), int(n_items) // fewest))

    usual = every(MOST_ROWS, FEWEST_ITEMS)
    step = every(most_rows or MOST_ROWS, fewest_items or FEWEST_ITEMS)
    if step > usual:  # fewer of some items are fewer of all of them
        step -= step % usual
    if step == 1:
        return rows
    columns = ", ".join(map(quote, source.columns))
    kept = f"SELECT {columns} FROM {source.relation} WHERE hash({rows.expression('item_id')}) % {step} = 0"
    target = source.folder / f"every-{step}-items.parquet"
    parameters = source.parameters
    if source.cluster is not None:
        source.connection.register("found_on_cluster", source.cluster.partial_sums(kept, parameters, {}))
        kept, parameters = "SELECT * FROM found_on_cluster", {}
    source.query(f"COPY ({kept}) TO '{target}' (FORMAT parquet, COMPRESSION lz4)", parameters)
    if source.cluster is not None:
        source.connection.unregister("found_on_cluster")
    copy = replace(source, files={str(target): Path(source.where)}, partitioned=False, cluster=None)
    return replace(rows, source=copy)
