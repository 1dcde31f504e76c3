"""Scores on disk: meta.json and arrays.npz in one folder. Nothing in it is ever executed."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError

Arrays = dict[str, npt.NDArray[Any]]


def write(folder: Path, meta: Mapping[str, Any], arrays: Arrays) -> None:
    """Write both files into ``folder``, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "arrays.npz").open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    (folder / "meta.json").write_text(json.dumps(meta, ensure_ascii=False), encoding="utf-8")


def read(folder: Path, what: str, expected_format: int) -> tuple[dict[str, Any], Arrays]:
    """Both files of ``folder``.

    Parameters
    ----------
    folder
        Folder that `write` wrote.
    what
        For messages: "relevance model".
    expected_format
        Required value of ``meta["format"]``.

    Raises
    ------
    ModelError
        If a file is missing, damaged, holds a number that is none, or is of another format.
    """
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        with np.load(folder / "arrays.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        found = meta["format"]
        for name, array in arrays.items():
            if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
                raise ValueError(f"{name} holds a value that is no number")
    except FileNotFoundError as error:
        raise ModelError(f"{folder} holds no {what}: {error.filename} is missing. Run rlopt fit-reward.") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(damaged(folder, what, error)) from error
    if found != expected_format:
        raise ModelError(
            f"{folder} holds a {what} of format {found!r}; this version reads {expected_format}. Run rlopt fit-reward."
        )
    return meta, arrays


def damaged(folder: Path, what: str, error: Exception) -> str:
    """Message for a folder that cannot be read."""
    return f"the {what} in {folder} is damaged ({type(error).__name__}: {error}). Run rlopt fit-reward again."
