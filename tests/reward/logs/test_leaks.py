"""Columns that give away the title or the clicks are left out and named; those that describe the item stay."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reward.doctor.examine import examine
from reward.logs.leaks import FROM_CLICKS, TITLE_COPY
from reward.logs.read import read_logs


def arms_frame(seed: int, items: int = 60, titles: int = 3) -> pd.DataFrame:
    """Counts of titles, with a brand and a price that know nothing of the clicks."""
    rng = np.random.default_rng(seed)
    item, arm = np.repeat(np.arange(items), titles), np.tile(np.arange(titles), items)
    shown = rng.integers(500, 3_000, len(item))
    return pd.DataFrame(
        {
            "item_id": [f"i{i}" for i in item],
            "title": [f"Red shoes No. {i}, version {a}" for i, a in zip(item, arm, strict=True)],
            "impressions": shown,
            "clicks": rng.binomial(shown, rng.uniform(0.01, 0.2, items)[item]),
            "brand": [f"brand {i % 7}" for i in item],
            "price": rng.uniform(5, 500, items)[item].round(2),
        }
    )


def impressions_frame(seed: int, n: int = 6_000) -> pd.DataFrame:
    """Single impressions with a surface that matters and a time on the page that only a click gives."""
    rng = np.random.default_rng(seed)
    item, arm = rng.integers(0, 20, n), rng.integers(0, 3, n)
    surface = rng.integers(0, 3, n)
    click = rng.random(n) < 0.05 * (1 + surface)
    return pd.DataFrame(
        {
            "item_id": [f"i{i}" for i in item],
            "title": [f"Title {a} of {i}" for a, i in zip(arm, item, strict=True)],
            "click": click.astype(int),
            "surface": np.array(["home", "search", "mail"])[surface],
            "brand": [f"brand {i % 7}" for i in item],
            "seconds": np.where(click, rng.integers(1, 300, n), np.nan),
            "outcome": np.where(click, "opened", "ignored"),
            "cart": (click & (rng.random(n) < 0.3)).astype(int),
            "hour": rng.integers(0, 24, n),
        }
    )


def written(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_parquet(folder / "logs.parquet")
    return folder / "logs.parquet"


@pytest.mark.parametrize("single", [False, True], ids=["several titles per item", "one title per item"])
def test_a_copy_of_the_title_is_no_field_whatever_its_spelling(tmp_path: Path, single: bool) -> None:
    logs = arms_frame(0)
    if single:
        logs = logs.drop_duplicates("item_id")
    logs["headline_text"] = logs["title"].str.upper()
    logs["slug"] = logs["title"].str.lower().str.replace(r"[^a-z0-9]+", "-", regex=True)
    logs["page"] = logs["title"] + " | Shop"
    logs["text"] = logs["title"].str[:9] + " are worn by everyone who walks, runs or stands about in the rain."
    data = read_logs(written(logs, tmp_path), threads=1)
    assert {name for name, why in data.dropped_columns.items() if why == TITLE_COPY} == {
        "headline_text",
        "slug",
        "page",
    }
    assert {"brand", "price"} <= set(data.context_columns)


def test_rates_and_counts_made_from_clicks_are_no_fields(tmp_path: Path) -> None:
    logs = arms_frame(1)
    rate = logs["clicks"] / logs["impressions"]
    of_item = logs.groupby("item_id")[["clicks", "impressions"]].transform("sum")
    logs["ctr"] = rate
    logs["ctr_percent"] = [f"{100 * value:.1f}%" for value in rate]
    logs["score"] = np.log(rate + 1e-3)
    logs["missed"] = logs["impressions"] - logs["clicks"]
    logs["item_ctr"] = of_item["clicks"] / of_item["impressions"]
    data = read_logs(written(logs, tmp_path), threads=1)
    told = {name for name, why in data.dropped_columns.items() if why == FROM_CLICKS}
    assert told == {"ctr", "ctr_percent", "score", "missed", "item_ctr"}
    assert data.context_columns == ("brand", "price")
    warned = [line for line in examine(data).warnings if FROM_CLICKS in line]
    assert len(warned) == 1
    assert "item_ctr" in warned[0]


def test_what_comes_after_a_click_is_no_circumstance(tmp_path: Path) -> None:
    logs = impressions_frame(2)
    data = read_logs(written(logs, tmp_path), threads=1)
    told = {name for name, why in data.dropped_columns.items() if why == FROM_CLICKS}
    assert told == {"seconds", "outcome", "cart"}
    assert {balance.column for balance in data.balances if not balance.columns} == {"surface", "hour"}
    assert data.context_columns == ("brand",)


@pytest.mark.parametrize("seed", range(4))
def test_columns_that_are_made_without_the_clicks_stay(tmp_path: Path, seed: int) -> None:
    arms = read_logs(written(arms_frame(seed), tmp_path), threads=1)
    assert arms.context_columns == ("brand", "price")
    single = impressions_frame(seed).drop(columns=["seconds", "outcome", "cart"])
    rows = read_logs(written(single, tmp_path), threads=1)
    assert FROM_CLICKS not in rows.dropped_columns.values()


def test_of_many_rows_some_are_looked_at(tmp_path: Path) -> None:
    logs = impressions_frame(3, n=150_000)
    logs["name"] = logs["title"]
    data = read_logs(written(logs, tmp_path), threads=1)
    assert data.dropped_columns["name"] == TITLE_COPY
    assert data.dropped_columns["seconds"] == FROM_CLICKS


@pytest.mark.parametrize("seed", range(5))
def test_so_much_a_click_follows_from_clicks_whatever_the_price(tmp_path: Path, seed: int) -> None:
    """Costs and sessions, but no budget; nor in reports where each row has a click, so that rates go with counts."""
    rng = np.random.default_rng(seed)
    logs = pd.concat([arms_frame(seed)] * 3, ignore_index=True)
    logs["clicks"] = rng.binomial(logs["impressions"], rng.uniform(0.03, 0.06, len(logs)))
    logs["cost"] = (logs["clicks"] * rng.uniform(0.3, 0.4, len(logs))).round(2)
    logs["sessions"] = rng.binomial(logs["clicks"], 0.97)
    logs["budget"] = rng.uniform(5, 500, len(logs)).round(2)
    dropped = read_logs(written(logs, tmp_path), threads=1).dropped_columns
    assert {column for column, why in dropped.items() if why == FROM_CLICKS} == {"cost", "sessions"}
    with_clicks = logs.assign(impressions=rng.integers(1, 200, len(logs)), clicks=1)
    with_clicks["sessions"] = with_clicks["cost"] = 1
    dropped = read_logs(written(with_clicks, tmp_path), threads=1).dropped_columns
    assert dropped.get("budget") != FROM_CLICKS


def test_what_only_a_click_fills_follows_from_it_whatever_marks_the_others(tmp_path: Path) -> None:
    logs = impressions_frame(4)
    clicked = logs["click"] == 1
    for column, mark in {"landing": "", "last_click": "-", "click_key": "(not set)"}.items():
        logs[column] = np.where(clicked, [f"value {row}" for row in range(len(logs))], mark)
    dropped = read_logs(written(logs, tmp_path), threads=1).dropped_columns
    assert {"landing", "last_click", "click_key"} <= {name for name, why in dropped.items() if why == FROM_CLICKS}
