"""Arms on disk: the same arms come back, a damaged folder is told, a failed write leaves the old one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from reward.arms import Arms
from reward.errors import LogError
from reward.items import Item
from reward.logs.store import ARMS_FILE, ITEMS_FILE, load_arms, save_arms

from ..log_fixtures import assert_same_arms, make_arms


def sample(clicks: float = 1.0) -> Arms:
    arms = make_arms([("1", "红色 shoe", 10, clicks), ("1", "👟\u200b", 30, 0), ("2", "x", 7, 2)])
    items = (Item("1", {"颜色": ("红", "blue")}, "👟\u200b"), Item("2"))
    return replace(arms, items=items, conversions=np.array([0.0, 0.0, 1.0]), matured_clicks=np.array([0.5, 0.1, 1.9]))


def test_arms_come_back_as_they_were(tmp_path: Path) -> None:
    for arms in (sample(), replace(sample(), propensity_logged=True, first_seen=np.array([1.7e9 + 0.25, 2.0, 3.0]))):
        save_arms(arms, tmp_path / "arms")
        assert_same_arms(load_arms(tmp_path / "arms"), arms, rtol=0)
    assert sorted(p.name for p in (tmp_path / "arms").iterdir()) == [ARMS_FILE, ITEMS_FILE]


def test_the_same_arms_give_the_same_bytes(tmp_path: Path) -> None:
    save_arms(sample(), tmp_path / "a")
    save_arms(sample(), tmp_path / "b")
    for name in (ARMS_FILE, ITEMS_FILE):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_no_arms_at_all(tmp_path: Path) -> None:
    empty = sample().take(np.zeros(3, dtype=bool))
    save_arms(empty, tmp_path)
    assert_same_arms(load_arms(tmp_path), empty)


def test_files_of_two_versions_are_not_read_together(tmp_path: Path) -> None:
    other = replace(sample(), items=(Item("1"), Item("3")))
    save_arms(sample(), tmp_path / "old")
    save_arms(other, tmp_path / "new")
    (tmp_path / "old" / ITEMS_FILE).write_bytes((tmp_path / "new" / ITEMS_FILE).read_bytes())
    with pytest.raises(LogError, match="items belong to other arms"):
        load_arms(tmp_path / "old")


def test_missing_and_damaged_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"There are no arms at .*fit-reward first"):
        load_arms(tmp_path)
    save_arms(sample(), tmp_path)
    whole = (tmp_path / ARMS_FILE).read_bytes()
    (tmp_path / ARMS_FILE).write_bytes(whole[:100])
    with pytest.raises(LogError, match="damaged"):
        load_arms(tmp_path)
    pq.write_table(pq.read_table(tmp_path / ITEMS_FILE), tmp_path / ARMS_FILE)
    with pytest.raises(LogError, match="damaged"):
        load_arms(tmp_path)


def test_a_failed_write_leaves_the_old_arms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_arms(sample(), tmp_path)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(LogError, match="No space left on device"):
        save_arms(sample(clicks=5.0), tmp_path)
    monkeypatch.undo()
    assert_same_arms(load_arms(tmp_path), sample())
    assert sorted(p.name for p in tmp_path.iterdir()) == [ARMS_FILE, ITEMS_FILE]
