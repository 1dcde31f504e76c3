"""The one writer of CSV tables: cells are no formulas of a spreadsheet, and Chinese Excel reads them where asked."""

import codecs
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from reward.spreadsheets import FREE, GUARD, freed, guarded


@dataclass(frozen=True)
class CsvStyle:
    """Style of CSV files.

    Parameters
    ----------
    excel
        With the mark (BOM) without which Excel takes UTF-8 for the system's own encoding.
    raw
        Cells that begin with = + - @ tab or carriage return as they are, instead of with an apostrophe before them.
    """

    excel: bool = False
    raw: bool = False


_PLAIN = CsvStyle()
_style: ContextVar[CsvStyle] = ContextVar("csv_style", default=_PLAIN)


@contextmanager
def csv_style(*, excel: bool = False, raw: bool = False) -> Iterator[None]:
    """All CSV that is written within is of this style."""
    token = _style.set(CsvStyle(excel, raw))
    try:
        yield
    finally:
        _style.reset(token)


def write_csv(pieces: Iterable[pa.Table], schema: pa.Schema, out: Path) -> None:
    """Tables of one schema, one below the other, as a CSV file; none of its columns is nested."""
    style = _style.get()
    names = schema.names if style.raw else [guarded(name) for name in schema.names]
    with out.open("wb") as file:
        if style.excel:
            file.write(codecs.BOM_UTF8)
        with pa_csv.CSVWriter(file, _renamed(schema, names)) as csv:
            for piece in pieces:
                plain = piece.replace_schema_metadata()
                csv.write_table((plain if style.raw else _texts(plain, *GUARD)).rename_columns(names))


def freed_table(table: pa.Table) -> pa.Table:
    """A table that was read from CSV, without the apostrophes that guard its cells."""
    return _texts(table, *FREE).rename_columns([freed(name) for name in table.column_names])


def _texts(table: pa.Table, pattern: str, replacement: str) -> pa.Table:
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            changed = pc.replace_substring_regex(table.column(place), pattern=pattern, replacement=replacement)
            table = table.set_column(place, field, changed)
    return table


def _renamed(schema: pa.Schema, names: list[str]) -> pa.Schema:
    return pa.schema([field.with_name(name) for field, name in zip(schema.remove_metadata(), names, strict=True)])
