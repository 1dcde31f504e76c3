"""Shape of a CSV file, from its first lines: where its header is, and what separates its columns."""

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .json_form import names_columns
from .trim_sql import stripped

DELIMITERS = ",\t;|"
_RECORDS = 200
_MOST_BEFORE = 50
_MOSTLY = 0.8
_NUMBER = re.compile(r"\s*[-+]?[\d.,]*\d[\d.,]*%?\s*")


@dataclass(frozen=True)
class CsvShape:
    """Names of the columns, their delimiter, and how many lines go before the header."""

    names: tuple[str, ...]
    delimiter: str
    skip: int = 0


def csv_shape(text: str, *, whole: bool) -> CsvShape:
    """The shape of a file that begins with ``text``; ``whole`` where that is all of it.

    The first record is the header. Where most records have more columns than it, the header is the first that has as
    many, if its cells read like names.
    """
    given = re.match(r"\ufeff?sep=(.)\r?\n", text)  # a spreadsheet's way to name the delimiter
    if given:
        names, _ = next(_records(text[given.end() :], given[1]), ([], 0))
        return CsvShape(_cleaned(names), given[1], 1)
    first = next(_records(text, "\x1f"), ([""], 0))[0]
    delimiter = max(DELIMITERS, key="".join(first).count)
    header = next(_records(text, delimiter), ([], 0))[0]
    usual = CsvShape(_cleaned(header), delimiter)
    found = [shape for mark in DELIMITERS if (shape := _below_other_lines(text, mark, whole=whole)) is not None]
    # A spreadsheet pads lines before the header with empty cells.
    filled = len(header) if names_columns(header) else len("\0".join(header).rstrip("\0 ").split("\0"))
    if not found or (filled > 1 and filled >= max(len(shape.names) for _, shape in found)):
        return usual
    return max(found, key=lambda pair: pair[0])[1]


def has_blanks_before_quotes(text: str, shape: CsvShape) -> bool:
    """True if blanks stand between delimiters and quotes, as in ``1, "Red, round", 3``: they are no part of cells."""
    if any(len(name) > 1 and name.startswith('"') and name.endswith('"') for name in shape.names):
        return True
    mark = re.escape(shape.delimiter)
    if shape.delimiter == "\t" or re.search(rf'(^|[\r\n]|{mark})"', text):
        return False
    return re.search(rf'{mark} +"[^"\r\n]*" *({mark}|[\r\n]|$)', text) is not None


def without_blanks_before_quotes(lines: Iterable[str], delimiter: str) -> Iterator[str]:
    """The lines with each cell quoted as CSV has it, and no blanks before it.

    Raises
    ------
    csv.Error
        If a cell is longer than Python's module takes.
    """
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    for cells in csv.reader(lines, delimiter=delimiter, skipinitialspace=True):
        writer.writerow(cells)
        yield out.getvalue()
        out.seek(0)
        out.truncate()


def _below_other_lines(text: str, delimiter: str, *, whole: bool) -> tuple[float, CsvShape] | None:
    """The header below lines that are none, and the share of records that have as many columns; None without one."""
    records = list(itertools.islice(_records(text, delimiter), _RECORDS))
    if not whole and len(records) < _RECORDS:
        records = records[:-1]
    counts = Counter(len(cells) for cells, _ in records)
    if not counts:
        return None
    width = max(counts, key=lambda n: (counts[n], n))
    whole_rows = (i for i, (cells, _) in enumerate(records) if len(cells) == width and all(map(str.strip, cells)))
    at = next(whole_rows, 0)
    below = [len(cells) for cells, _ in records[at:]]
    names = records[at][0]
    like_names = all(name.strip() and not _NUMBER.fullmatch(name) for name in names) and len(set(names)) == width
    fewer = all(len([cell for cell in cells if cell.strip()]) < width for cells, _ in records[:at])
    share = below.count(width) / len(below)
    if width < 2 or not 0 < at <= _MOST_BEFORE or len(below) < 2 or share < _MOSTLY or not like_names or not fewer:
        return None
    return share, CsvShape(_cleaned(names), delimiter, records[at - 1][1])


def _records(text: str, delimiter: str) -> Iterator[tuple[list[str], int]]:
    """Records, each with the number of its last line."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter)
    while True:
        try:
            yield next(reader), reader.line_num
        except (StopIteration, csv.Error):
            return


def _cleaned(names: "list[str] | tuple[str, ...]") -> tuple[str, ...]:
    """Names without blanks at their ends and line breaks; nameless columns are numbered."""
    cleaned = [" ".join(name.split()) if "\n" in name or "\r" in name else stripped(name) for name in names]
    return tuple(cleaned) if not any(cleaned) else tuple(name or f"column{i}" for i, name in enumerate(cleaned))
