"""A folder for files that are needed for a while."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import LogError


@contextlib.contextmanager
def temporary_folder(prefix: str, parent: str | Path | None) -> Iterator[Path]:
    """A new folder in ``parent``, by default the system's; removed at the end with what is in it.

    Raises
    ------
    LogError
        If it cannot be made.
    """
    try:
        folder = tempfile.mkdtemp(prefix=prefix, dir=parent)
    except OSError as error:
        raise LogError(
            f"Cannot create a temporary folder in {parent or tempfile.gettempdir()}: {error.strerror}. "
            "Name a writable one with --tmp-dir."
        ) from error
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
