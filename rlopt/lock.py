"""One writer at a time for a run directory."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlopt.errors import RunError
from rlopt.files import disk_errors

_NAME = ".lock"
_held: dict[Path, tuple[int, int]] = {}  # folder -> (thread, depth)
_guard = threading.Lock()


@contextmanager
def locked(folder: Path, purpose: str) -> Iterator[None]:
    """Hold the folder's lock. The same thread may take it again: `ppo` trains SFT inside its own stage.

    The lock is the kernel's (POSIX record lock on ``.lock``): it ends with the process, however that ends, so there
    are no stale locks, and a recycled process id deceives nobody. The file's text is only for the message.

    Raises
    ------
    RunError
        When another process or thread holds it, or the folder cannot be written.
    """
    key = folder.resolve()
    thread = threading.get_ident()
    with _guard:
        owner, depth = _held.get(key, (thread, 0))
        if owner != thread:
            raise RunError(
                f"Run {folder} is being written by another thread of this process. Wait, or use another run."
            )
        _held[key] = (thread, depth + 1)
    try:
        if depth:
            yield
        else:
            with _kernel_lock(folder, purpose):
                yield
    finally:
        with _guard:
            if depth:
                _held[key] = (thread, depth)
            else:
                del _held[key]


@contextmanager
def _kernel_lock(folder: Path, purpose: str) -> Iterator[None]:
    path = folder / _NAME
    with disk_errors(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
            raise RunError(
                f"Run {folder} is being written by {holder}. Wait for it, or use another run directory with --run."
            ) from error
        with disk_errors(path):
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{purpose} (process {os.getpid()})\n".encode(), 0)
        yield
    finally:
        os.close(handle)
