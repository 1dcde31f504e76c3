"""Catalogues of items, and titles to score."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from reward.items import Item
from reward.logs.read import read_items, read_logs, read_titles

from ..log_fixtures import mapped, write_log, written


def test_items_keep_the_order_of_the_catalogue(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("sku,name,colour,clicks\n009,鞋,红,3\n001,,blue,1\n", encoding="utf-8")
    items = read_items(tmp_path / "items.csv", mapped("item_id=sku,title=name"))
    assert items == [Item("009", {"colour": ("红",)}, "鞋"), Item("001", {"colour": ("blue",)}, None)]


def test_logs_serve_as_a_catalogue(tmp_path: Path) -> None:
    path = write_log(
        tmp_path / "log.parquet",
        {
            "item_id": ["b", "a", "b", "b"],
            "title": ["x", "y", "z", "z"],
            "clicks": [0, 1, 0, 1],
            "brand": ["B", "A", None, "B"],
        },
    )
    assert read_items(path) == [Item("b", {"brand": ("B",)}, "z"), Item("a", {"brand": ("A",)}, "y")]


def test_the_logs_mapping_applies_to_files_with_canonical_names_too(tmp_path: Path) -> None:
    mapping = mapped("title=headline,item_id=test+image,clicks=n")
    logged = write_log(tmp_path / "a.parquet", {"test": ["1"], "image": ["2"], "headline": ["t"], "brand": ["B"]})
    plain = write_log(tmp_path / "b.parquet", {"item_id": ["1+2"], "title": ["t"], "brand": ["B"]})
    untitled = write_log(tmp_path / "c.parquet", {"item_id": ["1+2"], "brand": ["B"]})
    assert read_items(logged, mapping) == read_items(plain, mapping) == [Item("1+2", {"brand": ("B",)}, "t")]
    assert read_items(untitled, mapping) == [Item("1+2", {"brand": ("B",)}, None)]
    for path in (logged, plain):
        items, titles, _ = read_titles(path, mapping)
        assert (items, titles) == ([Item("1+2", {"brand": ("B",)})], ["t"])


def test_titles_come_row_by_row_with_the_files_own_table(tmp_path: Path) -> None:
    table = {"item_id": [7, 8, 7], "title": ["c", "a", "b"], "price": [1.5, None, 1.5], "clicks": [1, 2, 3]}
    path = write_log(tmp_path / "titles.parquet", table)
    items, titles, original = read_titles(path)
    assert titles == ["c", "a", "b"]
    assert items == [Item("7", {"price": ("1.5",)}), Item("8"), Item("7", {"price": ("1.5",)})]
    assert original.to_pydict() == table
    assert original.schema.field("item_id").type == pa.int64()


def test_titles_of_several_files_keep_their_order(tmp_path: Path) -> None:
    rows = [(f"i{k}", f"title {k}") for k in range(2_500)]
    for part in range(12):
        frame = pd.DataFrame(rows[part * 200 : part * 200 + 200], columns=["item_id", "title"])
        frame.to_csv(tmp_path / f"{part:02d}.csv", index=False)
    items, titles, table = read_titles(tmp_path)
    assert list(zip((i.item_id for i in items), titles, strict=True)) == rows[:2_400]
    assert table.column("title").to_pylist() == titles


def test_items_of_a_catalogue_equal_the_items_of_the_logs(tmp_path: Path) -> None:
    """An item must have the same fields when a model is fitted and when it is asked about later."""
    path = write_log(
        tmp_path / "log.parquet",
        {
            "item_id": ["1", "2"],
            "title": ["a", "b"],
            "clicks": [0, 1],
            "price": [3.0, 4.5],
            "spec": [{"颜色": "红"}, {"颜色": "蓝"}],
            "locale": ["zh", "zh"],
        },
    )
    logged = read_logs(path).arms.items
    assert tuple(read_items(path)) == logged
    assert [dict(item.fields) for item in read_titles(path)[0]] == [dict(item.fields) for item in logged]


def test_numbers_are_the_same_fields_from_every_kind_of_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = [
        *(np.round(rng.normal(0, 10.0 ** rng.integers(-3, 9, 200)), 4) + 0.0),
        np.nan,
        0.0,
        -0.5,
        0.1 + 0.2,
        1e-9,
        1e15,
    ]
    n = len(numbers)
    log = pd.DataFrame({"item_id": [f"i{k}" for k in range(n)], "title": "t", "clicks": 0})
    log["price"] = np.array(numbers, dtype=float)
    log["rank"] = np.arange(n) + 0.0  # whole numbers that a hole somewhere made floats
    files = [written(log, tmp_path / f"log.{kind}") for kind in ("parquet", "csv", "jsonl")]
    catalogues = [read_items(file) for file in files]
    assert catalogues[0] == catalogues[1] == catalogues[2]
    assert catalogues[0][0].fields["rank"] == ("0",)
    assert read_logs(files[0]).arms.items == read_logs(files[1]).arms.items


def test_what_a_program_would_not_write_as_a_number_stays_text(tmp_path: Path) -> None:
    """Versions, article numbers and prices with their cents: a zero more or less is another value."""
    lines = ["item_id,title,clicks,version,article,price,size", "1,a,0,3.9,7.0,2.5,38.0", "2,b,1,3.10,007,2.50,XL"]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    first, second = read_items(tmp_path / "log.csv")
    assert dict(first.fields) == {"version": ("3.9",), "article": ("7.0",), "price": ("2.5",), "size": ("38.0",)}
    assert dict(second.fields) == {"version": ("3.10",), "article": ("007",), "price": ("2.50",), "size": ("XL",)}


def test_a_day_of_whole_numbers_is_like_the_days_with_fractions(tmp_path: Path) -> None:
    for name, size in (("1.csv", "38"), ("2.csv", "38.0"), ("3.csv", "38.5")):
        (tmp_path / name).write_text(f"item_id,title,clicks,size\n{name},t,0,{size}\n", encoding="utf-8")
    assert [item.fields["size"] for item in read_items(tmp_path)] == [("38",), ("38",), ("38.5",)]


def test_columns_that_the_logs_reader_left_out_can_be_left_out_here(tmp_path: Path) -> None:
    path = write_log(tmp_path / "t.parquet", {"item_id": ["1"], "title": ["a"], "user": ["u"], "brand": ["B"]})
    assert read_items(path, ignore=["user", "absent"])[0].fields == {"brand": ("B",)}
    assert read_titles(path, ignore={"user"})[0][0].fields == {"brand": ("B",)}


def test_chinese_products_are_read(shared_data: Path) -> None:
    path = shared_data / "zh_products" / "title_attributes.parquet"
    items, titles, table = read_titles(path, mapped("item_id=title"))
    assert len(items) == len(titles) == table.num_rows
    assert items[0].fields["鞋面材质"] == ("头层牛皮（除牛反绒）",)


def test_titles_and_logs_call_the_fields_alike(tmp_path: Path) -> None:
    mapping = mapped("surface=page")
    rows = {"item_id": ["1", "1"], "title": ["a", "b"], "clicks": [0, 1], "page": ["feed"] * 2, "brand": ["B"] * 2}
    path = write_log(tmp_path / "log.parquet", rows)
    logged = dict(read_logs(path, columns=mapping).arms.items[0].fields)
    assert logged == {"surface": ("feed",), "brand": ("B",)}
    assert dict(read_titles(path, mapping)[0][0].fields) == dict(read_items(path, mapping)[0].fields) == logged


def test_pattern_characters_in_a_files_name_are_its_name(tmp_path: Path) -> None:
    write_log(tmp_path / "titles1.parquet", {"item_id": ["other"], "title": ["x"]})
    for name in ("titles[1].parquet", "what?.parquet", "a*.parquet"):
        path = write_log(tmp_path / name, {"item_id": ["1"], "title": [name]})
        items, titles, table = read_titles(path)
        assert ([item.item_id for item in items], titles) == (["1"], [name])
        assert table["title"].to_pylist() == [name]
