"""Whatever holds a table becomes a local file: data frames, databases, workbooks, Delta tables, remote files.

Batches are streamed to parquet in a temporary folder, from which the log engine reads under its own memory cap.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from ...errors import LogError
from ..temporary import temporary_folder

FILE_NAME = "table.parquet"


@dataclass(frozen=True)
class LocalCopy:
    """A local file, or a folder of files, that stands for a source elsewhere.

    Parameters
    ----------
    name
        The source as the user named it, without secrets: what messages and manifests say.
    path
        The file or folder; it is there as long as the ``with`` of `local`.
    notes
        What was decided in copying it, in plain words.
    """

    name: str
    path: Path
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name

    def named(self, text: str) -> str:
        """``text`` with the user's name in place of the local one."""
        return text.replace(str(self.path), self.name)


@runtime_checkable
class ArrowStreamable(Protocol):
    """A table that exports an Arrow stream: of pandas, polars, Arrow, DuckDB and others."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The stream, as Arrow's PyCapsule interface has it."""


LocalSource: TypeAlias = str | Path | LocalCopy
"""Source that the log engine opens."""
Source: TypeAlias = LocalSource | ArrowStreamable
"""Source that users may name: a path, glob or URL, or a table in memory (also a ``datasets.Dataset``)."""


@contextlib.contextmanager
def local(source: Source, *, query: str | None = None, tmp_dir: str | Path | None = None) -> Iterator[LocalSource]:
    """A local copy of ``source``, or ``source`` itself if it is local; the copy is removed at the end.

    Parameters
    ----------
    source
        A local file, folder or glob stays what it is. Copied are tables in memory, ``postgresql://`` and other
        databases, ``s3://``, ``gs://``, ``az://``, ``https://`` files, workbooks (.xlsx, .xls, .ods) and Delta tables.
    query
        SQL, or a file that holds it: what to ask a database.
    tmp_dir
        Folder for the copy; the system's temporary folder by default.

    Raises
    ------
    LogError
        If the source cannot be read, or the package that reads it is not installed.
    """
    if isinstance(source, LocalCopy) or (isinstance(source, (str, Path)) and not _elsewhere(source, query)):
        yield source
        return
    with temporary_folder("rlopt-copy-", tmp_dir) as folder:
        yield _copied(source, query, folder)


def _copied(source: Source, query: str | None, folder: Path) -> LocalCopy:
    if not isinstance(source, (str, Path)):
        from .frames import write_frame

        return LocalCopy(write_frame(source, folder / FILE_NAME), folder / FILE_NAME)
    text = str(source)
    if is_database(text) or query is not None:
        from .databases import write_query

        return LocalCopy(write_query(text, query, folder / FILE_NAME), folder / FILE_NAME)
    if "://" in text:
        from .remote import download

        return download(text, folder)
    if is_workbook(source):
        from .workbooks import write_sheets

        return LocalCopy(text, folder / FILE_NAME, write_sheets(Path(source), folder / FILE_NAME))
    else:
        from .lakes import write_delta

        write_delta(Path(source), folder / FILE_NAME)
    return LocalCopy(text, folder / FILE_NAME)


def _elsewhere(source: str | Path, query: str | None) -> bool:
    if query is not None or (isinstance(source, str) and "://" in source):
        return True
    if is_workbook(source):
        return Path(source).is_file()
    from .lakes import is_delta

    return is_delta(Path(source))


def is_database(url: str) -> bool:
    """True if a URL names a database rather than a file."""
    scheme = url.partition("://")[0].partition("+")[0].casefold()
    return "://" in url and scheme in _DATABASES


_DATABASES = frozenset(
    {
        *("postgresql", "postgres", "sqlite", "duckdb", "snowflake", "bigquery", "clickhouse", "clickhousedb"),
        *("mysql", "mariadb", "mssql", "oracle", "redshift", "databricks", "trino"),
    }
)
_WORKBOOKS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")


def is_workbook(path: str | Path) -> bool:
    """True if a file is a workbook by its name."""
    return Path(path).suffix.lower() in _WORKBOOKS


def needs(package: str, extra: str, what: str) -> LogError:
    """The error where a package that reads a source is not installed."""
    return LogError(f"{what} needs the package {package}: pip install 'rlopt[{extra}]'.")
