"""Text files become parquet in the temporary folder, so that later passes are cheap and a wrong value has its row.

Every value stays the text that it is in the file: ids keep their zeros, digits and case. Of CSV the delimiter is taken
from the header line, never guessed from the rows. Of JSON lines a nested value stays JSON, and which columns hold
numbers or nested values is recorded beside the file.
"""

import codecs
import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import LogError
from ..spreadsheets import FREE, freed
from .csv_shape import CsvShape, csv_shape, has_blanks_before_quotes, without_blanks_before_quotes
from .encodings import SAMPLE_BYTES, detected_encoding, marked_encoding, opener, without_lines, written_as_utf8
from .engine_errors import NotUtf8Error, clear_errors, readable
from .json_form import LINES, json_form, names_columns, unwrapped

PARQUET = "parquet"
JSON_LINES = "JSON lines"
NULL = '"NULL"'
"""Kind of a column without a value, or of one that may be anything."""
NESTED = "JSON"
"""Kind of a column of texts that spell nested JSON."""
NUMBER = "JSON number"
"""Kind of a column of texts that spell JSON numbers: exact, but 3 and 3.0 are one number."""
WRITTEN_NUMBER = "written number"
"""Kind of a CSV file's column of texts that are numbers as programs write them: 3, 3.0 and 2.5, but no 007 or 2.50."""

Parameters = dict[str, Any]
"""Values of the places in a statement, as DuckDB takes them."""
_ENDINGS = {
    "CSV": tuple(f".{kind}{packed}" for kind in ("csv", "tsv", "txt") for packed in ("", ".gz")),
    JSON_LINES: tuple(f".{kind}{packed}" for kind in ("jsonl", "ndjson", "json") for packed in ("", ".gz")),
}
_NUMBERS = ("BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT", "DOUBLE")  # types that DuckDB infers in JSON
_SEVERAL_ROWS = 2_048
# Whether a text is a number as programs write it, so that nothing is lost by taking it for one.
_FRACTION = "{x} IS NULL OR coalesce({x} = TRY_CAST(TRY_CAST({x} AS DOUBLE) AS VARCHAR), false)"
_NUMBER = f"{_FRACTION} OR coalesce({{x}} = TRY_CAST(TRY_CAST({{x}} AS BIGINT) AS VARCHAR), false)"
_MAX_OBJECT_BYTES = 16 << 20  # of a line of JSON
_MAX_LINE_BYTES = 2 << 20


def file_kind(path: Path) -> str:
    """Kind of the file by its name; everything else has to be parquet."""
    return next((kind for kind, endings in _ENDINGS.items() if path.name.lower().endswith(endings)), PARQUET)


def is_nested(kind: str) -> bool:
    """True if a DuckDB type is a list, struct, map or union."""
    return kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION"))


@dataclass(frozen=True)
class Staged:
    """A file ready to be read: the parquet file, the kinds of its columns, and what was decided on the way."""

    file: str
    kinds: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def stage(con: duckdb.DuckDBPyConnection, path: Path, folder: Path, number: int) -> Staged:
    """The parquet file to read for ``path``: itself, or a copy of a text file.

    Raises
    ------
    LogError
        If the file cannot be read, or a quote swallows rows.
    """
    if file_kind(path) == PARQUET:
        with clear_errors(str(path)):
            con.execute("DESCRIBE FROM read_parquet($file, hive_partitioning=false)", {"file": _literal(path)})
        refuse_doubles(path, _parquet_names(path))
        return Staged(_literal(path))
    target = folder / f"{number:06d}.parquet"
    utf8 = folder / f"{number:06d}{'.csv' if file_kind(path) == 'CSV' else '.jsonl'}"
    # The order of rows is kept here so that a wrong value can be named with its row.
    con.execute("SET preserve_insertion_order = true")
    try:
        with readable(path):
            encoding = _marked(path)
            try:
                staged = _staged(con, path, written_as_utf8(path, encoding, utf8) if encoding else path, target)
            except NotUtf8Error:
                encoding = detected_encoding(path)
                staged = _staged(con, path, written_as_utf8(path, encoding, utf8), target)
            if encoding is not None and not encoding.startswith("utf"):
                staged = _read_as(staged, path, encoding)
            return replace(staged, file=_literal(_placed(target, path)))
    finally:
        con.execute("SET preserve_insertion_order = false")
        utf8.unlink(missing_ok=True)


def _placed(target: Path, path: Path) -> Path:
    """Move ``target`` below folders named ``column=value`` as those of ``path`` are, which may count as columns."""
    folder = target.parent.joinpath(*(part for part in path.parent.parts if "=" in part))
    folder.mkdir(parents=True, exist_ok=True)
    return target.rename(folder / target.name)


