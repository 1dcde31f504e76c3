"""Opens logs in DuckDB: a file, a glob or a folder of parquet, CSV or JSON lines, within a memory cap.

CSV is parsed once, every value as text, into parquet in the temporary folder, so that later passes are cheap and
a wrong value can be named with its row. A delimiter is taken from the header line, never guessed from the rows. JSON
lines go the same way, with the types their values have.
"""

import contextlib
import csv
import glob
import gzip
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from ..errors import LogError

DEFAULT_MEMORY_LIMIT = "1GB"
"""DuckDB's share; with Python, its libraries and the arms themselves a process stays within 2 GiB."""

FILE = "__rlopt_file"
ROW = "file_row_number"
_ENDINGS = {
    "CSV": (".csv", ".tsv", ".csv.gz", ".tsv.gz"),
    "JSON lines": (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"),
}
_PARQUET = "parquet"
_MAX_OBJECT_BYTES = 16 << 20  # of a line of JSON
_DELIMITERS = ",\t;|"
_MAX_LINE_BYTES = 2 << 20
_SAMPLE_BYTES = 1 << 16


@dataclass(frozen=True)
class Source:
    """Opened logs.

    Parameters
    ----------
    connection
        DuckDB connection; temporary tables live and spill in its temporary folder.
    where
        The source as the user named it, for messages.
    columns
        Column name -> DuckDB type, in the file's order.
    files
        Parquet file to read -> the user's file it stands for.
    partitioned
        Whether the folders of the files are named ``column=value`` and count as columns (parquet only).
    """

    connection: duckdb.DuckDBPyConnection
    where: str
    columns: Mapping[str, str]
    files: Mapping[str, Path]
    partitioned: bool

    @property
    def relation(self) -> str:
        """SQL of all rows with `FILE` and `ROW` columns; takes the parameter ``$files``."""
        options = f"{_options(self.partitioned)}, filename='{FILE}', file_row_number=true"
        return f"read_parquet($files, {options})"

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters that `relation` takes."""
        return {"files": list(self.files)}

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyConnection:
        """Run one statement; DuckDB's errors come out as `LogError`."""
        with clear_errors(self.where):
            return self.connection.execute(sql, dict(parameters) if parameters else None)

    def table(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Result of one SELECT as an Arrow table."""
        with clear_errors(self.where):
            return self.connection.sql(sql, params=dict(parameters) if parameters else None).to_arrow_table()

    def file_name(self, path: str) -> str:
        """Name of the user's file that the parquet file ``path`` stands for."""
        return str(self.files.get(path, path))


def quote(identifier: str) -> str:
    """``identifier`` as a quoted SQL name."""
    return '"' + identifier.replace('"', '""') + '"'


@contextlib.contextmanager
def open_source(
    source: str | Path,
    *,
    memory_limit: str = DEFAULT_MEMORY_LIMIT,
    threads: int | None = None,
    tmp_dir: str | Path | None = None,
) -> Iterator[Source]:
    """Open ``source`` for reading; temporary files are removed at the end.

    Raises
    ------
    LogError
        Where nothing is found, a file is empty, corrupt, of an unknown kind or not UTF-8.
    """
    files = find_files(source)
    where = str(source)
    try:
        folder = tempfile.mkdtemp(prefix="rlopt-logs-", dir=tmp_dir)
    except OSError as error:
        raise LogError(
            f"Cannot create a temporary folder in {tmp_dir or tempfile.gettempdir()}: {error.strerror}. "
            "Name a writable one with --tmp-dir."
        ) from error
    try:
        with clear_errors(where), duckdb.connect(":memory:", config=_settings(memory_limit, threads, folder)) as con:
            con.execute("SET TimeZone = 'UTC'")
            con.execute("SET enable_progress_bar = false")
            partitioned = _kind(files[0]) == _PARQUET and _partitioned(Path(source), files)
            parquet = {_stage(con, path, Path(folder), n): path for n, path in enumerate(files)}
            yield Source(con, where, _columns(con, parquet, partitioned), parquet, partitioned)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find_files(source: str | Path) -> list[Path]:
    """Log files that ``source`` (a file, a glob or a folder) names, sorted; hidden files are left out."""
    path = Path(source)
    try:
        if path.is_dir():
            files = [f for f in sorted(path.rglob("*")) if f.is_file() and not _hidden(f.relative_to(path))]
            files = [f for f in files if _kind(f) != _PARQUET or f.suffix.lower() == ".parquet"]
            way_out = "no .parquet, .csv or .jsonl file in this folder"
        elif path.is_file():
            files, way_out = [path], ""
        elif glob.has_magic(str(source)):
            files = [Path(f) for f in _matches(str(source)) if Path(f).is_file()]
            way_out = "no file matches this pattern"
        else:
            files, way_out = [], "no such file or folder"
    except OSError as error:
        raise LogError(f"Cannot read {source}: {error.strerror}.") from error
    if not files:
        raise LogError(
            f"Cannot read {source}: {way_out}. Logs are a file, a glob or a folder of parquet, CSV or JSON lines."
        )
    for file in files:
        _check_file(file)
    kinds = sorted({_kind(file) for file in files})
    if len(kinds) > 1:
        raise LogError(f"{source} holds {' and '.join(kinds)} files. Name one kind, for example {path / '*.parquet'}")
    return files


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        raise LogError(f"Cannot read {path}: {error.strerror}.") from error
    if not head:
        raise LogError(f"{path} is empty (0 bytes). Remove it or write it again.")
    if _kind(path) == _PARQUET and head != b"PAR1":
        other = "neither parquet, CSV nor JSON lines"
        what = "damaged or no parquet file" if path.suffix.lower() == ".parquet" else other
        raise LogError(
            f"Cannot read {path}: it is {what}. Logs are .parquet, .csv, .tsv or .jsonl files (texts also as .gz)."
        )


def _matches(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  (Path.glob takes no absolute patterns)


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _kind(path: Path) -> str:
    """What the file is by its name; everything else has to be parquet."""
    return next((kind for kind, endings in _ENDINGS.items() if path.name.lower().endswith(endings)), _PARQUET)


def _settings(memory_limit: str, threads: int | None, folder: str) -> dict[str, Any]:
    return {
        "memory_limit": memory_limit,
        "threads": threads or len(os.sched_getaffinity(0)),
        "temp_directory": folder,
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        # Parquet statistics leave NaN out, and DuckDB's optimiser takes them for all values: rows with NaN would pass
        # every check (https://github.com/duckdb/duckdb/issues/25521).
        "disabled_optimizers": "statistics_propagation,filter_pushdown",
    }


def _options(partitioned: bool) -> str:
    return f"union_by_name=true, hive_partitioning={str(partitioned).lower()}"


def _partitioned(folder: Path, files: list[Path]) -> bool:
    """Whether all files lie in folders named ``column=value`` below the folder, with the same columns."""
    if not folder.is_dir():
        return False
    keys = {tuple(part.split("=")[0] for part in file.relative_to(folder).parts[:-1] if "=" in part) for file in files}
    return len(keys) == 1 and keys != {()}


def _columns(con: duckdb.DuckDBPyConnection, files: Mapping[str, Path], partitioned: bool) -> dict[str, str]:
    relation = f"read_parquet($files, {_options(partitioned)})"
    rows = con.execute(f"DESCRIBE SELECT * FROM {relation}", {"files": list(files)})
    return {name: kind for name, kind, *_ in rows.fetchall()}


def _stage(con: duckdb.DuckDBPyConnection, path: Path, folder: Path, number: int) -> str:
    """The parquet file to read for ``path``: itself, or a copy of a text file."""
    if _kind(path) == _PARQUET:
        with clear_errors(str(path)):
            con.execute(f"SELECT * FROM read_parquet($file, {_options(False)}) LIMIT 0", {"file": _literal(path)})
        return _literal(path)
    parameters: dict[str, Any]
    if _kind(path) == "CSV":
        names, delimiter = _header(path)
        reader = (
            "read_csv($file, columns=$columns, delim=$delimiter, header=true, auto_detect=false, "
            "hive_partitioning=false, quote='\"', escape='\"', nullstr='')"
        )
        parameters = {"columns": dict.fromkeys(names, "VARCHAR"), "delimiter": delimiter}
    else:
        reader = (
            "read_json($file, format='newline_delimited', sample_size=-1, maximum_object_size=$most, "
            "hive_partitioning=false)"
        )
        parameters = {"most": _MAX_OBJECT_BYTES}
    target = folder / f"{number:06d}.parquet"
    # The order of rows is kept here so that a wrong value can be named with its row.
    con.execute("SET preserve_insertion_order = true")
    with clear_errors(str(path)):
        con.execute(
            f"COPY (SELECT * FROM {reader}) TO '{target}' (FORMAT parquet)", {"file": _literal(path), **parameters}
        )
    con.execute("SET preserve_insertion_order = false")
    return str(target)


def _literal(path: Path) -> str:
    """``path`` with the characters that DuckDB would expand as a pattern kept literal."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path))


def _header(path: Path) -> tuple[list[str], str]:
    """Column names and delimiter of a CSV file, from its first line."""
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opener(path, "rb") as stream:
            raw = stream.readline(_MAX_LINE_BYTES)
        line = raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise LogError(_not_utf8(str(path))) from error
    except (OSError, EOFError) as error:
        raise LogError(f"Cannot read {path}: {error}.") from error
    delimiter = max(_DELIMITERS, key=line.count)
    names = [name.strip() for name in next(csv.reader(io.StringIO(line), delimiter=delimiter), [])]
    if not any(names):
        raise LogError(f"{path} has no header line: its first line must name the columns.")
    names = [name or f"column{i}" for i, name in enumerate(names)]
    folded = [name.casefold() for name in names]
    double = next((name for name in names if folded.count(name.casefold()) > 1), None)
    if double is not None:
        raise LogError(f"{path} names the column '{double}' twice in its header. Rename or remove one.")
    return names, delimiter


@contextlib.contextmanager
def clear_errors(where: str) -> Iterator[None]:
    """Turn DuckDB's errors into one clear line about ``where``."""
    try:
        yield
    except duckdb.Error as error:
        text = str(error)
        first = " ".join(text.split("\n\n")[0].split("Possible")[0].split())
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
