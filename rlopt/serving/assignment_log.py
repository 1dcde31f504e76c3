"""The log of assignments: JSON lines that are only added to, by several processes at once, and set aside when large.

A line goes out in one write under a lock, ``FILE.lock`` beside it. Where a process was killed within a write, or the
disk was full, the half line is cut off before the next one is written: a reader finds whole lines.
"""

import errno
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from rlopt.errors import RunError
from rlopt.files import disk_errors, refuse_in_run, to_json
from rlopt.wording import safe_json

_TAIL = 1 << 16  # longer than any line


class AssignmentLog:
    """Appends assignments.

    Parameters
    ----------
    path
        The file; its folder has to be there. What is set aside has the time in its name.
    rotate_at
        Bytes from which a new file is begun.

    Raises
    ------
    RunError
        If it cannot be written, or lies in a run directory.
    """

    def __init__(self, path: Path, rotate_at: int) -> None:
        refuse_in_run(path)
        self._path, self._rotate_at = path, rotate_at
        self._lock = FileLock(path.with_name(f"{path.name}.lock"), mode=0o666)
        with disk_errors(path):
            self._file = self._open()
            self._locked(self._mend)

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a line; it is there, whole, when this returns.

        Raises
        ------
        RunError
            If it cannot be written. Nothing of it stays.
        """
        line = (safe_json(to_json(row)) + "\n").encode()
        with disk_errors(self._path):
            self._locked(lambda: self._append(line))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _append(self, line: bytes) -> None:
        self._mend()
        size = os.fstat(self._file).st_size
        if size and size + len(line) > self._rotate_at:
            self._set_aside()
            size = 0
        if os.write(self._file, line) < len(line):
            os.ftruncate(self._file, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def _mend(self) -> None:
        """Cut off what a killed writer has left of a line."""
        size = os.fstat(self._file).st_size
        if size == 0 or os.pread(self._file, 1, size - 1) == b"\n":
            return
        tail = os.pread(self._file, _TAIL, max(size - _TAIL, 0))
        end = tail.rfind(b"\n")
        if end < 0 and size > _TAIL:
            raise RunError(f"{self._path} is no log of assignments: it has no lines. Name another file.")
        os.ftruncate(self._file, size - len(tail) + end + 1)

    def _set_aside(self) -> None:
        """Rename the file, and begin a new one; other processes see that theirs has another name."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        for number in range(10_000):
            aside = self._path.with_name(f"{self._path.stem}-{stamp}-{number:04d}{self._path.suffix}")
            if not os.path.lexists(aside):
                break
        os.close(self._file)
        self._path.rename(aside)
        self._file = self._open()

    def _locked(self, work: Callable[[], None]) -> None:
        with self._lock:
            if not self._is_current():
                os.close(self._file)
                self._file = self._open()
            work()

    def _is_current(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        own = os.fstat(self._file)
        return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        return os.open(self._path, flags, 0o666)
