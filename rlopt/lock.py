"""One writer at a time for a folder: a run, or the shards of an output."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from rlopt.errors import RunError
from rlopt.files import disk_errors

LOCK = ".lock"
HOLDER = ".lock-holder"
"""File that names the holder of the lock, for the message to others; a killed holder leaves it behind."""


@dataclass(frozen=True)
class _Hold:
    process: int
    thread: int
    depth: int


_held: dict[Path, _Hold] = {}
_guard = threading.Lock()


@contextmanager
def locked(folder: Path, purpose: str) -> Iterator[None]:
    """Hold the folder's lock. The same thread may take it again: `ppo` trains SFT inside its own stage.

    The lock is filelock's: the kernel's where there is one for files (it ends with the process, however that ends),
    else a file with the holder's process, which the next one removes when that process is gone. A child that was
    forked while its parent holds the lock does not hold it.

    Raises
    ------
    RunError
        If another process or thread holds it, or the folder cannot be written.
    """
    key = folder.resolve()
    mine = _Hold(os.getpid(), threading.get_ident(), 1)
    with _guard:
        held = _held.get(key)
        if held is not None and held.process != mine.process:  # remembered from before a fork
            held = None
        if held is not None and held.thread != mine.thread:
            raise RunError(
                f"Run {folder} is being written by another thread of this process. Wait, or use another run."
            )
        _held[key] = _Hold(mine.process, mine.thread, held.depth + 1) if held else mine
    try:
        if held is not None:
            yield
        else:
            with _file_lock(folder, purpose):
                yield
    finally:
        with _guard:
            if held is not None:
                _held[key] = held
            else:
                del _held[key]


@contextmanager
def _file_lock(folder: Path, purpose: str) -> Iterator[None]:
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    with disk_errors(folder / LOCK):
        try:
            lock.acquire()
        except Timeout as error:
            raise RunError(
                f"Run {folder} is being written by {_holder(folder)}. Wait for it, or use another run directory with "
                "--run."
            ) from error
    try:
        _tell(folder, f"{purpose} (process {os.getpid()})\n")
        yield
    finally:
        with suppress(OSError):
            (folder / HOLDER).unlink()
        lock.release()


def _tell(folder: Path, who: str) -> None:
    """Name the holder: in a fresh file, so that a link in its place is replaced and never followed."""
    path = folder / HOLDER
    with disk_errors(path):
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(who)


def _holder(folder: Path) -> str:
    try:
        handle = os.open(folder / HOLDER, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            return file.read(200).decode(errors="replace").strip() or "another process"
    except OSError:
        return "another process"
