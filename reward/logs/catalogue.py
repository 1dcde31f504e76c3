"""Reads files without counts: a catalogue of items, and titles to score."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import LogError
from ..items import MISSING, Item, flatten_fields
from .item_fields import context_sql, field_name, varying
from .keys import respelled_file
from .schema import ColumnMapping
from .source import DEFAULT_MEMORY_LIMIT, FileSource, open_source
from .sources.local import Source, local
from .text_files import PARQUET, file_kind, unescaped
from .typed_rows import PLACE, TypedRows
from .validate import check_texts

_ROWS = 2048  # read at once, and in a row group of the sorted copy


@dataclass(frozen=True)
class Catalogue:
    """A catalogue that is read in pieces, whatever its size.

    Parameters
    ----------
    n_items
        Different item ids.
    path
        Parquet copy of the rows, sorted by item in the order of first appearance.
    columns
        Column of the copy -> field name.
    missing
        Texts, in lower case, that say of a field that it has no value.
    """

    n_items: int
    path: Path
    columns: Mapping[str, str]
    missing: frozenset[str] = MISSING

    def chunks(self, size: int, start: int = 0) -> Iterator[list[Item]]:
        """Items from the ``start``-th on, ``size`` at a time; only one piece is held."""
        piece: list[Item] = []
        for number, rows in groupby(self._rows(start), key=lambda row: row["n"]):
            if number >= start:
                piece.append(self._item(list(rows)))
            if len(piece) == size:
                yield piece
                piece = []
        if piece:
            yield piece

    def item_ids(self) -> set[str]:
        """All item ids."""
        return set(pq.read_table(self.path, columns=["item_id"])["item_id"].unique().to_pylist())

    def _rows(self, start: int) -> Iterator[dict[str, Any]]:
        with pq.ParquetFile(self.path) as file:
            last = [file.metadata.row_group(i).column(0).statistics.max for i in range(file.num_row_groups)]
            wanted = [i for i, n in enumerate(last) if n >= start]
            for batch in file.iter_batches(_ROWS, row_groups=wanted):
                yield from batch.to_pylist()

    def _item(self, rows: Sequence[Mapping[str, Any]]) -> Item:
        values = {name: _most_frequent([row[column] for row in rows]) for column, name in self.columns.items()}
        titles = [row.get("title") for row in rows]
        title = _most_frequent([title for title in titles if title and title.strip()])
        return Item(rows[0]["item_id"], flatten_fields(values, self.missing), title)


@contextmanager
def open_catalogue(
    source: Source,
    columns: ColumnMapping | None = None,
    ignore: Iterable[str] = (),
    memory_limit: str = DEFAULT_MEMORY_LIMIT,
    missing: Iterable[str] = (),
) -> Iterator[Catalogue]:
    """Items of a catalogue, in its order; any file with an item_id serves, logs too.

    Of several rows with one item_id the most frequent values count (ties: the smallest); ``current_title`` is the
    most frequent title, None where the file has no titles.

    Parameters
    ----------
    source
        A parquet, CSV or JSONL file, a glob or a folder, or what else `reward.logs.sources.local` takes.
    columns
        The user's column names; mapped columns that the file lacks are ignored unless they are item_id or title.
    ignore
        Columns that are no context of the item: those that the logs' reader left out (`LogData.dropped_columns`) or
        filtered on, so that a model meets the fields it was fitted on.
    memory_limit
        Of DuckDB, which sorts the rows by item and spills to disk.
    missing
        The user's own marks of missing values.

    Raises
    ------
    LogError
        If the file cannot be read, has no item_id column, no rows, or an empty item_id.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "items.parquet"
        # DuckDB is closed, and its memory given back, before the items are used.
        with local(source) as here, open_source(here, memory_limit=memory_limit) as opened:
            mapping = _without_counts(opened, columns)
            used = ("item_id", "title")
            rows = TypedRows.of(opened, mapping, None, ("item_id",), used, ignore, missing=missing)
            n_items, names = _sort_by_item(opened, rows, path)
        yield Catalogue(n_items, path, names, rows.missing)


def _sort_by_item(opened: FileSource, rows: TypedRows, path: Path) -> tuple[int, dict[str, str]]:
    """Write the rows to ``path`` in the order of `Catalogue`; how many items there are, and column -> field name."""
    check_texts(rows, "item_id")
    rows = respelled_file(replace(rows, trim=True))
    candidates = [c for c in rows.context_columns if opened.columns[c] != "BLOB"]
    dropped = varying(rows, candidates, "1", "true").no_context
    kept = [c for c in candidates if c not in dropped]
    values = {f"c{i}": context_sql(rows, column) for i, column in enumerate(kept)}
    names = ("item_id", "title") if rows.has("title") else ("item_id",)
    first = f"SELECT item_id, min({{'file': file, 'row': row}}) AS place FROM {rows.select('item_id', extra=PLACE)}"
    opened.query(
        "CREATE TEMP TABLE places AS SELECT item_id, row_number() OVER (ORDER BY place) - 1 AS n "
        f"FROM ({first} GROUP BY item_id)",
        rows.parameters,
    )
    outputs = ", ".join(("n", *names, *values))
    table = rows.select(*names, extra={**values, **PLACE})
    opened.query(
        f"COPY (SELECT {outputs} FROM {table} JOIN places USING (item_id) ORDER BY n, file, row) "
        f"TO '{quoted(path)}' (FORMAT parquet, ROW_GROUP_SIZE {_ROWS})",
        rows.parameters,
    )
    n_items = int(opened.query("SELECT count(*) FROM places").fetchall()[0][0])
    return n_items, {c: field_name(rows, name) for c, name in zip(values, kept, strict=True)}


