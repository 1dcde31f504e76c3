"""Small logs for the tests of reading, checking and splitting."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from reward.arms import Arms
from reward.items import Item
from reward.logs.read import LogData, read_logs
from reward.logs.schema import ColumnMapping


def write_log(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Write a parquet file with these columns."""
    pq.write_table(pa.table({name: pa.array(list(values)) for name, values in columns.items()}), path)
    return path


def impressions_log(seed: int, n: int = 4_000) -> pd.DataFrame:
    """One row per impression with every optional column, missing values included."""
    rng = np.random.default_rng(seed)
    item, arm = rng.integers(0, 12, n), rng.integers(0, 4, n)
    position = rng.integers(1, 6, n).astype(float)
    position[rng.random(n) < 0.05] = np.nan
    click = rng.random(n) < 0.3 / np.where(np.isnan(position), 3, position)
    converted = click & (rng.random(n) < 0.3)
    return pd.DataFrame(
        {
            "item_id": [f"商品{i}" for i in item],
            "title": [f"Title {a} of {i}" for a, i in zip(arm, item, strict=True)],
            "click": click,
            "conversions": converted.astype(int),
            "revenue": np.where(converted, rng.integers(1, 50, n) / 4, 0.0),
            "conversion_delay_hours": np.where(converted, rng.integers(0, 20, n) / 2, np.nan),
            "propensity": np.where(arm == 0, 0.4, 0.2),
            "position": position,
            "timestamp": 1.7e9 + 3600.0 * rng.integers(0, 300, n),
            "brand": [f"brand{i % 3}" for i in item],
            "price": np.where(item == 3, np.nan, item * 1.5),
        }
    )


def written(log: pd.DataFrame, path: Path) -> Path:
    """The file that holds the frame, as its ending says: parquet, CSV or JSON lines."""
    if path.suffix == ".parquet":
        log.to_parquet(path)
    elif path.suffix == ".csv":
        log.to_csv(path, index=False)
    else:
        log.to_json(path, orient="records", lines=True, force_ascii=False, double_precision=15)
    return path


def read_csv_text(folder: Path, text: str, **options: Any) -> LogData:
    """Logs read from a CSV file that holds ``text``."""
    path = folder / "logs.csv"
    path.write_bytes(text.encode("utf-8"))
    return read_logs(path, threads=1, **options)


def mapped(text: str) -> ColumnMapping:
    """Mapping as on the command line."""
    return ColumnMapping.parse(text)


def make_arms(rows: Sequence[tuple[str, str, float, float]], **extra: Any) -> Arms:
    """Arms from (item id, title, impressions, clicks); items in order of first occurrence."""
    ids = list(dict.fromkeys(row[0] for row in rows))
    impressions = np.array([row[2] for row in rows], dtype=np.float64)
    item_index = np.array([ids.index(row[0]) for row in rows], dtype=np.int64)
    total = np.bincount(item_index, impressions)[item_index] if len(rows) else impressions
    values: dict[str, Any] = {
        "items": tuple(Item(item_id) for item_id in ids),
        "item_index": item_index,
        "title": np.array([row[1] for row in rows], dtype=object),
        "impressions": impressions,
        "clicks": np.array([row[3] for row in rows], dtype=np.float64),
        "exposure": impressions,
        "propensity": impressions / total,
        "propensity_logged": False,
    }
    return Arms(**{**values, **extra})


def assert_same_arms(one: Arms, other: Arms, rtol: float = 1e-12) -> None:
    """Both hold the same arms: counts exactly, fractions to ``rtol``."""
    assert one.items == other.items
    for field in fields(Arms):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, np.ndarray) and left.dtype == np.float64:
            np.testing.assert_allclose(left, right, rtol=rtol, atol=0, err_msg=field.name)
        elif isinstance(left, np.ndarray):
            assert left.tolist() == right.tolist(), field.name
        elif field.name != "items":
            assert left == right, field.name


def assert_finite(arms: Arms) -> None:
    """No number of the arms is NaN or infinite, and counts make sense."""
    for field in fields(Arms):
        value = getattr(arms, field.name)
        if isinstance(value, np.ndarray) and value.dtype != object:
            assert np.isfinite(value).all(), field.name
    assert (arms.clicks <= arms.impressions).all()
    assert (arms.exposure > 0).all()
    assert ((arms.propensity > 0) & (arms.propensity <= 1)).all()