def _read_as(staged: Staged, path: Path, encoding: str) -> Staged:
    return replace(staged, notes=(*staged.notes, f"{path} is read as {encoding}: it is not UTF-8 text."))


def _marked(path: Path) -> str | None:
    """The encoding to convert from, as far as the first bytes tell; CSV may have UTF-8's mark."""
    with opener(path)(path, "rb") as stream:
        encoding = marked_encoding(stream.read(SAMPLE_BYTES))
    return None if encoding == "utf-8-sig" and file_kind(path) == "CSV" else encoding


def _staged(con: duckdb.DuckDBPyConnection, path: Path, text: Path, target: Path) -> Staged:
    """The parquet file ``target`` of the UTF-8 file ``text``, which stands for ``path``."""
    if file_kind(path) == "CSV":
        return _staged_csv(con, path, text, target)
    rows = target.with_suffix(".rows")
    try:
        kinds = _staged_json(con, path, text, json_form(text), target)
        deeper = not names_columns(name for name, kind in kinds.items() if kind != NESTED) and unwrapped(text, rows)
    except NotUtf8Error:
        raise
    except LogError:
        deeper = unwrapped(text, rows)
        if not deeper:
            raise
    return Staged(str(target), _staged_json(con, path, rows, LINES, target) if deeper else kinds)


def _staged_json(con: duckdb.DuckDBPyConnection, path: Path, text: Path, form: str, target: Path) -> dict[str, str]:
    """Write ``target``, and return the kinds of its columns."""
    kinds = _json_kinds(con, path, text, form)
    reader = f"read_json($file, {_JSON}, columns=$columns)"
    parameters = {"columns": dict.fromkeys(kinds, "VARCHAR"), "most": _MAX_OBJECT_BYTES, "form": form}
    # A text without characters is no value, as in CSV.
    _copy(con, path, f"{reader} SELECT nullif(COLUMNS(*), '')", target, {"file": _literal(text), **parameters})
    return kinds


def _staged_csv(con: duckdb.DuckDBPyConnection, path: Path, text: Path, target: Path, *, again: bool = False) -> Staged:
    with opener(text)(text, "rb") as stream:
        raw = stream.read(_MAX_LINE_BYTES)
    try:
        sample = codecs.getincrementaldecoder("utf-8")().decode(raw, final=False)
    except UnicodeDecodeError as error:
        raise NotUtf8Error(f"{path} is not UTF-8 text. Export it again as UTF-8.") from error
    shape = csv_shape(sample, whole=len(raw) < _MAX_LINE_BYTES)
    if not again and has_blanks_before_quotes(sample, shape):
        return _staged_csv(con, path, _requoted(path, text, shape, target.with_suffix(".cells")), target, again=True)
    shape = replace(shape, names=tuple(map(freed, shape.names)))
    if not any(shape.names):
        raise LogError(f"{path} has no header line: its first line must name the columns.")
    refuse_doubles(path, list(shape.names))
    if shape.skip:  # the engine's own way to skip lines loses all rows where a quote is among them
        text = without_lines(text, shape.skip, target.with_suffix(".below"))
    parameters = {
        "file": _literal(text),
        "columns": dict.fromkeys(shape.names, "VARCHAR"),
        "delimiter": shape.delimiter,
    }
    if shape.delimiter != "\t" or not _literal_quotes(con, path, shape, target, parameters):
        try:
            _copy(con, path, _csv('"', shape), target, parameters)
        except LogError as error:
            if "line ends" not in str(error):
                raise
            same_ends = written_as_utf8(text, "utf-8", target.with_suffix(".ends"))
            _copy(con, path, _csv('"', shape), target, {**parameters, "file": _literal(same_ends)})
        _refuse_swallowed_rows(con, path, shape, target)
    lines = "line before the header is" if shape.skip == 1 else f"{shape.skip:,} lines before the header are"
    before = f"{path}: the {lines} left out; it is line {shape.skip + 1:,}."
    return Staged(str(target), _csv_kinds(con, path, shape, target), notes=(before,) if shape.skip else ())


def _requoted(path: Path, text: Path, shape: CsvShape, target: Path) -> Path:
    """Write ``target`` without the blanks that stand before quotes in the UTF-8 file ``text``."""
    try:
        with (
            opener(text)(text, "rt", encoding="utf-8-sig", newline="") as source,
            target.open("w", encoding="utf-8", newline="") as out,
        ):
            out.writelines(without_blanks_before_quotes(source, shape.delimiter))
    except UnicodeDecodeError as error:
        raise NotUtf8Error(f"{path} is not UTF-8 text. Export it again as UTF-8.") from error
    except csv.Error as error:
        raise LogError(f"Cannot read {path}: {error}. Write it without blanks before quotes.") from error
    return target


