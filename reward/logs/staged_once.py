"""Text files that are opened several times are parsed once."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

import duckdb

from .temporary import temporary_folder
from .text_files import PARQUET, Staged, file_kind, stage

_Key = tuple[str, int, int]
_KEPT: ContextVar[tuple[Path, dict[_Key, Staged]] | None] = ContextVar("kept", default=None)


@contextlib.contextmanager
def staged_once(tmp_dir: str | Path | None = None) -> Iterator[None]:
    """Let `staged` parse a file again only if it has changed, within this block.

    Parameters
    ----------
    tmp_dir
        Folder for the parsed files; the system's temporary folder by default.
    """
    if _KEPT.get() is not None:
        yield
        return
    with temporary_folder("rlopt-staged-", tmp_dir) as folder:
        token = _KEPT.set((folder, {}))
        try:
            yield
        finally:
            _KEPT.reset(token)


def staged(con: duckdb.DuckDBPyConnection, path: Path, folder: Path, number: int) -> Staged:
    """`reward.logs.text_files.stage`, or what it gave in this block of `staged_once` before."""
    kept = _KEPT.get()
    if kept is None or file_kind(path) == PARQUET:
        return stage(con, path, folder, number)
    place, known = kept
    stat = path.stat()
    key = (str(path.resolve()), stat.st_size, stat.st_mtime_ns)
    if key not in known:
        known[key] = stage(con, path, place, len(known))
    return known[key]
