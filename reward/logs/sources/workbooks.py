"""Workbooks (.xlsx, .xls, .ods): the sheets that hold one table, read by calamine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ...errors import LogError
from ..json_form import known_column, names_columns
from ..text_files import refuse_doubles
from .local import needs
from .row_batches import ROWS_AT_ONCE, write_rows

_HEAD_BYTES = 2_048
_LOOKED_AT = 50  # rows among which the header is


def write_sheets(path: Path, target: Path) -> tuple[str, ...]:
    """Write the sheets of one table to the parquet file ``target``; returns what was decided, in plain words.

    The table is that of the first sheet with columns of the schema, else of the first sheet with more than one column;
    sheets with the same columns (a sheet a month), in any order and case, hold more of its rows. Hidden sheets count
    only where no other has a table. The header is the first row with most cells among the first 50. Whole numbers stay
    whole.

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
            seen = python_calamine.SheetVisibleEnum.Visible
            hidden = {sheet.name for sheet in book.sheets_metadata if sheet.visible != seen}
            tables = [
                s for name in book.sheet_names if (s := _Sheet.of(name, book.get_sheet_by_name(name).iter_rows()))
            ]
            sheets = [sheet for sheet in tables if sheet.name not in hidden] or tables
            first = next((sheet for sheet in sheets if names_columns(sheet.names)), sheets[0] if sheets else None)
            if first is not None:
                same = [sheet for sheet in sheets if sheet.has_rows_of(first)]
                names = _joined_names(same, str(path))
                write_rows(names, _chunks(same, names), target, str(path))
                return _notes(path, [sheet.name for sheet in same], [s.name for s in tables if s not in same])
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

    def has_rows_of(self, other: "_Sheet") -> bool:
        """True if both have the same columns, but for some of one that the schema does not know."""
        own, others = set(map(_folded, self.names)), set(map(_folded, other.names))
        more = own ^ others
        return (own >= others or own <= others) and not any(map(known_column, more))

    def cells(self, names: Sequence[str]) -> Iterator[list[Any]]:
        """Rows with the cells of these columns, None where the sheet has none."""
        place = dict(zip(map(_folded, self.names), self.places, strict=True))
        places = [place.get(_folded(name), -1) for name in names]
        for row in self.rows:
            yield [row[i] if 0 <= i < len(row) else None for i in places]


def _joined_names(sheets: Sequence[_Sheet], what: str) -> list[str]:
    """Names of the columns of all sheets, each as the first sheet that has it calls it."""
    names: dict[str, str] = {}
    for sheet in sheets:
        refuse_doubles(what, sheet.names)
        for name in sheet.names:
            names.setdefault(_folded(name), name)
    return list(names.values())


def _folded(name: str) -> str:
    return name.strip().casefold()


def _chunks(sheets: Sequence[_Sheet], names: Sequence[str]) -> Iterator[list[list[Any]]]:
    kept = (cells for sheet in sheets for cells in sheet.cells(names))
    some = (row for row in kept if any(cell is not None for cell in row))
    while chunk := list(islice(some, ROWS_AT_ONCE)):
        yield chunk


def _value(cell: Any) -> Any:
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return int(cell)
    return None if isinstance(cell, str) and not cell.strip() else cell