def _csv(quote: str, shape: CsvShape) -> str:
    """SQL of the rows that have a value: spreadsheets write some of delimiters alone."""
    return _CSV.format(quote=quote, some=f"coalesce({', '.join(map(_quoted, shape.names))}) IS NOT NULL")


def _csv_kinds(con: duckdb.DuckDBPyConnection, path: Path, shape: CsvShape, target: Path) -> dict[str, str]:
    """Column of a CSV file -> `WRITTEN_NUMBER`, VARCHAR for texts, `NULL` where being numbers makes no difference.

    To see whether a text is a number costs more than to read it: that is asked of a few rows, and of all rows only
    where some number would be written another way elsewhere.
    """

    def holds(condition: str, columns: Sequence[str], rows: str = "") -> list[str]:
        told = ", ".join(condition.format(x=_quoted(name)) for name in columns)
        with clear_errors(str(path)):
            found = (
                con.execute(f"SELECT {told} FROM (FROM read_parquet('{target}'){rows})").fetchall() if told else [()]
            )
        return [name for name, true in zip(columns, found[0], strict=True) if true]

    likely = holds(f"bool_and({_NUMBER})", shape.names, f" LIMIT {_SEVERAL_ROWS}")
    unlike = holds(
        "coalesce(bool_or(ends_with({x}, '.0') OR (strlen({x}) > 16 AND contains({x}, '.'))), false)", likely
    )
    numbers = holds(f"bool_and({_FRACTION})", unlike)
    kinds = dict.fromkeys(shape.names, "VARCHAR") | dict.fromkeys(set(likely) - set(unlike), NULL)
    return kinds | dict.fromkeys(numbers, WRITTEN_NUMBER)


def _copy(con: duckdb.DuckDBPyConnection, path: Path, query: str, target: Path, parameters: Parameters) -> None:
    with clear_errors(str(path)):
        con.execute(f"COPY (FROM {query}) TO '{target}' (FORMAT parquet)", parameters)


def _literal_quotes(
    con: duckdb.DuckDBPyConnection, path: Path, shape: CsvShape, target: Path, parameters: Parameters
) -> bool:
    """Write ``target`` with quotes as letters of a tab-separated file; False where they enclose cells.

    They do where rows are whole only so, or where all quotes inside of quoted cells are doubled and some are, or where
    just the cells with a comma are quoted, as spreadsheets write them.
    """
    try:
        _copy(con, path, _csv("", shape), target, parameters)
    except NotUtf8Error:
        raise
    except LogError:
        return False
    cells = f"SELECT unnest([{', '.join(_quoted(name) for name in shape.names)}]) AS x FROM read_parquet('{target}')"
    quoted = "length(x) > 1 AND starts_with(x, '\"') AND ends_with(x, '\"')"
    inner = "replace(x[2:-2], '\"\"', '')"
    with clear_errors(str(path)):
        n, doubled, single, commas, bare_commas, bare_quotes = con.execute(
            f"SELECT count(*) FILTER ({quoted}), count(*) FILTER ({quoted} AND contains(x[2:-2], '\"\"')), "
            f"count(*) FILTER ({quoted} AND contains({inner}, '\"')), count(*) FILTER ({quoted} AND contains(x, ',')), "
            f"count(*) FILTER (NOT ({quoted}) AND contains(x, ',')), "
            f"count(*) FILTER (NOT ({quoted}) AND contains(x, '\"')) FROM ({cells})"
        ).fetchall()[0]
    named = any(name.startswith('"') and name.endswith('"') for name in _first_line(parameters, shape))
    enclosing = doubled or (commas == n and not bare_commas)
    return not (named or (n and not single and enclosing and not bare_quotes))


def _first_line(parameters: Parameters, shape: CsvShape) -> list[str]:
    """Cells of the header as they stand, with their quotes."""
    path = unescaped(parameters["file"])
    with opener(path)(path, "rb") as stream:
        line = stream.readline(_MAX_LINE_BYTES).decode("utf-8-sig", errors="replace")
    return [cell.strip() for cell in line.split(shape.delimiter)]


