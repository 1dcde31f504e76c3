"""CSV that spreadsheets open: no cell is a formula, Chinese stays Chinese, and what is read is what was written."""

import csv
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward.logs.catalogue import read_items
from reward.spreadsheets import freed, guarded
from rlopt.csv_files import csv_style, freed_table, write_csv

CELLS = [
    "=HYPERLINK(\"http://x\",\"y\")", "+1", "-5%", "@SUM(A1)", "\tx", "\rx", "'=1", "''-1", "'quoted'", "plain",
    "红色连衣裙",
]  # fmt: skip
TABLE = pa.table({"item_id": CELLS, "=title": CELLS, "reward": [-0.5] * len(CELLS)})


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


@given(st.text())
def test_reading_takes_off_just_what_writing_put_there(cell: str) -> None:
    assert freed(guarded(cell)) == cell
    assert not guarded(cell).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_no_cell_and_no_name_is_a_formula(tmp_path: Path) -> None:
    write_csv([TABLE], TABLE.schema, tmp_path / "a.csv")
    header, *found = rows(tmp_path / "a.csv")
    assert header == ["item_id", "'=title", "reward"]
    assert [row[0] for row in found] == [guarded(cell) for cell in CELLS]  # the engine's pattern is Python's
    assert {row[2] for row in found} == {"-0.5"}  # numbers stay numbers
    assert not (tmp_path / "a.csv").read_bytes().startswith(b"\xef\xbb\xbf")


def test_excel_and_raw_are_asked_for(tmp_path: Path) -> None:
    with csv_style(excel=True, raw=True):
        write_csv([TABLE, TABLE], TABLE.schema, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    header, *found = rows(tmp_path / "a.csv")
    assert header == TABLE.column_names
    assert [row[0] for row in found] == CELLS * 2


def test_what_is_read_back_is_what_was_written(tmp_path: Path) -> None:
    import pyarrow.csv as pa_csv

    lines = pa_csv.ParseOptions(newlines_in_values=True)
    for excel in (False, True):
        with csv_style(excel=excel):
            write_csv([TABLE], TABLE.schema, tmp_path / "a.csv")
        assert freed_table(pa_csv.read_csv(tmp_path / "a.csv", parse_options=lines)).equals(TABLE)


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_the_log_engine_frees_cells_and_names(tmp_path: Path, ending: str) -> None:
    between = "," if ending == "csv" else "\t"
    plain = [cell for cell in CELLS if not set('\t\r,"') & set(cell)]
    lines = [between.join(("item_id", "title", "'=note"))]
    lines += [between.join((guarded(cell), "Red", guarded(cell))) for cell in plain]
    file = tmp_path / f"a.{ending}"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    items = list(read_items(str(file), {}, ()))
    assert [item.item_id for item in items] == plain
    assert [item.fields["=note"] for item in items] == [(cell,) for cell in plain]
