"""Counts that hold earlier ones, and counts that come again beside other values, stop; independent counts do not."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reward.errors import LogError
from reward.logs.read import Copies, read_logs

COUNTS = ["impressions", "clicks"]
TITLE = ["item_id", "title"]


def daily(seed: int, days: int = 14, items: int = 20, titles: int = 2) -> pd.DataFrame:
    """Counts of every title on every day, with a brand and a price."""
    rng = np.random.default_rng(seed)
    item, title, day = (part.ravel() for part in np.indices((items, titles, days)))
    shown = rng.integers(200, 1_500, len(item))
    return pd.DataFrame(
        {
            "item_id": [f"p{i}" for i in item],
            "title": [f"title {t} of {i}" for i, t in zip(item, title, strict=True)],
            "timestamp": [f"2026-05-{d + 1:02d}" for d in day],
            "impressions": shown,
            "clicks": rng.binomial(shown, rng.uniform(0.02, 0.1, items)[item]),
            "brand": [f"Brand {i % 7}" for i in item],
            "price": 5.0 + item,
        }
    )


def by_device(logs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same, with rows of three devices whose rates differ."""
    rng = np.random.default_rng(seed)
    rows = logs.loc[logs.index.repeat(3)].reset_index(drop=True)
    rows["device"] = np.tile(["phone", "tablet", "desktop"], len(logs))
    rows["clicks"] = rng.binomial(rows["impressions"], np.tile([0.02, 0.05, 0.12], len(logs)))
    return rows


def refused(logs: pd.DataFrame, folder: Path, copies: Copies = "stop") -> str:
    """What the logs are refused for, nothing where they are read."""
    logs.to_parquet(folder / "logs.parquet", index=False)
    try:
        read_logs(folder / "logs.parquet", threads=1, copies=copies)
    except LogError as error:
        return str(error)
    return ""


def so_far(logs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return logs.assign(**{c: logs.groupby(keys)[c].cumsum() for c in COUNTS})


@pytest.mark.parametrize("kind", ["dated", "in order of the file", "by device"])
def test_running_totals_stop_with_what_they_add(tmp_path: Path, kind: str) -> None:
    logs, keys = daily(0), TITLE
    if kind == "by device":
        logs, keys = by_device(logs, 0), [*TITLE, "device"]
    totals = so_far(logs, keys)
    if kind == "in order of the file":
        totals = totals.sort_values("timestamp", kind="stable").drop(columns="timestamp")
    message = refused(totals, tmp_path)
    assert "running totals" in message
    more = [f"{totals[c].sum() - logs[c].sum():,}" for c in COUNTS]
    assert f"would add {more[0]} impressions and {more[1]} clicks" in message
    assert not refused(totals, tmp_path, copies="keep")


def test_windows_of_seven_days_stop(tmp_path: Path) -> None:
    logs = daily(1, days=20)
    windows = logs.assign(
        **{c: logs.groupby(TITLE)[c].transform(lambda s: s.rolling(7, min_periods=1).sum()).astype(int) for c in COUNTS}
    )
    assert "the last 7 days on every day" in refused(windows, tmp_path)


@pytest.mark.parametrize("kind", ["categories", "sizes", "price", "spelling", "blanks", "all days"])
def test_counts_that_come_again_beside_other_values_stop(tmp_path: Path, kind: str) -> None:
    logs = daily(2)
    if kind in ("categories", "sizes"):
        shelves = pd.DataFrame({"item_id": [f"p{i}" for i in range(20) for _ in range(1 + i % 3)]})
        shelves["category"] = [f"shelf {n}" if kind == "categories" else 38 + n for n in range(len(shelves))]
        again = logs.merge(shelves, on="item_id")
    elif kind == "all days":
        again = logs.assign(**{c: logs.groupby(TITLE)[c].transform("sum") for c in COUNTS})
    else:
        column, value = {
            "price": ("price", (logs["price"] * 1.1).round(2)),
            "spelling": ("brand", logs["brand"].str.upper()),
            "blanks": ("title", logs["title"] + "  "),
        }[kind]
        again = pd.concat([logs, logs.assign(**{column: value})])
    message = refused(again, tmp_path)
    beside = {"categories": "category", "sizes": "category", "spelling": "brand", "blanks": "title"}
    assert f"but another '{beside.get(kind, 'timestamp' if kind == 'all days' else kind)}'" in message
    once = again.assign(title=again["title"].str.strip()).drop_duplicates([*TITLE, *COUNTS])
    added = int(re.search(r"would add ([\d,]+) impressions", message)[1].replace(",", ""))  # type: ignore[index]
    most = again["impressions"].sum() - once["impressions"].sum()
    assert 0.9 * most < added <= most  # rows of few clicks tell nothing
    assert not refused(again, tmp_path, copies="keep")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["days", "growing", "devices", "equal impressions", "few clicks", "sorted"])
def test_independent_counts_are_read(tmp_path: Path, kind: str, seed: int) -> None:
    logs = daily(seed)
    rng = np.random.default_rng(seed)
    day = logs["timestamp"].str[-2:].astype(int)
    if kind == "growing":
        logs["impressions"] = (logs["impressions"] * 1.4**day).astype(int)
        logs["clicks"] = rng.binomial(logs["impressions"], 0.05)
    elif kind == "devices":
        logs = by_device(logs.assign(impressions=250), seed)
    elif kind == "equal impressions":
        logs["impressions"] = 1_000
        logs["clicks"] = rng.binomial(1_000, 0.7 if seed % 2 else 0.02, len(logs))
    elif kind == "few clicks":
        logs["impressions"] = rng.integers(1, 40, len(logs))
        logs["clicks"] = rng.binomial(logs["impressions"], 0.15)
    elif kind == "sorted":
        logs = logs.sort_values([*TITLE, "impressions"]).drop(columns="timestamp")
    assert not refused(logs, tmp_path)
