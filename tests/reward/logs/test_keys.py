"""Ids that mean the same are the same, whatever type and file holds them."""

from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reward.errors import LogError
from reward.logs.catalogue import read_items, read_titles
from reward.logs.read import read_arms
from reward.logs.schema import ColumnMapping

from ..log_fixtures import write_log

SPELLINGS = {
    "int": lambda ids: pa.array(ids, pa.int64()),
    "unsigned": lambda ids: pa.array(ids, pa.uint64()),
    "double": lambda ids: pa.array(ids, pa.float64()),
    "decimal": lambda ids: pa.array([Decimal(i) for i in ids], pa.decimal128(38, 0)),
    "decimal2": lambda ids: pa.array([Decimal(i) for i in ids], pa.decimal128(38, 2)),
    "text": lambda ids: pa.array([str(i) for i in ids]),
    "fraction": lambda ids: pa.array([f"{i}.0" for i in ids]),
    "padded": lambda ids: pa.array([f"{i}".ljust(18) for i in ids]),
    "some": lambda ids: pa.array([f"{i}.00" if n % 2 == 0 else str(i) for n, i in enumerate(ids)]),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.lists(st.integers(0, 2**53 - 1), min_size=2, max_size=6, unique=True),
    spelling=st.sampled_from(sorted(SPELLINGS)),
    ending=st.sampled_from(["parquet", "csv"]),
)
def test_any_spelling_gives_the_same_ids(tmp_path: Path, ids: list[int], spelling: str, ending: str) -> None:
    table = pa.table({"item_id": SPELLINGS[spelling](ids), "title": [f"title {i}" for i in ids]})
    path = tmp_path / f"file.{ending}"
    # pandas writes floats as 1042.0 and long ones with an exponent
    table.to_pandas().to_csv(path, index=False) if ending == "csv" else write_log(path, table.to_pydict())
    expected = [str(i) for i in ids]
    if ending == "csv" and spelling == "double" and max(ids) >= 10**15:
        return  # pandas writes what is no double's shortest text any more
    items, _, _ = read_titles(path)
    assert [item.item_id for item in items] == expected
    assert [item.item_id for item in read_items(path)] == expected


def test_leading_zeros_stay_and_blanks_go(tmp_path: Path) -> None:
    log = {"item_id": ["0012 ", "0012\u200b", "12", "007.10"], "title": ["a", "a", "b", "c"], "clicks": [1, 1, 0, 0]}
    arms = read_arms(write_log(tmp_path / "log.parquet", log))
    assert [item.item_id for item in arms.items] == ["0012", "007.10", "12"]
    assert arms.impressions.tolist() == [2, 1, 1]


def test_parts_of_joined_ids_are_spelt_alike(tmp_path: Path) -> None:
    log = pd.DataFrame({"a": [1.0, 2.0], "b": ["x ", "y"], "title": ["s", "t"], "clicks": [0, 1]})
    log.to_parquet(tmp_path / "log.parquet")
    arms = read_arms(tmp_path / "log.parquet", columns=ColumnMapping({"item_id": "a+b"}))
    assert [item.item_id for item in arms.items] == ["1+x", "2+y"]


@pytest.mark.parametrize(
    ("ids", "message"),
    [([2.0**53, 1.0], "have all its digits"), (["1.2E+15", "2"], "rounded"), (["1,2E+15", "2"], "rounded")],
)
def test_ids_that_lost_digits_are_refused(tmp_path: Path, ids: list[object], message: str) -> None:
    with pytest.raises(LogError, match=message):
        read_arms(write_log(tmp_path / "log.parquet", {"item_id": ids, "title": ["a", "b"], "clicks": [0, 1]}))


def test_ids_kept_from_a_spreadsheet_are_those_in_the_quotes(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text('item_id,brand\n="0012",="A"\n"=""0013""",x\n', encoding="utf-8")
    assert [(item.item_id, item.fields["brand"]) for item in read_items(path)] == [("0012", ("A",)), ("0013", ("x",))]
