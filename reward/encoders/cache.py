"""Encodings on disk, by encoder and text: an SQLite file that may be deleted at any time."""

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..arrays import HalfArray

_MOST_BYTES = 1 << 28  # a file that has grown to this takes no more: policies in training write titles without end
_AT_ONCE = 500  # keys a question; SQLite takes 999 parameters everywhere


class EncodingCache:
    """Vectors of texts under one encoder.

    A cache that cannot be read or written is no cache: it answers nothing and keeps nothing, and never stops a fit.

    Parameters
    ----------
    path
        The file; made with its folder when first written to.
    encoder
        Fingerprint of the encoder: vectors of another one are never answered.
    width
        Numbers of a vector: one of another width, or with a number that is not finite, is none of the encoder's.
    """

    def __init__(self, path: Path, encoder: str, width: int) -> None:
        self._path, self._encoder, self._width = path, encoder, width

    def get(self, texts: Sequence[str]) -> dict[str, HalfArray]:
        """Vectors of those texts that are kept."""
        if not _is_file(self._path):
            return {}
        by_key = {_key(text): text for text in texts}
        found: dict[str, HalfArray] = {}
        keys = list(by_key)
        with contextlib.suppress(sqlite3.Error, OSError), self._open() as connection:
            for start in range(0, len(keys), _AT_ONCE):
                part = keys[start : start + _AT_ONCE]
                question = f"SELECT text, vector FROM encoding WHERE encoder = ? AND text IN ({_marks(part)})"  # noqa: S608
                for key, vector in connection.execute(question, (self._encoder, *part)):
                    if isinstance(vector, bytes) and len(vector) == 2 * self._width:
                        half = np.frombuffer(vector, dtype="<f2")
                        if np.isfinite(half).all():
                            found[by_key[key]] = half
        return found

    def put(self, vectors: Iterable[tuple[str, HalfArray]]) -> None:
        """Keep these vectors, unless the file has grown large."""
        if os.path.lexists(self._path) and (not _is_file(self._path) or self._path.stat().st_size > _MOST_BYTES):
            return
        rows = [(self._encoder, _key(text), vector.astype("<f2").tobytes()) for text, vector in vectors]
        with contextlib.suppress(sqlite3.Error, OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._write(rows)
            except sqlite3.OperationalError:  # locked, or no space: go on without
                raise
            except sqlite3.DatabaseError:  # not a database: start again
                self._path.unlink(missing_ok=True)
                self._write(rows)

    def _write(self, rows: Sequence[tuple[str, bytes, bytes]]) -> None:
        with self._open() as connection, connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS encoding "
                "(encoder TEXT, text BLOB, vector BLOB, PRIMARY KEY (encoder, text)) WITHOUT ROWID"
            )
            connection.executemany("INSERT OR REPLACE INTO encoding VALUES (?, ?, ?)", rows)

    def _open(self) -> contextlib.closing[sqlite3.Connection]:
        return contextlib.closing(sqlite3.connect(self._path, timeout=10.0))


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _marks(keys: Sequence[bytes]) -> str:
    return ", ".join("?" * len(keys))
