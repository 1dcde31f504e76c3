"""Reads files without counts: a catalogue of items, and titles to score."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .context import context_sql, read_context
from .errors import LogError
from .items import Item, flatten_fields
from .rows import PLACE, Rows
from .schema import ColumnMapping
from .source import Source, open_source
from .validate import check_texts


def read_items(source: str | Path, columns: ColumnMapping | None = None, ignore: Iterable[str] = ()) -> list[Item]:
    """Items of a catalogue, in its order; any file with an item_id serves, logs too.

    Parameters
    ----------
    source
        A parquet or CSV file, a glob or a folder.
    columns
        The user's column names; mapped columns that the file lacks are ignored unless they are item_id or title.
    ignore
        Columns that are no context of the item: those that the logs' reader left out (`LogData.dropped_columns`) or
        filtered on, so that a model meets the fields it was fitted on.

    Returns
    -------
    list of Item
        One an item_id. Of several rows with one item_id the most frequent values count; ``current_title`` is the
        most frequent title, None where the file has no titles.

    Raises
    ------
    LogError
        Where the file cannot be read, has no item_id column, no rows, or an empty item_id.
    """
    with open_source(source) as opened:
        rows = Rows.of(opened, _without_counts(opened, columns), None, ("item_id",), ("item_id", "title"), ignore)
        check_texts(rows, "item_id")
        context = read_context(rows, weight="1", where="true")
        titles = _frequent_titles(rows) if rows.has("title") else {}
        table = rows.select("item_id", extra=PLACE)
        first = f"SELECT item_id FROM {table} GROUP BY item_id ORDER BY min({{'file': file, 'row': row}})"
        ids = [row[0] for row in opened.query(first, rows.parameters).fetchall()]
    return [Item(item_id, context.fields.get(item_id, {}), titles.get(item_id)) for item_id in ids]


def read_titles(
    source: str | Path, columns: ColumnMapping | None = None, ignore: Iterable[str] = ()
) -> tuple[list[Item], list[str], pa.Table]:
    """Titles to score with the item each is for, row by row, and the file's own table.

    Parameters
    ----------
    source
        A parquet or CSV file, a glob or a folder.
    columns, ignore
        As in `read_items`.

    Returns
    -------
    tuple of (items, titles, table)
        All of the file's length and in its order; columns read from CSV are texts.

    Raises
    ------
    LogError
        Where the file cannot be read, lacks item_id or title, or one of them is empty or too long.
    """
    items: list[Item] = []
    titles: list[str] = []
    tables: list[pa.Table] = []
    known: dict[tuple[object, ...], Item] = {}
    with open_source(source) as opened:
        required = ("item_id", "title")
        rows = Rows.of(opened, _without_counts(opened, columns), None, required, required, ignore)
        check_texts(rows, *required)
        names = [c for c in rows.context_columns if opened.columns[c] != "BLOB"]
        values = {f"c{i}": context_sql(rows, column) for i, column in enumerate(names)}
        table = rows.select(*required, extra={**values, **PLACE})
        for file in opened.files:
            outputs = ", ".join((*required, *values))
            found = opened.query(f"SELECT {outputs} FROM {table} ORDER BY row", {**rows.parameters, "files": [file]})
            for item_id, title, *row in found.fetchall():
                key = (item_id, *row)
                if key not in known:
                    known[key] = Item(item_id, flatten_fields(dict(zip(names, row, strict=True))))
                items.append(known[key])
                titles.append(title)
            tables.append(_original(opened, file))
    return items, titles, pa.concat_tables(tables, promote_options="permissive")


def _without_counts(opened: Source, columns: ColumnMapping | None) -> ColumnMapping:
    """The mapping of the logs for a file that may lack their counts: what it lacks is left out of the mapping."""
    given = columns.columns if columns else {}
    kept = {name: source for name, source in given.items() if name in ("item_id", "title") or source in opened.columns}
    for name in ("item_id", "title"):
        lacks = name in kept and any(part not in opened.columns for part in kept[name].split("+"))
        if lacks and kept[name] not in opened.columns and (name in opened.columns or name == "title"):
            del kept[name]
    return ColumnMapping(kept)


def _frequent_titles(rows: Rows) -> dict[str, str]:
    table = rows.select("item_id", "title", where="trim(title) <> ''")
    counted = f"SELECT item_id, title, count(*) AS n FROM {table} GROUP BY ALL"
    first = "row_number() OVER (PARTITION BY item_id ORDER BY n DESC, title) = 1"
    found = rows.source.query(f"SELECT item_id, title FROM ({counted}) QUALIFY {first}", rows.parameters)
    return dict(found.fetchall())


def _original(opened: Source, file: str) -> pa.Table:
    try:
        return pq.read_table(file, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise LogError(f"Cannot read {opened.file_name(file)}: {str(error).splitlines()[0]}.") from error
