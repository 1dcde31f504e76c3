"""Tables in memory give the arms of the same rows in a file, and one fingerprint for one content."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from reward.errors import LogError
from reward.logs.read import read_items, read_logs, read_titles
from reward.logs.sources.local import LocalCopy, local

from ...log_fixtures import assert_same_arms, impressions_log, written

LOG = impressions_log(7)


def polars_frame(log: pd.DataFrame) -> Any:
    return pytest.importorskip("polars").from_pandas(log)


def polars_categories(log: pd.DataFrame) -> Any:
    polars = pytest.importorskip("polars")
    return polars.from_pandas(log).with_columns(polars.col("brand", "title").cast(polars.Categorical))


KINDS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda log: log,
    "pandas with an index": lambda log: log.set_index("item_id"),
    "pandas with categories": lambda log: log.astype({"brand": "category", "title": "category"}),
    "pandas with categories of intervals": lambda log: log.assign(band=pd.cut(pd.Series(range(len(log))), 3)),
    "polars": polars_frame,
    "polars with categories": polars_categories,
    "an Arrow table": pa.Table.from_pandas,
    "an Arrow stream": lambda log: pa.RecordBatchReader.from_batches(
        pa.Table.from_pandas(log).schema, pa.Table.from_pandas(log).to_batches(max_chunksize=700)
    ),
    "datasets": datasets.Dataset.from_pandas,
    "datasets, reordered": lambda log: datasets.Dataset.from_pandas(log).shuffle(seed=3),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_in_memory_gives_the_arms_of_a_file(kind: str, tmp_path: Path) -> None:
    wanted = read_logs(written(LOG, tmp_path / "log.parquet"), threads=1)
    found = read_logs(KINDS[kind](LOG), threads=1)
    assert_same_arms(found.arms, wanted.arms)
    assert found.totals == wanted.totals
    assert found.source.startswith("the ")


def test_items_and_titles_too(tmp_path: Path) -> None:
    path = written(LOG, tmp_path / "log.parquet")
    assert read_items(LOG) == read_items(path)
    assert read_titles(LOG)[:2] == read_titles(path)[:2]


@pytest.mark.parametrize("kind", ["pandas", "polars", "an Arrow table", "an Arrow stream", "datasets"])
def test_chunks_do_not_change_the_copy(kind: str) -> None:
    copies = []
    for table in (KINDS[kind](LOG), KINDS[kind](LOG.copy()), KINDS[kind](LOG.iloc[::-1])):
        with local(table) as here:
            assert isinstance(here, LocalCopy)
            copies.append(here.path.read_bytes())
        assert not here.path.exists()
    assert copies[0] == copies[1] != copies[2]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (3, r"cannot be read from the builtins\.int"),
        (
            pd.DataFrame({"item_id": ["a", 1], "title": ["b", b"c"]}),
            r"Cannot read the pandas\.DataFrame: its column 'item_id'",
        ),
        (pa.table([["a"], ["b"]], names=["title", "Title"]), "names the column 'Title' twice|'title' twice"),
        (pd.DataFrame(), "has no columns"),
    ],
)
def test_what_is_no_table_is_refused_in_a_line(table: Any, said: str) -> None:
    with pytest.raises(LogError, match=said):
        read_logs(table)


def test_a_query_that_has_not_run_yet_is_told_so() -> None:
    with pytest.raises(LogError, match=r"polars\.LazyFrame is a query .*\.collect\(\)"):
        read_logs(polars_frame(LOG).lazy())


def test_a_wrong_value_is_named_with_its_row() -> None:
    log = LOG.copy()
    log.loc[4, "propensity"] = 1.5
    with pytest.raises(LogError, match=r"propensity must be in \(0, 1\].*Got '1\.5' in row 5 of the pandas\.DataFrame"):
        read_logs(log)


def test_types_that_parquet_does_not_have_are_read_as_texts() -> None:
    table = pa.table(
        {
            "item_id": ["a", "a"],
            "title": pc.run_end_encode(pa.array(["s", "t"])),
            "clicks": [0, 1],
            "since": pa.array([(0, 1, 0), (0, 1, 0)], pa.month_day_nano_interval()),
        }
    )
    (item,) = read_logs(table, threads=1).arms.items
    assert "days=1" in item.fields["since"][0]
