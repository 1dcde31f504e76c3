"""The folder of a model, meta.json and arrays.npz, read with the checks of `reward.saved`; nothing is executed."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ModelError
from .plain import JsonObject
from .saved import AGAIN, Arrays, SavedError, check_kind, damage, parse_json, read_arrays, read_bytes

META, ARRAYS = "meta.json", "arrays.npz"
POLICY_ENCODER = "encoder"
"""Folder beside those of the models: the language model that the encoder ``policy`` is."""


def write_state(folder: Path, meta: Mapping[str, Any], arrays: Arrays) -> None:
    """Write both files into ``folder``, which exists."""
    with (folder / ARRAYS).open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    (folder / META).write_text(json.dumps(meta, ensure_ascii=False), encoding="utf-8")


def read_state(
    folder: str | Path, expected_format: int, shape: type, what: str = "model", *, infinite: tuple[str, ...] = ()
) -> tuple[JsonObject, Arrays]:
    """Read both files of a folder.

    Parameters
    ----------
    folder
        Folder that `write_state` wrote.
    expected_format
        ``meta["format"]`` of the models that this version reads.
    shape
        Dataclass of the fields of meta.json.
    what
        Name of the model in messages.
    infinite
        Ends of the names of arrays that may hold infinities.

    Raises
    ------
    ModelError
        If a file is missing, damaged, or of another format.
    """
    folder = Path(folder)
    for name in (META, ARRAYS):
        if not os.path.lexists(folder / name):
            raise ModelError(f"{folder} holds no {what}: {folder / name} is missing. Run rlopt fit-reward.")
    with model_damage(folder, what):
        text = read_bytes(folder / META)
        meta: JsonObject = parse_json(text, folder / META, JsonObject)
        if meta.get("format") != expected_format:
            raise ModelError(
                f"{folder} holds a {what} of format {meta.get('format')!r:.40}; this version reads {expected_format}. "
                "Run rlopt fit-reward."
            )
        check_kind(text, folder / META, shape)
        return meta, read_arrays(folder / ARRAYS, AGAIN, infinite=infinite)


@contextmanager
def model_damage(folder: str | Path, what: str = "model") -> Iterator[None]:
    """Report whatever goes wrong in putting a model together as damage of its folder.

    Raises
    ------
    ModelError
        In place of the errors that damage causes.
    """
    try:
        with damage(f"The {what} in {folder}"):
            yield
    except SavedError as error:
        raise ModelError(str(error)) from error
