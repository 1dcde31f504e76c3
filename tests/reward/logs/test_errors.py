"""Bad logs: each gives one clear line that names the rule, the value, the place and the way out."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reward.errors import LogError
from reward.logs.read import read_items, read_logs, read_titles

from ..log_fixtures import mapped, read_csv_text, write_log

HEAD = "item_id,title,clicks,impressions,conversions,revenue,propensity,position,timestamp,conversion_delay_hours\n"
GOOD = "1,a,1,2,0,0,0.5,1,2024-01-01,\n"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "1,b,3,2,0,0,1,1,0,",
            r"clicks must not exceed the row's impressions. Got '3 clicks and 2 impressions' in row 2",
        ),
        ("1,b,-1,2,0,0,1,1,0,", r"clicks must be a whole number from 0.*Got '-1' in row 2 of .*logs.csv"),
        ("1,b,nan,2,0,0,1,1,0,", r"clicks must be a whole number.*Got 'nan'"),
        ("1,b,0.5,2,0,0,1,1,0,", r"clicks must be a whole number.*Got '0.5'"),
        ("1,b,many,2,0,0,1,1,0,", r"clicks must be a whole number.*Got 'many'"),
        ("1,b,,2,0,0,1,1,0,", r"clicks must be a whole number.*Got no value"),
        ("1,b,0,-2,0,0,1,1,0,", r"impressions must be a whole number.*Got '-2'"),
        ("1,b,0,inf,0,0,1,1,0,", r"impressions must be a whole number.*Got 'inf'"),
        ("1,b,0,1e13,0,0,1,1,0,", r"impressions must be a whole number from 0 to 1,000,000,000,000. Got '1e13'"),
        ("1,b,1,2,2,0,1,1,0,", r"conversions must not exceed the row's clicks.*'2 conversions and 1 clicks'"),
        ("1,b,1,2,x,0,1,1,0,", r"conversions must be a whole number.*Got 'x'"),
        ("1,b,1,2,1,inf,1,1,0,", r"revenue must be a finite number. Got 'inf'"),
        ("1,b,1,2,1,0,0,1,0,", r"propensity must be in \(0, 1\].*Got '0'"),
        ("1,b,1,2,1,0,1.7,1,0,", r"propensity must be in \(0, 1\].*Got '1.7' in row 2"),
        ("1,b,1,2,1,0,nan,1,0,", r"propensity must be in"),
        ("1,b,1,2,1,0,x,1,0,", r"propensity must be in.*Got 'x'"),
        ("1,b,1,2,1,0,1,-1,0,", r"position must be a number.*Got '-1'"),
        ("1,b,1,2,1,0,1,top,0,", r"position must be a number.*Got 'top'"),
        ("1,b,1,2,1,0,1,1,yesterday,", r"timestamp must be a time.*written as an ISO date.*Got 'yesterday'"),
        ("1,b,1,2,1,0,1,1,0,-3", r"conversion_delay_hours must be hours.*Got '-3'"),
        (",b,1,2,1,0,1,1,0,", r"item_id must not be empty. Got no value in row 2"),
        ("1,,1,2,1,0,1,1,0,", r"title must not be empty. Got no value in row 2"),
        ("1, \u3000,1,2,1,0,1,1,0,", r"title must not be empty"),
        (f"1,{'长' * 10_000},1,2,1,0,1,1,0,", r"title must have at most 5,000 characters. Got 10,000 characters"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_wrong_values_are_named_with_their_row(tmp_path: Path, row: str, message: str, kind: str) -> None:
    path = tmp_path / "logs.csv"
    path.write_text(HEAD + GOOD + row + "\n", encoding="utf-8")
    if kind == "parquet":
        values = [line.split(",") for line in (GOOD.strip(), row)]
        columns = {name: [v[i] or None for v in values] for i, name in enumerate(HEAD.strip().split(","))}
        path = write_log(tmp_path / "logs.parquet", columns)
        message = message.replace("logs.csv", "logs.parquet")
    with pytest.raises(LogError, match=message) as caught:
        read_logs(path)
    assert "\n" not in str(caught.value)


def test_unmapped_impressions_are_named(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"--columns impressions=views names one\). Got '2 clicks and 1 impressions'"):
        read_csv_text(tmp_path, "item_id,title,clicks,views\n1,a,2,100\n1,b,3,100\n")


def test_ragged_csv_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "logs.csv"
    path.write_text(HEAD + GOOD + "1,b\n", encoding="utf-8")
    with pytest.raises(LogError, match=r"Cannot read .*logs.csv.*line 3 has 2 columns") as caught:
        read_logs(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "column", ["clicks", "impressions", "conversions", "revenue", "propensity", "position", "timestamp"]
)
@pytest.mark.parametrize("value", [math.nan, math.inf, -1e300])
def test_nan_in_float_columns_is_seen(tmp_path: Path, column: str, value: float) -> None:
    """Statistics in parquet files leave NaN out; a check that trusts them would not see it."""
    columns = {"item_id": ["1"] * 60, "title": ["a"] * 60, "clicks": [1.0] * 60, "impressions": [2.0] * 60}
    usual = 1.7e9 if column == "timestamp" else 1.0
    columns |= {column: [usual] * 59 + [value], "price": [5.0] * 59 + [math.nan]}
    path = write_log(tmp_path / "log.parquet", columns)
    with pytest.raises(LogError, match=rf"{column} .*row 60 of"):
        read_logs(path)


def test_nan_in_context_is_no_value(tmp_path: Path) -> None:
    columns = {"item_id": ["1"] * 5 + ["2"], "title": ["a"] * 6, "clicks": [1] * 6}
    path = write_log(tmp_path / "log.parquet", {**columns, "price": [math.nan] * 4 + [5.0, math.nan]})
    assert [dict(item.fields) for item in read_items(path)] == [{"price": ("5",)}, {}]
    assert [dict(item.fields) for item in read_logs(path).arms.items] == [{"price": ("5",)}, {}]


def test_the_number_of_wrong_rows_and_the_users_column_are_told(tmp_path: Path) -> None:
    columns = {"sku": ["a"] * 5, "name": ["x"] * 5, "n": [9, 9, 9, 1, 1], "seen": [10, 3, 10, 0, 0]}
    path = write_log(tmp_path / "b.parquet", columns)
    with pytest.raises(
        LogError, match=r"clicks \(column 'n'\).*row 2 of .*b.parquet\. 3 rows are wrong.*clicks=COLUMN"
    ):
        read_logs(path, columns=mapped("item_id=sku,title=name,clicks=n,impressions=seen"))


def test_the_file_of_a_wrong_value_is_told(tmp_path: Path) -> None:
    for i, clicks in enumerate((0, 0, 7)):
        (tmp_path / f"part{i}.csv").write_text(f"item_id,title,clicks\n1,a,0\n1,a,{clicks}\n")
    with pytest.raises(LogError, match=r"row 2 of .*part2\.csv"):
        read_logs(tmp_path)


def test_unreadable_sources(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "a.csv").write_text("item_id,title,clicks\n")
    write_log(tmp_path / "mixed" / "b.parquet", {"item_id": ["1"], "title": ["a"], "clicks": [0]})
    cases: list[tuple[str, bytes | None, str]] = [
        ("missing.parquet", None, "no such file or folder"),
        ("*.nothing", None, "no file matches this pattern"),
        ("folder", None, "no .parquet, .csv or .jsonl file in this folder"),
        ("mixed", None, "holds CSV and parquet files"),
        ("empty.csv", b"", r"is empty \(0 bytes\)"),
        ("empty.parquet", b"", r"is empty \(0 bytes\)"),
        ("rows.csv", b"item_id,title,clicks\n", "has no rows"),
        ("latin.csv", "item_id,title,clicks\n1,caf\u00e9,1\n".encode("latin-1"), "not UTF-8 text.*iconv -f cp1252"),
        (
            "damaged.jsonl",
            b'{"item_id": "a", "title": "t", "clicks": 1}\n{"item_id": oops',
            "not JSON throughout, .* near",
        ),
        ("comma.json", b'[{"item_id": "a", "title": "t", "clicks": 1},\n]', "not JSON throughout, .* near"),
        ("other.jsonl", b'[1, 2]\n"x"\n', "not JSON throughout, .* near"),
        ("koeln.csv", "item_id,title,clicks\n1,K\u00f6ln,1\n".encode("latin-1"), "cp1252: '1,K\u00f6ln,1'"),
        ("gbk.csv", "item_id,title,clicks\n1,红色连衣裙,1\n".encode("gbk"), "not UTF-8 text.*iconv -f gb18030"),
        ("head.csv", "item_id,title\u00e9,clicks\n".encode("latin-1"), "not UTF-8"),
        ("long.csv", b"item_id,title,clicks\n1," + b"x" * (3 << 20) + b",1\n", "line 2 is longer than 2 MB"),
        ("twice.csv", b"item_id,title,title\n1,a,1\n", "'title' twice"),
        ("blank.csv", b"\n1,a,1\n", "has no header line"),
        ("broken.parquet", b"PAR1 and then nothing", "Cannot read .*broken.parquet"),
        ("text.parquet", b"item_id,title", "damaged or no parquet"),
        ("logs.xlsx", b"PK\x03\x04", "damaged, or no workbook"),
        ("logs.docx", b"PK\x03\x04", "neither parquet, CSV nor JSON lines"),
        ("logs.csv.gz", b"no gzip", "Cannot read .*logs.csv.gz"),
    ]
    for name, content, message in cases:
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(LogError, match=message) as caught:
            read_logs(tmp_path / name)
        assert "\n" not in str(caught.value), name


def test_cut_and_overwritten_parquet_gives_one_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    titles = [f"title {i}" for i in rng.integers(0, 10**9, 5_000)]
    path = write_log(tmp_path / "a.parquet", {"item_id": titles, "title": titles, "clicks": [0] * 5_000})
    whole = path.read_bytes()
    foot = int.from_bytes(whole[-8:-4], "little")
    for name, content in (
        ("cut", whole[: len(whole) // 2]),
        ("zeros", whole[:1_000] + bytes(20_000) + whole[21_000:]),
        ("foot", whole[: -8 - foot] + bytes(foot) + whole[-8:]),
    ):
        damaged = tmp_path / f"{name}.parquet"
        damaged.write_bytes(content)
        with pytest.raises(LogError, match=rf"{name}\.parquet") as caught:
            read_logs(damaged)
        assert "\n" not in str(caught.value)


def test_invalid_utf8_inside_parquet_is_told(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], "i4")), pa.py_buffer(b"\xff\xfe")])
    table = pa.table({"item_id": pa.array(["1"]), "title": bad, "clicks": pa.array([0])})
    pq.write_table(table, tmp_path / "bad.parquet")
    with pytest.raises(LogError, match="not UTF-8"):
        read_logs(tmp_path / "bad.parquet")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"item_id": [["x"]], "title": ["a"], "clicks": [0]},
            r"\(item_id\) must hold text or numbers. Got type VARCHAR",
        ),
        ({"item_id": ["x"], "title": [{"a": 1}], "clicks": [0]}, r"\(title\) must hold text"),
        ({"item_id": ["x"], "title": ["a"], "clicks": [[1]]}, r"\(clicks\) must hold numbers"),
        (
            {"item_id": ["x"], "title": ["a"], "clicks": np.array(["2024-01-01"], dtype="datetime64[ms]")},
            r"\(clicks\) must hold numbers. Got type TIMESTAMP",
        ),
        ({"item_id": ["x"], "title": ["a"], "clicks": [0], "timestamp": [True]}, r"\(timestamp\) must hold dates"),
        ({"item_id": ["x"], "title": ["a"], "clicks": [0], "impressions": [0]}, "has no impressions"),
    ],
)
def test_wrong_types(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(LogError, match=message):
        read_logs(write_log(tmp_path / "log.parquet", columns))


def test_options_are_checked(tmp_path: Path) -> None:
    path = write_log(tmp_path / "log.parquet", {"item_id": ["1"], "title": ["a"], "clicks": [0]})
    with pytest.raises(LogError, match="exclude names the column 'flag'"):
        read_logs(path, exclude={"flag": True})
    with pytest.raises(LogError, match="left out by exclude"):
        read_logs(path, exclude={"title": "a"})
    with pytest.raises(LogError, match="conversion_window_hours must be positive"):
        read_logs(path, conversion_window_hours=0)
    with pytest.raises(LogError, match="temporary folder in /nonexistent"):
        read_logs(path, tmp_dir="/nonexistent")
    with pytest.raises(LogError, match="memory_limit"):
        read_logs(path, memory_limit="a lot")


def test_too_little_memory_is_one_line(tmp_path: Path) -> None:
    n = 200_000
    titles = [f"title {i} " + "x" * 50 for i in range(n)]
    path = write_log(tmp_path / "log.parquet", {"item_id": titles, "title": titles, "clicks": [0] * n})
    with pytest.raises(LogError, match="does not fit") as caught:
        read_logs(path, memory_limit="1MB", threads=1)
    assert "\n" not in str(caught.value)


def test_catalogue_and_titles_need_their_columns(tmp_path: Path) -> None:
    path = write_log(tmp_path / "items.parquet", {"sku": ["1"], "title": ["a"]})
    with pytest.raises(LogError, match=r"no column 'item_id'.*--columns item_id=sku"):
        read_items(path)
    with pytest.raises(LogError, match="no column 'item_id'"):
        read_titles(path)
    path = write_log(tmp_path / "t.parquet", {"item_id": ["1", "2"], "title": ["a", "x" * 10_000]})
    with pytest.raises(LogError, match=r"title must have at most 5,000 characters. Got 10,000 characters.*row 2"):
        read_titles(path)
    path = write_log(tmp_path / "n.parquet", {"item_id": ["1", None], "title": ["a", "b"]})
    with pytest.raises(LogError, match=r"item_id must not be empty. Got no value in row 2"):
        read_items(path)
