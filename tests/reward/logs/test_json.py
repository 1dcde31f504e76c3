"""JSON lines: every value is the text it is in the file."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reward.errors import LogError
from reward.logs.read import read_items, read_logs, read_titles

from ..log_fixtures import assert_same_arms, read_csv_text, write_log

UUID = "ABCDEF12-3456-7890-ABCD-EF1234567890"


def write_lines(path: Path, *rows: dict[str, object]) -> Path:
    """One object a line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("digits", ["1234567890123456789", "12345678901234567890", "9" * 45])
def test_long_numbers_that_differ_in_the_last_digit_are_two_items(digits: str, tmp_path: Path) -> None:
    ids = [int(digits[:-1] + last) for last in "013"]
    path = write_lines(tmp_path / "log.jsonl", *({"item_id": i, "title": "t", "clicks": 0} for i in ids))
    assert [item.item_id for item in read_logs(path).arms.items] == sorted(map(str, ids))


def test_values_are_the_texts_of_the_file(tmp_path: Path) -> None:
    titles: list[object] = ["Red shoes", 2024, 'Blue "x" shoes', UUID, "2024-01-02T03:04:05Z", "1e3", '"鞋"', True]
    spec = {"mixed": "plain", "id": 12345678901234567891, "code": UUID, "When": "2024-01-02T03:04:05Z"}
    more = {"sku": UUID, "day": "2024-1-2", "price": 3.0, "size": 7, "version": "3.0", "fits": False, "spec": spec}
    rows = [{"item_id": "a", "title": title, "clicks": 0, **more} for title in titles]
    rows.append({"item_id": "b", "title": "t", "clicks": 1, "spec": {"mixed": 4}, "price": None, "size": 7.5})
    path = write_lines(tmp_path / "log.jsonl", *rows)
    arms = read_logs(path).arms
    assert sorted(arms.title[arms.item_index == 0]) == sorted(
        json.dumps(title) if isinstance(title, (bool, int)) else str(title) for title in titles
    )
    assert dict(arms.items[0].fields) == {
        "sku": (UUID,),
        "day": ("2024-1-2",),
        "price": ("3",),
        "size": ("7",),
        "version": ("3.0",),
        "fits": ("false",),
        "mixed": ("plain",),
        "id": ("12345678901234567891",),
        "code": (UUID,),
        "When": ("2024-01-02T03:04:05Z",),
    }
    assert dict(arms.items[1].fields) == {"mixed": ("4",), "size": ("7.5",)}
    assert [item.fields for item in read_items(path)] == [item.fields for item in arms.items]
    assert read_titles(path)[0][0].fields == arms.items[0].fields


def test_what_is_missing_is_missing_as_in_csv(tmp_path: Path) -> None:
    """null, no key and a text without characters are no value; true and numbers in quotes count."""
    lines = write_lines(
        tmp_path / "log.jsonl",
        {"item_id": 1, "title": "a", "clicks": True, "conversions": None, "timestamp": "2024-01-31", "brand": ""},
        {"item_id": 1, "title": "b", "clicks": "1", "conversions": "", "timestamp": "2024-01-31 00:00", "brand": "B"},
        {"item_id": 1, "title": "c", "clicks": 0, "timestamp": ""},
    )
    head = "item_id,title,clicks,conversions,timestamp,brand\n"
    text = "1,a,true,,2024-01-31,\n1,b,1,,2024-01-31 00:00,B\n1,c,0,,,\n"
    found, csv = read_logs(lines), read_csv_text(tmp_path, head + text)
    assert_same_arms(found.arms, csv.arms)
    assert found.context_columns == csv.context_columns == ("brand",)
    write_lines(tmp_path / "bad.jsonl", {"item_id": "", "title": "a", "clicks": 0})
    with pytest.raises(LogError, match=r"item_id must not be empty\. Got no value in row 1"):
        read_logs(tmp_path / "bad.jsonl")


def test_files_whose_columns_hold_other_kinds_are_read_together(tmp_path: Path) -> None:
    write_lines(tmp_path / "1.jsonl", {"item_id": 7, "title": "a", "clicks": 0, "extra": {"k": 1}, "price": 2})
    write_lines(tmp_path / "2.jsonl", {"item_id": "x7", "title": "a", "clicks": 0, "extra": "red", "price": 2.0})
    write_lines(tmp_path / "3.jsonl", {"item_id": "y", "title": "b", "clicks": 0, "extra": None})
    fields = {item.item_id: dict(item.fields) for item in read_logs(tmp_path).arms.items}
    assert fields == {"7": {"k": ("1",), "price": ("2",)}, "x7": {"extra": ("red",), "price": ("2",)}, "y": {}}


def test_whole_and_broken_numbers_are_read_as_from_parquet(tmp_path: Path) -> None:
    prices = [0.1, 1 / 3, 0.1 + 0.2, 1e22, 1e-9, 12.0, -0.5]
    columns = {"item_id": list("abcdefg"), "title": ["t"] * 7, "clicks": [0] * 7, "price": np.array(prices)}
    parquet = write_log(tmp_path / "log.parquet", columns)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    lines = write_lines(tmp_path / "log.jsonl", *rows)
    assert read_logs(parquet).arms.items == read_logs(lines).arms.items


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"item_id": "a", "title": "t", "clicks": 1, "Title": "T"}', "names the column '(t|T)itle' twice"),
        (b'{"item_id": {"a": 1}, "title": "t", "clicks": 1}', r"\(item_id\) must hold text or numbers"),
        (b'{"item_id": "a", "title": ["t"], "clicks": 1}', r"\(title\) must hold text"),
        (b'{"item_id": "a", "title": "t", "clicks": {"n": 1}}', r"\(clicks\) must hold numbers"),
        (b'{"item_id": "a", "title": "t", "clicks": 1, "clicks": 1}', "has the key .clicks. twice"),
        (b'{"item_id": "a", "title": "t", "clicks": 1, "file_row_number": 1}', "'file_row_number'.*Rename it"),
        (b'{"item_id": "a", "title": "\xff", "clicks": 1}', "not UTF-8"),
    ],
)
@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_what_cannot_be_read_is_one_line(content: bytes, message: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"log.{ending}"
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    with pytest.raises(LogError, match=message) as caught:
        read_logs(path)
    assert "\n" not in str(caught.value)


def test_keys_that_only_look_renamed_are_two_columns(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "log.jsonl", {"item_id": "a", "title": "t", "clicks": 0, "page": 1, "page_1": 2})
    assert dict(read_items(path)[0].fields) == {"page": ("1",), "page_1": ("2",)}


def test_damaged_gzip_and_names_of_parquet_are_one_line(tmp_path: Path) -> None:
    for ending in ("csv.gz", "jsonl.gz"):
        path = tmp_path / f"log.{ending}"
        path.write_bytes(bytes.fromhex("1f8b0800000000000003ffffffff"))  # a gzip head, then no deflate block
        with pytest.raises(LogError, match="Cannot read") as caught:
            read_logs(path)
        assert "\n" not in str(caught.value)
    pq.write_table(pa.table([["a"], ["t"], ["T"]], names=["item_id", "title", "Title"]), tmp_path / "a.parquet")
    with pytest.raises(LogError, match="names the column 'title' twice"):
        read_titles(tmp_path / "a.parquet")
    write_log(tmp_path / "b.parquet", {"item_id": ["a"], "title": ["t"], "file_row_number": [1]})
    with pytest.raises(LogError, match=r"'file_row_number'.*Rename it"):
        read_titles(tmp_path / "b.parquet")
