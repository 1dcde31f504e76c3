"""Marks of missing values in context columns: the items are those of the log without them; titles and ids keep them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reward.items import MISSING, flatten_fields
from reward.logs.read import read_items, read_logs

from ..log_fixtures import read_csv_text, write_log, written

MARKS = ["N/A", "n/a", "null", "NULL", "None", "-", "NaN", " nan ", "null        ", "\\N", ""]


def priced_log(seed: int, n_items: int = 40, rows_an_item: int = 60) -> pd.DataFrame:
    """Two titles an item; price and material are texts as CSV has them."""
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
