"""Folders of files that differ: names in other case, columns that some lack, folders that name a column's value."""

from pathlib import Path

import pandas as pd
import pytest

from reward.errors import LogError
from reward.logs.read import read_items, read_logs, read_titles

DAYS = ("2026-03-01", "2026-03-02", "2026-03-03")


def a_day(number: int) -> pd.DataFrame:
    """Counts of four titles on a day."""
    rows = [(item, f"{kind} {item}", 100 + 7 * number, 3 + number) for item in (1, 2) for kind in ("Red", "Blue")]
    return pd.DataFrame(rows, columns=["item_id", "title", "impressions", "clicks"])


def written(frame: pd.DataFrame, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=True)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("inside", ["day={day}", "shop=O'Neil [{n}]/day={day}"])
def test_folders_of_every_kind_of_file_name_columns(tmp_path: Path, kind: str, inside: str) -> None:
    for n, day in enumerate(DAYS):
        written(a_day(n), tmp_path / inside.format(day=day, n=n), f"part.{kind}")
    for source in (tmp_path, f"{tmp_path}/*=*/**/*.{kind}"):
        from_folder = read_logs(source, columns=None)
        assert "day" in from_folder.dropped_columns or "day" in from_folder.context_columns
    for n, day in enumerate(DAYS):
        (tmp_path / inside.format(day=day, n=n) / f"part.{kind}").unlink()
        written(a_day(n), tmp_path / inside.replace("day=", "timestamp=").format(day=day, n=n), f"part.{kind}")
    totals = read_logs(tmp_path).totals
    assert (totals.impressions, totals.clicks) == (4 * (100 + 107 + 114), 4 * (3 + 4 + 5))
    first, last = (pd.Timestamp(day).timestamp() for day in (DAYS[0], DAYS[-1]))
    assert (totals.first_timestamp, totals.last_timestamp) == (first, last)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_names_in_other_case_are_one_column(tmp_path: Path, kind: str) -> None:
    for n in range(len(DAYS)):
        names = str.upper if n % 2 else str.lower
        written(a_day(n).assign(colour="red").rename(columns=names), tmp_path, f"{n}.{kind}")
    logs = read_logs(tmp_path)
    assert (logs.totals.rows, logs.context_columns) == (12, ("colour",))
    items, titles, table = read_titles(tmp_path, skip_untitled=True)
    assert {item.fields["colour"] for item in items} == {("red",)}
    assert titles == table["title"].to_pylist() == [title for n in range(3) for title in a_day(n)["title"]]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_file_may_lack_a_column_that_others_have(tmp_path: Path, kind: str) -> None:
    written(a_day(0).assign(colour="red"), tmp_path, f"0.{kind}")
    written(a_day(1), tmp_path, f"1.{kind}")
    items, titles, _ = read_titles(tmp_path)
    assert len(titles) == 8
    assert [item.fields for item in items] == [{"colour": ("red",)}] * 4 + [{}] * 4
    assert [item.fields for item in read_items(tmp_path)] == [{"colour": ("red",)}] * 2


def test_a_lock_of_a_spreadsheet_is_no_file_of_the_folder(tmp_path: Path) -> None:
    written(a_day(0), tmp_path, "0.csv")
    (tmp_path / "~$0.csv").write_bytes(b"\x03Ann")
    assert read_logs(tmp_path).totals.rows == 4
    (tmp_path / "note.csv").write_text("a note\n", encoding="utf-8")  # no rows, and none of the columns
    assert read_logs(tmp_path).totals.rows == 4


def test_types_that_no_column_has_at_once_are_named_with_the_file(tmp_path: Path) -> None:
    written(a_day(0).assign(timestamp=pd.Timestamp("2026-03-01")), tmp_path, "0.parquet")
    written(a_day(1).assign(timestamp=1_772_323_200), tmp_path, "1.parquet")
    said = r"the column 'timestamp' is BIGINT in .*1\.parquet, and TIMESTAMP in other files. Write it as one type"
    with pytest.raises(LogError, match=said):
        read_logs(tmp_path)
