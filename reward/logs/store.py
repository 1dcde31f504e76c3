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
from ..items import items_from_json
from ..saved import AGAIN, SavedError, damaged, open_saved

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
        If the folder cannot be written; what it held before is kept.
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
        If a file is missing or damaged, or the two do not belong together.
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
        index = _column(arms_table, "item_index", pa.int64()).to_numpy()
        if len(index) and (index.min() < 0 or index.max() >= len(texts)):
            raise ValueError("an arm's item is missing")
        arms = Arms(
            items=items_from_json(texts, folder / ITEMS_FILE),
            item_index=index,
            title=np.array(_column(arms_table, "title", pa.string()).to_pylist(), dtype=object),
            propensity_logged=metadata[b"rlopt.propensity_logged"] == b"True",
            **{name: _floats(arms_table, name) for name in _REQUIRED},
            **{name: _floats(arms_table, name) for name in _OPTIONAL if name in arms_table.column_names},
        )
        _check_counts(arms)
    except (KeyError, TypeError, ValueError, AttributeError, pa.ArrowException) as error:
        if isinstance(error, SavedError):
            raise LogError(str(error)) from error
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise LogError(damaged(f"What {folder} holds of the arms", reason, AGAIN)) from error
    return arms


def _check_counts(arms: Arms) -> None:
    """Counts and propensities as reading logs leaves them."""
    for name in (*_REQUIRED, *_OPTIONAL):
        values = getattr(arms, name)
        if values is None:
            continue
        if not np.isfinite(values).all():
            raise ValueError(f"{name} holds values that are no finite numbers")
        if name not in ("revenue", "first_seen", "last_seen") and len(values) and values.min() < 0:
            raise ValueError(f"{name} is negative")
    if len(arms) and not (arms.propensity.min() > 0 and arms.propensity.max() <= 1 + 1e-9):
        raise ValueError("propensity is not in (0, 1]")
    if len({item.item_id for item in arms.items}) < len(arms.items):
        raise ValueError("an item is there twice")


def _read(path: Path) -> pa.Table:
    try:
        with open_saved(path) as file:
            return pq.read_table(file, partitioning=None)
    except SavedError as error:
        if not os.path.lexists(path):
            raise LogError(f"There are no arms at {path}. Run rlopt fit-reward first.") from error
        raise LogError(str(error)) from error
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise LogError(damaged(path, str(error).splitlines()[0], AGAIN)) from error


def _column(table: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    column = table.column(name)
    if column.type != kind or column.null_count:
        raise ValueError(f"{name} holds {column.type}, or missing values")
    return column


def _floats(table: pa.Table, name: str) -> FloatArray:
    return np.asarray(_column(table, name, pa.float64()).to_numpy(), dtype=np.float64)


def _digest(texts: list[str]) -> bytes:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode())
        digest.update(b"\n")
    return digest.hexdigest().encode()