def _refuse_swallowed_rows(con: duckdb.DuckDBPyConnection, path: Path, shape: CsvShape, target: Path) -> None:
    """Stop if a cell holds a line break and as many delimiters as a row: a quote that was not closed took rows in.

    Raises
    ------
    LogError
        Naming the row.
    """
    if len(shape.names) < 2:
        return
    wrong = " OR ".join(
        f"CASE WHEN contains({x}, chr(10)) OR contains({x}, chr(13)) "
        f"THEN len({x}) - len(replace({x}, '{shape.delimiter}', '')) >= {len(shape.names) - 1} ELSE false END"
        for x in map(_quoted, shape.names)
    )
    with clear_errors(str(path)):
        found = con.execute(
            f"SELECT min(file_row_number) FROM read_parquet('{target}', file_row_number=true) WHERE {wrong}"
        ).fetchall()[0][0]
    if found is not None:
        raise LogError(
            f"{path}: a quote opens in row {found + 1:,} and closes rows later, so that rows are taken for one cell. "
            "Double the quotes inside of cells, or remove the one that is not closed."
        )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def joined_kinds(files: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Kind of each column of several text files: nested where one is, numbers where all are.

    Names that differ by case alone are one column, called as in the first file that has it.
    """
    found: dict[str, set[str]] = {}
    names: dict[str, str] = {}
    for kinds in files:
        for name, kind in kinds.items():
            found.setdefault(names.setdefault(name.casefold(), name), set()).add(kind)
    out = {}
    for name, kinds_of in found.items():
        kinds_of.discard(NULL)
        alike = kinds_of in ({NUMBER}, {WRITTEN_NUMBER})
        out[name] = NESTED if NESTED in kinds_of else kinds_of.pop() if alike else "VARCHAR"
    return out


_FREE, _FREED = (part.replace("'", "''") for part in FREE)
_FREE_CELL = f"regexp_replace(COLUMNS(*), '{_FREE}', '{_FREED}')"
# ="0012" is how programs keep spreadsheets from taking zeros off.
_BARE_CELL = """regexp_replace(COLUMNS(*), '^="([^"]*)"$', '\\1')"""
_CELL = (
    f"CASE WHEN starts_with(COLUMNS(*), chr(39)) THEN {_FREE_CELL} "
    f"WHEN starts_with(COLUMNS(*), '=') THEN {_BARE_CELL} ELSE COLUMNS(*) END"
)
_CSV = (
    "read_csv($file, columns=$columns, delim=$delimiter, header=true, auto_detect=false, "
    "hive_partitioning=false, quote='{quote}', escape='{quote}', nullstr='') SELECT " + _CELL + " WHERE {some}"
)
_JSON = "format=$form, maximum_object_size=$most, hive_partitioning=false"


def _json_kinds(con: duckdb.DuckDBPyConnection, path: Path, text: Path, form: str) -> dict[str, str]:
    """Column of a file of JSON -> `NESTED`, `NUMBER`, VARCHAR for other values, "NULL" without any."""
    parameters = {"file": _literal(text), "most": _MAX_OBJECT_BYTES, "form": form}
    with clear_errors(str(path)):
        # Errors are ignored here only: what is read afterwards with these columns must be sound. Deeper down, keys that
        # differ by case alone would be one.
        reader = f"read_json($file, {_JSON}, sample_size=-1, maximum_depth=2, ignore_errors=true)"
        found = {name: kind for name, kind, *_ in con.execute(f"DESCRIBE FROM {reader}", parameters).fetchall()}
        folded = {name.casefold() for name in found}
        # DuckDB calls the second of two keys that differ by case alone KEY_1.
        if any((key := re.fullmatch(r"(.+)_\d+", name)) and key[1].casefold() in folded for name in found):
            keys = con.execute(
                f"FROM read_json_objects($file, {_JSON}) SELECT DISTINCT unnest(json_keys(json)) AS k ORDER BY k",
                parameters,
            )
            refuse_doubles(path, [key for (key,) in keys.fetchall()])
    kinds = dict.fromkeys(_NUMBERS, NUMBER) | {NULL: NULL}
    return {name: NESTED if is_nested(kind) else kinds.get(kind, "VARCHAR") for name, kind in found.items()}


def _literal(path: Path) -> str:
    """``path`` with the characters that DuckDB would expand as a pattern kept literal."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path))


def unescaped(file: str) -> Path:
    """The path that a file has for DuckDB, without what keeps its characters literal."""
    return Path(re.sub(r"\[([*?[])\]", r"\1", file))


def _parquet_names(path: Path) -> list[str]:
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):  # DuckDB reads some files that Arrow does not
        return []


def refuse_doubles(path: Path | str, names: list[str]) -> None:
    """Names that differ by case alone are one in SQL, and DuckDB would rename one of them without a word."""
    folded = [name.casefold() for name in names]
    double = next((name for name in names if folded.count(name.casefold()) > 1), None)
    if double is not None:
        raise LogError(
            f"{path} names the column '{double}' twice (upper and lower case are the same). Rename or remove one."
        )
