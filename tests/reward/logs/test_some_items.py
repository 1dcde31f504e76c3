"""Long logs are searched and tested by some of their items: what is found is what all rows would show."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reward.errors import LogError
from reward.logs import repeated_impressions, some_items
from reward.logs.read import LogData, read_logs

from ..log_fixtures import write_log

ITEMS, SHOWN = 120, 300


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every log of more than 4,000 rows is a long one."""
    monkeypatch.setattr(some_items, "MOST_ROWS", 4_000)
    monkeypatch.setattr(some_items, "FEWEST_ITEMS", 30)


def log(seed: int, lean: float = 0.0, items: int = ITEMS) -> dict[str, Any]:
    """Impressions of two titles an item; phones click twice as often and see promo titles more often by ``lean``."""
    rng = np.random.default_rng(seed)
    n = items * SHOWN
    phone = rng.random(n) < 0.5
    promo = rng.random(n) < np.where(phone, 0.5 + lean, 0.5 - lean)
    return {
        "item_id": np.repeat([f"item-{i:03}" for i in range(items)], SHOWN),
        "title": np.where(promo, "Promo", "Plain"),
        "clicks": (rng.random(n) < np.where(phone, 0.2, 0.1)).astype(int),
        "device": np.where(phone, "phone", "desktop"),
        "brand": np.repeat([f"brand {i % 7}" for i in range(items)], SHOWN),
        "timestamp": 1_750_000_000.0 + np.arange(n),
    }


def read(path: Path, columns: dict[str, Any]) -> LogData:
    return read_logs(write_log(path / "log.parquet", columns))


@pytest.mark.usefixtures("long")
def test_of_a_long_log_a_part_of_the_items_is_tested_and_all_are_corrected(tmp_path: Path) -> None:
    logs = read(tmp_path, log(0, lean=0.3))
    found = {one.column: one for one in logs.balances}
    assert found["device"].adjusted
    assert {name for name, one in found.items() if one.adjusted} == {"device"}
    assert len(logs.arms) == 2 * ITEMS
    promo = logs.arms.title == "Promo"
    rate = [logs.arms.clicks[rows].sum() / logs.arms.exposure[rows].sum() for rows in (promo, ~promo)]
    assert rate[0] / rate[1] == pytest.approx(1.0, abs=3 * np.sqrt(2 / (logs.arms.clicks.sum() / 2)))


@pytest.mark.usefixtures("long")
def test_counts_and_context_are_those_of_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = log(1)
    columns["colour"] = np.where(columns["item_id"] == "item-007", "red", None)
    part = read(tmp_path, columns)
    monkeypatch.setattr(some_items, "MOST_ROWS", 10**9)
    whole = read(tmp_path, columns)
    np.testing.assert_array_equal(part.arms.clicks, whole.arms.clicks)
    np.testing.assert_array_equal(part.arms.exposure, whole.arms.exposure)
    assert part.context_columns == whole.context_columns
    assert "colour" in part.context_columns
    assert [item.fields for item in part.arms.items] == [item.fields for item in whole.arms.items]


@pytest.mark.usefixtures("long")
def test_impressions_that_are_there_twice_are_found_by_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated_impressions, "_ALL_COLUMNS_ROWS", 4_000)
    columns = log(2)
    n = len(columns["title"])
    twice = np.r_[np.arange(n), np.arange(n)[::4]]
    numbered = {name: values[twice] for name, values in columns.items()} | {"row": np.arange(len(twice))}
    with pytest.raises(LogError, match="rows repeat another one"):
        read(tmp_path, numbered)


@pytest.mark.usefixtures("long")
def test_of_few_items_none_is_left_out(tmp_path: Path) -> None:
    logs = read(tmp_path, log(3, lean=0.3, items=20))
    (device,) = (one for one in logs.balances if one.column == "device")
    assert device.adjusted
