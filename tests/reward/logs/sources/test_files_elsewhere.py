"""Workbooks, Delta tables and remote files give the arms of the same rows in a local file."""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest

from reward.errors import LogError
from reward.logs.read import read_items, read_logs
from reward.logs.sources.local import local

from ...log_fixtures import assert_same_arms, impressions_log, written

LOG = impressions_log(5, n=2_000)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read_logs(written(LOG, tmp_path_factory.mktemp("local") / "log.parquet"), threads=1).arms


def test_a_workbook(tmp_path: Path, wanted: Any) -> None:
    pytest.importorskip("python_calamine")
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Notes"])
    sheet = book.create_sheet("Clicks")
    sheet.append(["Report of March"])
    sheet.append(list(LOG.columns))
    for row in LOG.itertuples(index=False):
        sheet.append([None if value != value else getattr(value, "item", lambda value=value: value)() for value in row])
    book.save(tmp_path / "clicks.xlsx")
    found = read_logs(tmp_path / "clicks.xlsx", threads=1)
    assert_same_arms(found.arms, wanted)
    assert found.source == str(tmp_path / "clicks.xlsx")
    assert len(read_items(tmp_path / "clicks.xlsx")) == len(wanted.items)
    (tmp_path / "broken.xlsx").write_bytes((tmp_path / "clicks.xlsx").read_bytes()[:3_000])
    with pytest.raises(LogError, match=r"Cannot read .*broken\.xlsx: it is damaged, or no workbook"):
        read_logs(tmp_path / "broken.xlsx")


@pytest.mark.parametrize("first", ["Key", None])
def test_sheets_of_one_table_are_read_together(tmp_path: Path, first: str | None) -> None:
    """A sheet a month, below another one of notes: what is read and what is not is said."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    if first:
        book.active.append([first, "Value"])
        book.active.append(["Owner", "Ann"])
    else:
        book.remove(book.active)
    for month, clicks in (("May", 3), ("June", "4")):
        sheet = book.create_sheet(month)
        for row in (
            ["item_id", "title", "impressions", "clicks"],
            [12, f"Red {month}", 100, clicks],
            [12, "Blue", 50, 1],
        ):
            sheet.append(row)
    book.save(tmp_path / "clicks.xlsx")
    logs = read_logs(tmp_path / "clicks.xlsx", threads=1)
    assert (logs.totals.rows, logs.totals.impressions, logs.totals.clicks) == (4, 300, 9)
    (note,) = logs.notes
    assert "sheets 'May', 'June' have the same columns and are read as one table" in note
    assert note.endswith(", not 'Sheet'." if first else "table.")


def test_sheets_in_any_order_and_case_are_one_table_and_hidden_ones_are_none(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    heads = {
        "May": ["item_id", "title", "impressions", "clicks"],
        "June": ["Title", "ITEM_ID", "Clicks", "Impressions"],
        "July": ["item_id", "title", "impressions", "clicks", "note"],
        "By item": ["item_id", "impressions", "clicks"],
        "Old": ["item_id", "title", "impressions", "clicks"],
    }
    for name, head in heads.items():
        sheet = book.create_sheet(name)
        sheet.append(head)
        for title, clicks in ((f"Red {name}", 3), ("Blue", 1)):
            row = {"item_id": 12, "title": title, "impressions": 100, "clicks": clicks, "note": "x"}
            sheet.append([row[column.lower()] for column in head])
    book["Old"].sheet_state = "hidden"
    book.remove(book["Sheet"])
    book.save(tmp_path / "clicks.xlsx")
    logs = read_logs(tmp_path / "clicks.xlsx", threads=1)
    assert (logs.totals.rows, logs.totals.impressions, logs.totals.clicks) == (6, 600, 12)
    assert logs.notes[0].endswith(
        "sheets 'May', 'June', 'July' have the same columns and are read as one table, not 'By item', 'Old'."
    )


def test_a_delta_table_has_its_present_rows(tmp_path: Path, wanted: Any) -> None:
    deltalake = pytest.importorskip("deltalake")
    folder = str(tmp_path / "table")
    deltalake.write_deltalake(folder, LOG.assign(clicks=0).drop(columns="clicks"))
    deltalake.write_deltalake(folder, LOG.assign(item_id="old"), mode="append")
    deltalake.DeltaTable(folder).delete("item_id = 'old'")
    assert_same_arms(read_logs(folder, threads=1).arms, wanted)


def test_files_of_a_remote_folder_or_pattern(tmp_path: Path, wanted: Any) -> None:
    system = fsspec.filesystem("memory")
    half = len(LOG) // 2
    for name, part in (("day=1/a.parquet", LOG[:half]), ("day=2/b.parquet", LOG[half:])):
        with system.open(f"/shop/{name}", "wb") as out:
            part.to_parquet(out)
    system.pipe("/shop/_SUCCESS", b"")
    try:
        for url in ("memory://shop", "memory://shop/*/*.parquet"):
            found = read_logs(url, threads=1)
            assert found.source == url
            assert found.totals.rows == len(LOG)
            assert found.arms.clicks.tolist() == wanted.clicks.tolist()
        assert "day" in read_logs("memory://shop", threads=1).dropped_columns
        with pytest.raises(LogError, match=r"Cannot read memory://nowhere/x\.parquet: no such file"):
            read_logs("memory://nowhere/x.parquet")
        with pytest.raises(LogError, match="no parquet, CSV or JSON lines file is there"):
            read_logs("memory://shop/*.csv")
    finally:
        system.rm("/shop", recursive=True)


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(LogError, match="protocol that is not known"):
        read_logs("s5://bucket/logs.parquet")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_file_on_the_web(ending: str, tmp_path: Path, web: str, wanted: Any) -> None:
    pytest.importorskip("aiohttp")
    written(LOG, tmp_path / f"log.{ending}")
    found = read_logs(f"{web}/log.{ending}?signature=secret", threads=1)
    assert found.source == f"{web}/log.{ending}"
    assert found.arms.clicks.tolist() == wanted.clicks.tolist()
    with pytest.raises(LogError, match=r"Cannot read http://.*/none\.csv: no such file") as told:
        read_logs(f"{web}/none.csv?signature=secret")
    assert "secret" not in str(told.value)
    LOG.assign(propensity=2.0).to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(LogError, match=rf"row 1 of {web}/bad\.csv"):
        read_logs(f"{web}/bad.csv")


def test_local_paths_stay_what_they_are(tmp_path: Path) -> None:
    path = written(LOG, tmp_path / "log.parquet")
    for source in (path, str(path), tmp_path, str(tmp_path / "*.parquet"), "nowhere.xlsx"):
        with local(source) as here:
            assert here is source


def test_a_frame_with_a_period_is_refused_or_read_whole() -> None:
    log = LOG.assign(month=pd.period_range("2026-01", periods=len(LOG), freq="D"))
    assert read_logs(log, threads=1).totals.rows == len(LOG)
