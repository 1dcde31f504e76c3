"""Marks of missing values in context columns: the items are those of the log without them; titles and ids keep them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reward.doctor.examine import examine
from reward.items import MISSING, flatten_fields
from reward.logs.read import read_items, read_logs, read_titles

from ..log_fixtures import read_csv_text, write_log, written

MARKS = ["N/A", "n/a", "null", "NULL", "None", "-", "NaN", " nan ", "null        ", "\\N", ""]


def priced_log(seed: int, n_items: int = 40, rows_an_item: int = 60) -> pd.DataFrame:
    """Two titles per item; price and material are texts as CSV has them."""
    n = n_items * rows_an_item
    item = np.arange(n) % n_items
    return pd.DataFrame(
        {
            "item_id": [f"i{i}" for i in item],
            "title": [f"title {k // n_items % 2} of {i}" for k, i in enumerate(item)],
            "clicks": np.random.default_rng(seed).binomial(1, 0.1, n),
            "price": [f"{1.25 * i - 3:.2f}" for i in item],
            "material": [f"material {i % 3}" for i in item],
        }
    )


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_marks_in_a_twentieth_of_the_rows_change_no_item(ending: str, tmp_path: Path) -> None:
    log = priced_log(0)
    rng = np.random.default_rng(1)
    marked = log.copy()
    for column in ("price", "material"):
        marked[column] = np.where(rng.random(len(log)) < 0.05, rng.choice(MARKS, len(log)), log[column])
    assert (marked.groupby("item_id")["price"].nunique() > 1).mean() > 0.5  # taken for values, they would drop it
    clean, found = (
        read_logs(written(frame, tmp_path / f"{name}.{ending}")) for name, frame in (("clean", log), ("marked", marked))
    )
    assert (found.context_columns, found.dropped_columns) == (("price", "material"), {})
    assert found.arms.items == clean.arms.items
    assert found.arms.items[0].fields["price"] == ("-3.00",)
    catalogue = read_items(tmp_path / f"marked.{ending}")
    assert {item.item_id: item.fields for item in catalogue} == {i.item_id: i.fields for i in clean.arms.items}


def test_titles_and_ids_that_look_like_marks_stay(tmp_path: Path) -> None:
    arms = read_csv_text(
        tmp_path, "item_id,title,clicks,brand\nnull,None,1,none\nnull,-,0,Nonesuch\nN/A,nan,0,N/A\nN/A,Null,1,NA\n"
    ).arms
    assert list(zip(arms.item_ids, arms.title, strict=True)) == [
        ("N/A", "Null"),
        ("N/A", "nan"),
        ("null", "-"),
        ("null", "None"),
    ]
    assert [dict(item.fields) for item in arms.items] == [{"brand": ("NA",)}, {"brand": ("Nonesuch",)}]


def test_a_column_of_marks_alone_has_no_values(tmp_path: Path) -> None:
    columns = {"item_id": ["a", "b"], "title": ["x", "y"], "clicks": [0, 1], "brand": ["N/A", "-"]}
    assert read_logs(write_log(tmp_path / "log.parquet", columns)).dropped_columns == {"brand": "no values"}


def test_nested_values_too() -> None:
    assert all(mark.strip().casefold() in MISSING for mark in MARKS)
    row = {"spec": {"heel": "none", "sole": ["N/A", "rubber"]}, "pairs": '[["brand", "-"], ["size", "7-8"]]', "n": -1}
    assert flatten_fields(row) == {"sole": ("rubber",), "size": ("7-8",), "n": ("-1",)}


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_marks_of_the_user_are_no_values_wherever_items_come_from(ending: str, tmp_path: Path) -> None:
    log = priced_log(3)
    log["stock"] = np.arange(len(log)) % 40 + 1
    marked = log.copy()
    first = marked["item_id"] == "i0"
    marked.loc[first, "material"] = " KEINE angabe"
    marked.loc[first, "stock"] = -1
    path, marks = written(marked, tmp_path / f"log.{ending}"), ("Keine Angabe", "it's none", "-1")
    found = {item.item_id: item for item in read_logs(path, missing=marks).arms.items}
    assert set(found["i0"].fields) == {"price"}
    assert dict(found["i1"].fields) == {"price": ("-1.75",), "material": ("material 1",), "stock": ("2",)}
    assert {item.item_id: item.fields for item in read_items(path, missing=marks)} == {
        item_id: item.fields for item_id, item in found.items()
    }
    items, _, _ = read_titles(path, missing=marks)
    assert {item.item_id: item.fields for item in items} == {i: item.fields for i, item in found.items()}
    assert set(read_items(path)[0].fields) == {"price", "material", "stock"}


def test_values_that_look_like_marks_are_a_finding(tmp_path: Path) -> None:
    log = priced_log(4)
    number = log["item_id"].str[1:].astype(int)
    log.loc[number < 6, "material"] = "keine Angabe"
    log["stock"] = np.where(number < 7, -1, number)
    log["shade"] = np.where(number < 3, "(other)", "shade " + number.astype(str))
    log["profit"] = number - 8  # may be below zero
    log.loc[log.index[0], "item_id"] = "(not set)"
    (finding,) = [
        line for line in examine(read_logs(written(log, tmp_path / "log.csv"))).warnings if "may stand for" in line
    ]
    assert finding.startswith(
        "Values that may stand for missing ones: '-1' (stock of 8 items), 'keine Angabe' (material of 7 items), "
        "'(other)' (shade of 4 items). If they do: --missing '-1'"
    )
    told = examine(read_logs(tmp_path / "log.csv", missing=["-1", "keine Angabe", "(other)"])).warnings
    assert not [line for line in told if "may stand for" in line]
    assert [line for line in told if "The item id '(not set)'" in line]


def test_of_sound_values_none_is_a_finding(tmp_path: Path) -> None:
    found = examine(read_logs(written(priced_log(5), tmp_path / "log.csv")))
    assert not [line for line in found.warnings if "may stand for" in line]


@pytest.mark.parametrize("mark", ["sin datos", "k. A.", "なし", "없음", "нет данных", "暂无数据", "n.v.t."])
def test_marks_of_other_languages_are_no_values(mark: str) -> None:
    assert flatten_fields({"brand": mark, "colour": "red"}) == {"colour": ("red",)}


@pytest.mark.parametrize("value", ["NA", "无印良品", "无糖", "No", "Unbekannte Welten", "n", "0"])
def test_values_that_look_like_marks_stay(value: str) -> None:
    assert flatten_fields({"brand": value}) == {"brand": (value,)}


def test_what_analytics_calls_the_rest_is_told(tmp_path: Path) -> None:
    logs = read_csv_text(tmp_path, "item_id,title,clicks\na,red,1\na,blue,0\n(other),red,1\n(other),(other),0\n")
    told = [line for line in examine(logs).warnings if "'(other)' stands for a missing value or for many" in line]
    assert len(told) == 2
