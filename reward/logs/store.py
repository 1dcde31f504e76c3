"""Keeps arms on disk: ``arms.parquet`` and ``items.parquet`` in one folder, no pickle.

Both files are written under other names first and renamed at the end; the arms carry a digest of the items they
belong to, so a folder caught between two versions is noticed and never read as if it were whole.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..arms import Arms
from ..arrays import FloatArray
from ..errors import LogError
from ..items import Item

ARMS_FILE = "arms.parquet"
ITEMS_FILE = "items.parquet"
_FORMAT = b"rlopt-arms-1"
_REQUIRED = ("impressions", "clicks", "exposure", "propensity")
_OPTIONAL = ("conversions", "revenue", "matured_clicks", "first_seen", "last_seen")


def save_arms(arms: Arms, folder: str | Path) -> None:
    """Write ``arms`` into ``folder`` (made if missing), replacing what it held.

    Raises
    ------
    LogError
        Where the folder cannot be written; what it held before is kept.
    """
    folder = Path(folder)
    texts = [item.to_json() for item in arms.items]
    columns: dict[str, Any] = {"item_index": arms.item_index, "title": pa.array(arms.title.tolist(), pa.string())}
    columns |= {name: value for name in (*_REQUIRED, *_OPTIONAL) if (value := getattr(arms, name)) is not None}
    metadata = {
        b"rlopt.format": _FORMAT,
        b"rlopt.items": _digest(texts),
        b"rlopt.propensity_logged": str(arms.propensity_logged).encode(),
    }
    tables = {
        ITEMS_FILE: pa.table({"item": pa.array(texts, pa.string())}),
        ARMS_FILE: pa.table(columns).replace_schema_metadata(metadata),
    }
    new = {folder / name: folder / f".{name}.{os.getpid()}.tmp" for name in tables}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for (_, temporary), table in zip(new.items(), tables.values(), strict=True):
            pq.write_table(table, temporary, compression="zstd")
        for target, temporary in new.items():
            temporary.replace(target)
    except OSError as error:
        raise LogError(f"Cannot write the arms to {folder}: {error.strerror or error}.") from error
    finally:
        for temporary in new.values():
            temporary.unlink(missing_ok=True)


def load_arms(folder: str | Path) -> Arms:
    """The arms that `save_arms` wrote into ``folder``.

    Raises
    ------
    LogError
        Where a file is missing or damaged, or the two do not belong together.
    """
    folder = Path(folder)
    items_table, arms_table = _read(folder / ITEMS_FILE), _read(folder / ARMS_FILE)
    metadata = arms_table.schema.metadata or {}
    try:
        if metadata[b"rlopt.format"] != _FORMAT:
            raise ValueError("unknown format")
        texts = items_table.column("item").to_pylist()
        if metadata[b"rlopt.items"] != _digest(texts):
            raise ValueError("the items belong to other arms")
        index = arms_table.column("item_index").to_numpy().astype(np.int64)
        if len(index) and (index.min() < 0 or index.max() >= len(texts)):
            raise ValueError("an arm's item is missing")
        return Arms(
            items=tuple(Item.from_json(text) for text in texts),
            item_index=index,
            title=np.array(arms_table.column("title").to_pylist(), dtype=object),
            propensity_logged=metadata[b"rlopt.propensity_logged"] == b"True",
            **{name: _floats(arms_table, name) for name in _REQUIRED},
            **{name: _floats(arms_table, name) for name in _OPTIONAL if name in arms_table.column_names},
        )
    except (KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise LogError(f"The arms in {folder} are damaged ({reason}). Run rlopt fit-reward again.") from error


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, partitioning=None)
    except FileNotFoundError as error:
        raise LogError(f"There are no arms at {path}. Run rlopt fit-reward first.") from error
    except (pa.ArrowException, OSError) as error:
        raise LogError(f"{path} is damaged ({str(error).splitlines()[0]}). Run rlopt fit-reward again.") from error


def _floats(table: pa.Table, name: str) -> FloatArray:
    return np.asarray(table.column(name).to_numpy(), dtype=np.float64)


def _digest(texts: list[str]) -> bytes:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode())
        digest.update(b"\n")
    return digest.hexdigest().encode()
