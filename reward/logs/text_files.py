"""Text files become parquet in the temporary folder, so that later passes are cheap and a wrong value has its row.

Every value stays the text that it is in the file: ids keep their zeros, digits and case. Of CSV the delimiter is taken
from the header line, never guessed from the rows. Of JSON lines a nested value stays JSON, and which columns hold
numbers or nested values is told beside the file.
"""

import contextlib
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import LogError

PARQUET = "parquet"
JSON_LINES = "JSON lines"
NESTED = "JSON"
"""Kind of a column of texts that spell nested JSON."""
NUMBER = "JSON number"
"""Kind of a column of texts that spell JSON numbers: exact, but 3 and 3.0 are one number."""

Parameters = dict[str, Any]
"""Values of the places in a statement, as DuckDB takes them."""
_ENDINGS = {
    "CSV": (".csv", ".tsv", ".csv.gz", ".tsv.gz"),
    JSON_LINES: (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"),
}
_NUMBERS = ("BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT", "DOUBLE")  # that DuckDB finds in JSON
_MAX_OBJECT_BYTES = 16 << 20  # of a line of JSON
_DELIMITERS = ",\t;|"
_MAX_LINE_BYTES = 2 << 20
_SAMPLE_BYTES = 1 << 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def file_kind(path: Path) -> str:
    """What the file is by its name; everything else has to be parquet."""
    return next((kind for kind, endings in _ENDINGS.items() if path.name.lower().endswith(endings)), PARQUET)


def is_nested(kind: str) -> bool:
    """Whether a DuckDB type is a list, struct, map or union."""
    return kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION"))


def stage(con: duckdb.DuckDBPyConnection, path: Path, folder: Path, number: int) -> tuple[str, dict[str, str]]:
    """The parquet file to read for ``path`` (itself, or a copy of a text file), and the kinds of its JSON columns."""
    if file_kind(path) == PARQUET:
        with clear_errors(str(path)):
            con.execute("DESCRIBE FROM read_parquet($file, hive_partitioning=false)", {"file": _literal(path)})
        _refuse_doubles(path, _parquet_names(path))
        return _literal(path), {}
    parameters: Parameters
    kinds: dict[str, str] = {}
    columns = "*"
    if file_kind(path) == "CSV":
        names, delimiter = _header(path)
        reader = (
            "read_csv($file, columns=$columns, delim=$delimiter, header=true, auto_detect=false, "
            "hive_partitioning=false, quote='\"', escape='\"', nullstr='')"
        )
        parameters = {"columns": dict.fromkeys(names, "VARCHAR"), "delimiter": delimiter}
    else:
        kinds = _json_kinds(con, path)
        reader = f"read_json($file, {_JSON}, columns=$columns)"
        parameters = {"columns": dict.fromkeys(kinds, "VARCHAR"), "most": _MAX_OBJECT_BYTES}
        columns = "nullif(COLUMNS(*), '')"  # a text without characters is no value, as in CSV
    target = folder / f"{number:06d}.parquet"
    # The order of rows is kept here so that a wrong value can be named with its row.
    con.execute("SET preserve_insertion_order = true")
    with clear_errors(str(path)):
        con.execute(
            f"COPY (FROM {reader} SELECT {columns}) TO '{target}' (FORMAT parquet)",
            {"file": _literal(path), **parameters},
        )
    con.execute("SET preserve_insertion_order = false")
    return str(target), kinds


def joined_kinds(files: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Kind of each JSON column of several files: nested where one is, numbers where all are."""
    found: dict[str, set[str]] = {}
    for kinds in files:
        for name, kind in kinds.items():
            found.setdefault(name, set()).add(kind)
    out = {}
    for name, kinds_of in found.items():
        kinds_of.discard('"NULL"')
        out[name] = NESTED if NESTED in kinds_of else NUMBER if kinds_of == {NUMBER} else "VARCHAR"
    return out


_JSON = "format='newline_delimited', maximum_object_size=$most, hive_partitioning=false"


def _json_kinds(con: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    """Column of a file of JSON lines -> `NESTED`, `NUMBER`, VARCHAR for other values, "NULL" without any."""
    with _readable(path), _opener(path)(path, "rb") as stream:
        if stream.read(len(_BYTE_ORDER_MARK)) == _BYTE_ORDER_MARK:
            cut = "gzip -dc IN | tail -c +4 | gzip > OUT" if path.suffix.lower() == ".gz" else "tail -c +4 IN > OUT"
            raise LogError(
                f"{path} begins with a byte order mark, which JSON lines do not have. Remove it, for example: {cut}"
            )
    parameters = {"file": _literal(path), "most": _MAX_OBJECT_BYTES}
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
            _refuse_doubles(path, [key for (key,) in keys.fetchall()])
    kinds = dict.fromkeys(_NUMBERS, NUMBER) | {'"NULL"': '"NULL"'}
    return {name: NESTED if is_nested(kind) else kinds.get(kind, "VARCHAR") for name, kind in found.items()}


def _literal(path: Path) -> str:
    """``path`` with the characters that DuckDB would expand as a pattern kept literal."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path))


def _header(path: Path) -> tuple[list[str], str]:
    """Column names and delimiter of a CSV file, from its first line."""
    with _readable(path), _opener(path)(path, "rb") as stream:
        raw = stream.readline(_MAX_LINE_BYTES)
        line = raw.decode("utf-8-sig").rstrip("\r\n")
    delimiter = max(_DELIMITERS, key=line.count)
    names = [name.strip() for name in next(csv.reader(io.StringIO(line), delimiter=delimiter), [])]
    if not any(names):
        raise LogError(f"{path} has no header line: its first line must name the columns.")
    names = [name or f"column{i}" for i, name in enumerate(names)]
    _refuse_doubles(path, names)
    return names, delimiter


def _opener(path: Path) -> Any:
    return gzip.open if path.name.lower().endswith(".gz") else open


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn the errors of opening a text file into one clear line."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise LogError(_not_utf8(str(path))) from error
    except (OSError, EOFError, zlib.error) as error:
        raise LogError(f"Cannot read {path}: {error}.") from error


def _parquet_names(path: Path) -> list[str]:
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):  # DuckDB reads some files that Arrow does not
        return []


def _refuse_doubles(path: Path, names: list[str]) -> None:
    """Names that differ by case alone are one in SQL, and DuckDB would rename one of them without a word."""
    folded = [name.casefold() for name in names]
    double = next((name for name in names if folded.count(name.casefold()) > 1), None)
    if double is not None:
        raise LogError(
            f"{path} names the column '{double}' twice (upper and lower case are the same). Rename or remove one."
        )


@contextlib.contextmanager
def clear_errors(where: str) -> Iterator[None]:
    """Turn DuckDB's errors into one clear line about ``where``."""
    try:
        yield
    except duckdb.Error as error:
        text = str(error)
        first = " ".join(text.split("\n\n")[0].split("Possible")[0].split("Try setting")[0].split())
        if "utf-8" in text.lower() or "utf8" in text.lower() or "unicode" in text.lower():
            message = _not_utf8(where)
        elif isinstance(error, duckdb.OutOfMemoryException):
            message = (
                f"{where} does not fit: {first[:200]}. Give a larger memory_limit, or a --tmp-dir with room to spill."
            )
        elif isinstance(error, duckdb.ParserException) and "emory" in text:
            message = f"memory_limit must be a size such as 1GB. {first[:200]}"
        elif "No space left" in text:
            message = f"No space left in the temporary folder while reading {where}. Name another with --tmp-dir."
        else:
            message = f"Cannot read {where}: {first[:300].rstrip('. ')}."
        raise LogError(message) from error
    except RuntimeError as error:
        if str(error) == "Query interrupted":  # DuckDB's word for Ctrl-C
            raise KeyboardInterrupt from error
        raise


def _not_utf8(where: str) -> str:
    return f"{where} is not UTF-8 text. Convert it first, for example: iconv -f {_encoding(where)} -t utf-8 IN > OUT"


def _encoding(where: str) -> str:
    """What the text may be encoded in: in Chinese, bytes past ASCII come in pairs."""
    try:
        with Path(where).open("rb") as stream:
            high = [byte >= 0x80 for byte in stream.read(_SAMPLE_BYTES)]
    except OSError:
        return "latin1"
    paired = sum(a and b for a, b in pairwise(high))
    return "gb18030" if 0 < sum(high) <= 2 * paired else "latin1"
