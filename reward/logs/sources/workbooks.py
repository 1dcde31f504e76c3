"""Workbooks (.xlsx, .xls, .ods): the first sheet that holds a table, read by calamine."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ...errors import LogError
from .local import needs
from .row_batches import ROWS_AT_ONCE, write_rows

_HEAD_BYTES = 2_048
_LOOKED_AT = 50  # rows among which the header is


def write_sheet(path: Path, target: Path) -> None:
    """Write the first sheet with more than one column to the parquet file ``target``.

    The header is the first row with most cells among the first 50. Whole numbers stay whole.

    Raises
    ------
    LogError
        Where the file cannot be read or holds no table.
    """
    try:
        import python_calamine
    except ImportError as error:
        raise needs("python-calamine", "excel", str(path)) from error
    try:
        with python_calamine.load_workbook(path) as book:
            for name in book.sheet_names:
                if _written(book.get_sheet_by_name(name).iter_rows(), path, target):
                    return
    except LogError:
        raise
    except Exception as error:  # of a parser that meets any bytes
        raise LogError(f"Cannot read {path}: {_what_it_is(path)}.") from error
    raise LogError(f"{path} has no sheet with a table: a header, and rows below it.")


def _what_it_is(path: Path) -> str:
    """Why it is no workbook: many a program writes texts and web pages under such a name."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if b"<table" in head.lower() or b"<html" in head.lower():
        return "it is a web page under the name of a workbook. Open it in a spreadsheet and save it as .xlsx or CSV"
    if head and not any(byte in head for byte in range(9)):
        return "it is a text under the name of a workbook. Let its name end in .csv"
    return "it is damaged, or no workbook. Open it in a spreadsheet and save it as .xlsx"


def _written(rows: Iterator[list[Any]], path: Path, target: Path) -> bool:
    first = [[_value(cell) for cell in row] for row in islice(rows, _LOOKED_AT)]
    filled = [sum(cell is not None for cell in row) for row in first]
    if not filled or max(filled) < 2:
        return False
    start = filled.index(max(filled))
    places = [i for i, cell in enumerate(first[start]) if cell is not None]
    names = [str(first[start][i]).strip() for i in places]
    below = chain(first[start + 1 :], ([_value(cell) for cell in row] for row in rows))
    write_rows(names, _chunks(below, places), target, str(path))
    return True


def _chunks(rows: Iterator[list[Any]], places: Sequence[int]) -> Iterator[list[list[Any]]]:
    kept = ([row[i] if i < len(row) else None for i in places] for row in rows)
    some = (row for row in kept if any(cell is not None for cell in row))
    while chunk := list(islice(some, ROWS_AT_ONCE)):
        yield chunk


def _value(cell: Any) -> Any:
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return int(cell)
    return None if isinstance(cell, str) and not cell.strip() else cell
