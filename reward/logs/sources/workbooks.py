"""Workbooks (.xlsx, .xls, .ods): the sheets that hold one table, read by calamine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ...errors import LogError
from ..json_form import names_columns
from .local import needs
from .row_batches import ROWS_AT_ONCE, write_rows

_HEAD_BYTES = 2_048
_LOOKED_AT = 50  # rows among which the header is


def write_sheets(path: Path, target: Path) -> tuple[str, ...]:
    """Write the sheets of one table to the parquet file ``target``; returns what was decided, in plain words.

    The table is that of the first sheet with columns of the schema, else of the first sheet with more than one column;
    sheets with the same columns (a sheet a month) hold more of its rows. The header is the first row with most cells
    among the first 50. Whole numbers stay whole.

    Raises
    ------
    LogError
        If the file cannot be read or holds no table.
    """
    try:
        import python_calamine
    except ImportError as error:
        raise needs("python-calamine", "excel", str(path)) from error
    try:
        with python_calamine.load_workbook(path) as book:
            sheets = [
                s for name in book.sheet_names if (s := _Sheet.of(name, book.get_sheet_by_name(name).iter_rows()))
            ]
            first = next((sheet for sheet in sheets if names_columns(sheet.names)), sheets[0] if sheets else None)
            if first is not None:
                same = [sheet for sheet in sheets if sheet.names == first.names]
                write_rows(first.names, _chunks(same), target, str(path))
                return _notes(path, [sheet.name for sheet in same], [s.name for s in sheets if s not in same])
    except LogError:
        raise
    except Exception as error:  # of a parser that meets any bytes
        raise LogError(f"Cannot read {path}: {_what_it_is(path)}.") from error
    raise LogError(f"{path} has no sheet with a table: a header, and rows below it.")


def _notes(path: Path, read: Sequence[str], left: Sequence[str]) -> tuple[str, ...]:
    if len(read) == 1 and not left:
        return ()
    what = f"sheet {read[0]!r:.60} is read"
    if len(read) > 1:
        what = f"sheets {', '.join(f'{name!r:.60}' for name in read)} have the same columns and are read as one table"
    return (f"{path}: {what}{', not ' if left else ''}{', '.join(f'{name!r:.60}' for name in left)}.",)


def _what_it_is(path: Path) -> str:
    """Reason why it is no workbook: many programs write texts and web pages under such a name."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if b"<table" in head.lower() or b"<html" in head.lower():
        return "it is a web page under the name of a workbook. Open it in a spreadsheet and save it as .xlsx or CSV"
    if head and not any(byte in head for byte in range(9)):
        return "it is a text under the name of a workbook. Let its name end in .csv"
    return "it is damaged, or no workbook. Open it in a spreadsheet and save it as .xlsx"


@dataclass(frozen=True, eq=False)
class _Sheet:
    """A sheet with a table: its name, the names of the columns and their places, and the rows below."""

    name: str
    names: list[str]
    places: list[int]
    rows: Iterator[list[Any]]

    @classmethod
    def of(cls, name: str, rows: Iterator[list[Any]]) -> "_Sheet | None":
        """The table of these rows; None where they have none."""
        first = [[_value(cell) for cell in row] for row in islice(rows, _LOOKED_AT)]
        filled = [sum(cell is not None for cell in row) for row in first]
        if not filled or max(filled) < 2:
            return None
        start = filled.index(max(filled))
        places = [i for i, cell in enumerate(first[start]) if cell is not None]
        names = [str(first[start][i]).strip() for i in places]
        return cls(name, names, places, chain(first[start + 1 :], ([_value(cell) for cell in row] for row in rows)))


def _chunks(sheets: Sequence[_Sheet]) -> Iterator[list[list[Any]]]:
    kept = ([row[i] if i < len(row) else None for i in sheet.places] for sheet in sheets for row in sheet.rows)
    some = (row for row in kept if any(cell is not None for cell in row))
    while chunk := list(islice(some, ROWS_AT_ONCE)):
        yield chunk


def _value(cell: Any) -> Any:
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return int(cell)
    return None if isinstance(cell, str) and not cell.strip() else cell
