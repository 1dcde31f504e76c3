"""Opens logs in DuckDB: a file, a glob or a folder of parquet, CSV or JSON lines, within a memory cap.

Text files are parsed once into parquet in the temporary folder (`reward.logs.text_files`).
"""

import contextlib
import glob
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from joblib import cpu_count

from ..errors import LogError
from .engine_errors import clear_errors
from .sources.local import LocalCopy, LocalSource
from .staged_once import staged
from .temporary import temporary_folder
from .text_files import JSON_LINES, NESTED, NUMBER, PARQUET, WRITTEN_NUMBER, Parameters, file_kind, joined_kinds
from .there import KINDS

if TYPE_CHECKING:
    from .cluster import LogCluster

DEFAULT_MEMORY_LIMIT = "1GB"
"""DuckDB's share; with Python, its libraries and the arms themselves a process stays within 2 GiB."""

_LAKE_TABLES = {"Delta": "_delta_log/*", "Iceberg": "metadata/*.metadata.json", "Hudi": ".hoodie/*"}
_GZIP = b"\x1f\x8b"
_PACKED = (".zip", ".7z", ".bz2", ".xz", ".zst", ".rar")
_UNPACK = "Unpack it first"
_NO_TEXTS = {
    b"PAR1": ("a parquet file", "Let its name end in .parquet"),
    _GZIP: ("packed by gzip", "Let its name end in .gz"),
    b"PK\x03\x04": ("a workbook or a zip file", "Let its name end in .xlsx, or unpack it first"),
    b"\xd0\xcf\x11\xe0": ("a workbook", "Let its name end in .xls"),
    b"BZh": ("packed by bzip2", _UNPACK),
    b"\xfd7zX": ("packed by xz", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("packed by zstd", _UNPACK),
    b"%PDF": ("a PDF file", "Export the table that it shows"),
    b"SQLi": ("an SQLite database", "Read it with sqlite:///FILE --query SQL"),
}
"""First bytes of files that have the name of a text -> what they are, and the way out."""
FILE = "__rlopt_file"
ROW = "file_row_number"


@dataclass(frozen=True)
class FileSource:
    """Opened logs.

    Parameters
    ----------
    connection
        DuckDB connection; temporary tables live and spill in its temporary folder.
    where
        The source as the user named it, for messages.
    columns
        Column name -> DuckDB type, in the file's order; of JSON lines also `NESTED` and `NUMBER` of
        `reward.logs.text_files`.
    files
        Parquet file to read -> the user's file it stands for.
    partitioned
        True if the folders of the files are named ``column=value`` and count as columns.
    folder
        Temporary folder, removed at the end.
    notes
        Decisions made while reading the files, in plain words.
    numbers
        Columns of CSV, all of them VARCHAR, that hold nothing but numbers as programs write them.
    cluster
        Cluster that adds up the files' rows; None: this process.
    part
        True if these are some of the source's files, which may lack columns that others have.
    joined
        Columns that rows get from elsewhere (`reward.logs.plans`), none of the files'.
    """

    connection: duckdb.DuckDBPyConnection
    where: str
    columns: Mapping[str, str]
    files: Mapping[str, Path]
    partitioned: bool
    folder: Path
    notes: tuple[str, ...] = ()
    numbers: frozenset[str] = frozenset()
    cluster: "LogCluster | None" = None
    part: bool = False
    joined: frozenset[str] = frozenset()

    @property
    def relation(self) -> str:
        """SQL of all rows with `FILE` and `ROW` columns; takes the parameter ``$files``."""
        options = f"{_options(self.partitioned)}, filename='{FILE}', file_row_number=true"
        rows = f"read_parquet($files, {options})"
        if not self.part:
            return rows
        kinds = {name: _stored(kind) for name, kind in self.columns.items() if name not in self.joined}
        typed = (f"CAST(NULL AS {kind}) AS {quote(name)}" for name, kind in kinds.items())
        return f"(FROM {rows} UNION ALL BY NAME SELECT {', '.join(typed)} WHERE false)"

    def only(self, files: Iterable[str]) -> "FileSource":
        """Some of the files, with the columns of all."""
        return replace(self, files={file: self.files[file] for file in files}, part=True)

    @property
    def parameters(self) -> Parameters:
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


def _stored(kind: str) -> str:
    """DuckDB's type of a column of this kind."""
    return "VARCHAR" if kind in (NESTED, NUMBER) else kind


@contextlib.contextmanager
def open_source(
    source: LocalSource,
    *,
    memory_limit: str = DEFAULT_MEMORY_LIMIT,
    threads: int | None = None,
    tmp_dir: str | Path | None = None,
) -> Iterator[FileSource]:
    """Open ``source`` for reading; temporary files are removed at the end.

    Raises
    ------
    LogError
        If nothing is found, a file is empty, corrupt, of an unknown kind or not UTF-8.
    """
    if isinstance(source, LocalCopy):
        with (
            _under_its_name(source),
            open_source(source.path, memory_limit=memory_limit, threads=threads, tmp_dir=tmp_dir) as opened,
        ):
            notes = (*source.notes, *map(source.named, opened.notes))
            yield replace(opened, where=source.name, notes=notes)
        return
    files = find_files(source)
    where = str(source)
    with (
        temporary_folder("rlopt-logs-", tmp_dir) as folder,
        clear_errors(where),
        duckdb.connect(":memory:", config=settings(memory_limit, threads, folder)) as con,
    ):
        con.execute("SET TimeZone = 'UTC'")
        with contextlib.suppress(duckdb.InvalidInputException):  # in a notebook without widgets there is none to hide
            con.execute("SET enable_progress_bar = false")
        partitioned = _partitioned(source, files)
        read = [staged(con, path, folder, n) for n, path in enumerate(files)]
        parquet = {found.file: path for found, path in zip(read, files, strict=True)}
        kinds = joined_kinds(found.kinds for found in read)
        numbers = frozenset(name for name, kind in kinds.items() if kind == WRITTEN_NUMBER)
        columns = _columns(con, parquet, partitioned) | kinds | dict.fromkeys(numbers, "VARCHAR")
        notes = tuple(note for found in read for note in found.notes)
        if ours := [name for name in columns if name.casefold() in (FILE, ROW)]:
            raise LogError(f"{where} has a column '{ours[0]}', a name that the reader needs itself. Rename it.")
        yield FileSource(con, where, columns, parquet, partitioned, folder, notes, numbers)


@contextlib.contextmanager
def _under_its_name(copy: LocalCopy) -> Iterator[None]:
    try:
        yield
    except LogError as error:
        raise LogError(copy.named(str(error))) from error


def find_files(source: LocalSource) -> list[Path]:
    """Log files that ``source`` (a file, a glob or a folder) names, sorted; hidden files are left out."""
    if isinstance(source, LocalCopy):
        with _under_its_name(source):
            return find_files(source.path)
    path = Path(source)
    try:
        if path.is_dir():
            files = [f for f in sorted(path.rglob("*")) if f.is_file() and not _hidden(f.relative_to(path))]
            files = [f for f in files if file_kind(f) != PARQUET or f.suffix.lower() == ".parquet"]
            tables = [f for f in files if file_kind(f) != JSON_LINES]
            files = tables or files  # JSON lines beside tables are metrics and the like
            for beside in (".json", ".txt"):  # so is JSON beside them, and readme.txt
                files = [f for f in files if beside not in f.suffixes[-2:]] or files
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
        raise LogError(f"Cannot read {source}: {way_out}. {KINDS}")
    _refuse_lake_tables(
        source, [path, *(parent for file in files for parent in file.parents)] if files != [path] else []
    )
    for file in files:
        _check_file(file)
    kinds = sorted({file_kind(file) for file in files})
    if len(kinds) > 1:
        raise LogError(f"{source} holds {' and '.join(kinds)} files. Name one kind, for example {path / '*.parquet'}")
    return files


def _refuse_lake_tables(source: str | Path, folders: Iterable[Path]) -> None:
    """The plain files of a table with a log of its own hold removed rows too.

    Raises
    ------
    LogError
        Naming the kind of table and the way out.
    """
    for folder in dict.fromkeys(folders):
        for kind, mark in _LAKE_TABLES.items():
            if next(folder.glob(mark), None) is not None:
                raise LogError(
                    f"{source} is a {kind} table ({folder / mark.split('/')[0]}): its files hold rows that were "
                    f"removed or replaced. {_way_to_read(kind)}."
                )


def _way_to_read(kind: str) -> str:
    if kind == "Delta":
        return "Install its reader (pip install 'rlopt[delta]') and name the table's own folder"
    return f"Export the table's present rows to parquet with a reader of {kind}, and name that file"


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        raise LogError(f"Cannot read {path}: {error.strerror}.") from error
    if not head:
        raise LogError(f"{path} is empty (0 bytes). Remove it or write it again.")
    if file_kind(path) != PARQUET:
        for magic, (what, way_out) in _NO_TEXTS.items():
            if head.startswith(magic) and not (magic == _GZIP and path.suffix.lower() == ".gz"):
                raise LogError(f"Cannot read {path}: it is no text but {what}. {way_out}.")
    if path.suffix.lower() in _PACKED:
        raise LogError(f"Cannot read {path}: it is packed. {_UNPACK}; rlopt reads packed texts only as .gz.")
    if file_kind(path) == PARQUET and head != b"PAR1":
        other = "neither parquet, CSV nor JSON lines"
        what = "damaged or no parquet file" if path.suffix.lower() == ".parquet" else other
        raise LogError(
            f"Cannot read {path}: it is {what}. Logs are .parquet, .csv, .tsv, .txt or .jsonl (texts also as .gz)."
        )


def _matches(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  (Path.glob takes no absolute patterns)


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_", "~$")) for part in path.parts)  # ~$: a spreadsheet's lock


def settings(memory_limit: str, threads: int | None, folder: str | Path) -> Parameters:
    """Settings of DuckDB for reading logs."""
    return {
        "memory_limit": memory_limit,
        "threads": threads or cpu_count(),
        "temp_directory": str(folder),
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        # Parquet statistics leave NaN out, and DuckDB's optimiser takes them for all values: rows with NaN would pass
        # every check (https://github.com/duckdb/duckdb/issues/25521).
        "disabled_optimizers": "statistics_propagation,filter_pushdown",
    }


def _options(partitioned: bool) -> str:
    return f"union_by_name=true, hive_partitioning={str(partitioned).lower()}"


def _partitioned(source: str | Path, files: list[Path]) -> bool:
    """True if all files lie in folders named ``column=value`` below the folder or pattern, with the same columns."""
    folder = Path(source)
    if not folder.is_dir():
        if not glob.has_magic(str(source)) or files == [folder]:
            return False
        folder = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), folder.parts))
    keys = {tuple(part.split("=")[0] for part in file.relative_to(folder).parts[:-1] if "=" in part) for file in files}
    return len(keys) == 1 and keys != {()}


def _columns(con: duckdb.DuckDBPyConnection, files: Mapping[str, Path], partitioned: bool) -> dict[str, str]:
    relation = f"read_parquet($files, {_options(partitioned)})"
    rows = con.execute(f"DESCRIBE SELECT * FROM {relation}", {"files": list(files)})
    return {name: kind for name, kind, *_ in rows.fetchall()}
