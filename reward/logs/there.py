"""Existence of files, checked before anything slow is loaded to read them."""

import glob
from pathlib import Path
from typing import Any

from ..errors import LogError

KINDS = "Logs are a file, a glob or a folder of parquet, CSV or JSON lines."


def check_there(source: Any) -> None:
    """Refuse a path that names nothing; URLs, globs and tables are their reader's to judge.

    Raises
    ------
    LogError
        There is no such file or folder.
    """
    text = str(source)
    if isinstance(source, (str, Path)) and "://" not in text and not glob.has_magic(text) and not Path(text).exists():
        raise LogError(f"Cannot read {source}: no such file or folder. {KINDS}")