def read_items(
    source: Source,
    columns: ColumnMapping | None = None,
    ignore: Iterable[str] = (),
    *,
    missing: Iterable[str] = (),
) -> list[Item]:
    """All items of a catalogue at once; parameters and errors as in `open_catalogue`."""
    with open_catalogue(source, columns, ignore, missing=missing) as catalogue:
        return [item for piece in catalogue.chunks(_ROWS) for item in piece]


def quoted(path: Path) -> str:
    """``path`` for the inside of a quoted SQL text."""
    return str(path).replace("'", "''")


def _most_frequent(values: Sequence[Any]) -> Any:
    """The most frequent value that is not missing (ties: the smallest), None without one."""
    counts = Counter(value for value in values if value is not None)
    return min(counts, key=lambda value: (-counts[value], value)) if counts else None


def read_titles(
    source: Source,
    columns: ColumnMapping | None = None,
    ignore: Iterable[str] = (),
    *,
    skip_untitled: bool = False,
    missing: Iterable[str] = (),
) -> tuple[list[Item], list[str], pa.Table]:
    """Titles to score with the item each is for, row by row, and the file's own table.

    Parameters
    ----------
    source
        A parquet, CSV or JSONL file, a glob or a folder, or what else `reward.logs.sources.local` takes.
    columns, ignore, missing
        As in `open_catalogue`.
    skip_untitled
        Leave rows without a title out, of the table too, instead of refusing them.

    Returns
    -------
    tuple of (items, titles, table)
        All of one length and in the file's order, titles without blanks at their ends; the table is as the file has
        it. Columns read from CSV and JSON lines are texts.

    Raises
    ------
    LogError
        If the file cannot be read, lacks item_id or title, or one of them is empty or too long.
    """
    items: list[Item] = []
    titles: list[str] = []
    tables: list[pa.Table] = []
    known: dict[tuple[object, ...], Item] = {}
    with local(source) as here, open_source(here) as opened:
        required = ("item_id", "title")
        exclude = {"title": None} if skip_untitled else None
        mapping = _without_counts(opened, columns)
        rows = TypedRows.of(opened, mapping, exclude, required, required, ignore, missing=missing)
        check_texts(rows, *required)
        rows = respelled_file(replace(rows, trim=True))
        names = [c for c in rows.context_columns if opened.columns[c] != "BLOB"]
        fields = [field_name(rows, column) for column in names]
        values = {f"c{i}": context_sql(rows, column) for i, column in enumerate(names)}
        for file in opened.files:
            outputs = ", ".join((*required, *values))
            part = replace(rows, source=opened.only([file]))
            table = part.select(*required, extra={**values, **PLACE})
            found = opened.query(f"SELECT {outputs} FROM {table} ORDER BY row", part.parameters)
            for item_id, title, *row in found.fetchall():
                key = (item_id, *row)
                if key not in known:
                    own = flatten_fields(dict(zip(fields, row, strict=True)), rows.missing)
                    known[key] = Item(item_id, own)
                items.append(known[key])
                titles.append(title)
            original = _original(opened, file)
            tables.append(_with_titles(original, rows.sources["title"][0]) if skip_untitled else original)
    return items, titles, pa.concat_tables(tables, promote_options="permissive")


def _without_counts(opened: FileSource, columns: ColumnMapping | None) -> ColumnMapping:
    """The mapping of the logs for a file that may lack their counts: what it lacks is left out of the mapping."""
    given = columns.columns if columns else {}
    kept = {name: source for name, source in given.items() if name in ("item_id", "title") or source in opened.columns}
    for name in ("item_id", "title"):
        lacks = name in kept and any(part not in opened.columns for part in kept[name].split("+"))
        if lacks and kept[name] not in opened.columns and (name in opened.columns or name == "title"):
            del kept[name]
    return ColumnMapping(kept)


def _original(opened: FileSource, file: str) -> pa.Table:
    """The file's own table, its columns called as in the first file that has them."""
    try:
        user = opened.files[file]
        table = pq.read_table(user if file_kind(user) == PARQUET else unescaped(file), partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise LogError(f"Cannot read {opened.file_name(file)}: {str(error).splitlines()[0]}.") from error
    names = {name.casefold(): name for name in opened.columns}
    return table.rename_columns([names.get(name.casefold(), name) for name in table.column_names])


def _with_titles(table: pa.Table, title: str) -> pa.Table:
    """The rows that have a title: none where the file has no such column."""
    return table.filter(table[title].is_valid()) if title in table.column_names else table.slice(0, 0)
