"""Logs added up on a cluster of two workers: all that is read is what one process reads."""

import logging
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from reward.arms import Arms
from reward.errors import LogError
from reward.logs import cluster
from reward.logs.cluster import LogCluster
from reward.logs.read import LogData, read_logs
from reward.logs.source import open_source

from ..log_fixtures import impressions_log, written

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    workers = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        dashboard_address=None,
        silence_logs=logging.ERROR,
        protocol="tcp",  # tasks and tables are sent as to other machines
        host="127.0.0.1",
    )
    with workers, distributed.Client(workers) as client:
        yield client


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries that went to the cluster."""
    queries: list[str] = []
    sums = LogCluster.partial_sums

    def noted(self: LogCluster, sql: str, *arguments: Any) -> Any:
        queries.append(sql)
        return sums(self, sql, *arguments)

    monkeypatch.setattr(LogCluster, "partial_sums", noted)
    return queries


def assert_same(found: LogData, wanted: LogData) -> None:
    """Equal to the last digit, but for what says where they come from."""
    for one, other in ((found, wanted), (found.arms, wanted.arms)):
        for field in fields(one):
            mine, its = getattr(one, field.name), getattr(other, field.name)
            if isinstance(mine, np.ndarray):
                np.testing.assert_array_equal(mine, its, err_msg=field.name)
            elif not isinstance(mine, Arms):
                assert repr(mine) == repr(its), field.name


def dated(seed: int) -> pd.DataFrame:
    """Titles that replace one another over ten days, of which each is clicked otherwise."""
    log = impressions_log(seed, n=8_000)
    rng = np.random.default_rng(seed)
    day = rng.integers(0, 10, len(log))
    late = log["title"].str.startswith(("Title 2", "Title 3"))
    day = np.where(late, day % 5 + 5, day % 7)
    log["click"] = rng.random(len(log)) < 0.15 + 0.02 * day
    log["conversions"], log["revenue"], log["conversion_delay_hours"] = 0, 0.0, np.nan
    return log.assign(timestamp=1.7e9 + 86_400.0 * day + rng.integers(0, 80_000, len(log)))


def unlike_places(seed: int) -> pd.DataFrame:
    """Titles that sit on unlike surfaces and propensities that differ between the rows of one arm."""
    log = impressions_log(seed, n=8_000).drop(columns=["timestamp", "position", "conversion_delay_hours"])
    rng = np.random.default_rng(seed)
    first = log["title"].str.startswith("Title 1")
    top = rng.random(len(log)) < np.where(first, 0.8, 0.3)
    log["surface"] = np.where(top, "top", "list")
    log["click"] = rng.random(len(log)) < np.where(top, 0.4, 0.1)
    log["conversions"], log["revenue"] = 0, 0.0
    return log.assign(propensity=np.where(rng.random(len(log)) < 0.5, 0.4, 0.2), seen_by=rng.integers(0, 99, len(log)))


def of_items(seed: int) -> pd.DataFrame:
    """Prices and pictures of the items, and titles that sit on unlike ones."""
    log = unlike_places(seed).drop(columns=["propensity"])
    item = np.unique(log["item_id"], return_inverse=True)[1]
    top = log["surface"] == "top"
    picture = [f"/{i}/{t:d}.jpg" for i, t in zip(item, top, strict=True)]
    return log.drop(columns=["surface"]).assign(price=1.3**item * np.where(top, 0.9, 1.0), picture=picture)


def aggregated(seed: int) -> pd.DataFrame:
    """Counts a day, with texts for numbers, blanks around titles, and ids that look like fractions."""
    rng = np.random.default_rng(seed)
    item, title, day = (part.ravel() for part in np.meshgrid(np.arange(40), np.arange(3), np.arange(6)))
    shown = rng.integers(0, 5_000, len(item))
    return pd.DataFrame(
        {
            "item_id": item + 0.0,
            "title": [f" Title {t} of {i}" for i, t in zip(item, title, strict=True)],
            "impressions": [f"{n:,}" for n in shown],
            "clicks": rng.binomial(shown, 0.05),
            "timestamp": pd.to_datetime(1.7e9 + 86_400 * day, unit="s"),
            "colour": np.where(rng.random(len(item)) < 0.1, "n/a", item % 5).astype(str),
        }
    )


LOGS = {"whole": lambda: impressions_log(5), "dated": lambda: dated(1), "places": lambda: unlike_places(2)}
LOGS |= {"of items": lambda: of_items(2), "aggregated": lambda: aggregated(3)}


@pytest.mark.parametrize(
    ("name", "form"),
    [("whole", "file"), ("dated", "folder"), ("places", "file"), ("of items", "folder"), ("aggregated", "folder")],
)
def test_the_same_to_the_last_count(name: str, form: str, tmp_path: Path, client: Any, sent: list[str]) -> None:
    log, folder = LOGS[name](), tmp_path / "logs"
    folder.mkdir()
    if form == "file":
        log.to_parquet(folder / "log.parquet", row_group_size=97)
        source = folder / "log.parquet"
    else:
        source = folder
        for i, end in enumerate(cuts := [0, 50, 51, len(log) // 2, len(log)]):
            if i:
                log.iloc[cuts[i - 1] : end].to_parquet(folder / f"it's {i}.parquet", row_group_size=97)
    wanted = read_logs(source, threads=1)
    assert_same(read_logs(source, threads=1, client=client), wanted)
    assert len(sent) >= 4  # the check, the arms and the items' fields at least
    assert {"dated": wanted.periods, "places": wanted.weighted}.get(name, "") is not None
    if name in ("places", "of items"):
        assert any(balance.adjusted for balance in wanted.balances)


def test_folders_that_count_as_columns_and_filters(tmp_path: Path, client: Any, sent: list[str]) -> None:
    log = impressions_log(4)
    for shop, part in log.groupby(log["item_id"].str[-1:]):
        (tmp_path / f"shop={shop}").mkdir()
        part.to_parquet(tmp_path / f"shop={shop}" / "part.parquet")
    options: dict[str, Any] = {"exclude": {"brand": "brand1"}, "conversion_window_hours": 4, "threads": 1}
    assert_same(read_logs(tmp_path, client=client, **options), read_logs(tmp_path, **options))
    assert sent


def test_partitions_hold_every_row_once_and_about_as_many(tmp_path: Path, client: Any) -> None:
    lengths = [1_000, 10, 2_500, 1, 700]
    for i, n in enumerate(lengths):
        impressions_log(i, n=n).to_parquet(tmp_path / f"{i}.parquet", row_group_size=64)
    with open_source(tmp_path) as source:
        found = LogCluster.of(client, source, "1GB")
    assert found is not None
    sizes = [sum(piece.end - piece.first for piece in part) for part in found.partitions]
    assert len(sizes) == 2
    assert max(sizes) - min(sizes) <= 2
    rows = [(p.path, row) for part in found.partitions for p in part for row in range(p.first, p.end)]
    assert len(set(rows)) == len(rows) == sum(pq.read_metadata(f).num_rows for f in tmp_path.iterdir())


def test_other_sources_are_read_by_this_process(tmp_path: Path, client: Any, sent: list[str]) -> None:
    log = impressions_log(3, n=1_000)
    for source in (written(log, tmp_path / "log.csv"), log):
        wanted, found = read_logs(source, threads=1), read_logs(source, threads=1, client=client)
        np.testing.assert_array_equal(found.arms.clicks, wanted.arms.clicks)
        assert "were added up by this process" in found.notes[-1]
    log["event_id"] = np.arange(len(log)) // 1.02  # some events are there twice
    log.to_parquet(tmp_path / "log.parquet")
    assert not sent
    assert_same(read_logs(tmp_path / "log.parquet", client=client), read_logs(tmp_path / "log.parquet"))


def test_unlike_columns_are_one_line(tmp_path: Path, client: Any) -> None:
    log = impressions_log(3, n=1_000).drop(columns="price")
    log.assign(shelf=7).to_parquet(tmp_path / "a.parquet")
    log.assign(shelf="x", seller="y").to_parquet(tmp_path / "b.parquet")
    read_logs(tmp_path)
    with pytest.raises(LogError, match=r"differ in the column '(shelf|seller)': .* --engine dask adds up files of the"):
        read_logs(tmp_path, client=client)


def test_a_worker_that_sees_other_files_is_one_line(
    tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    impressions_log(3, n=1_000).to_parquet(tmp_path / "a.parquet")
    piece = cluster.Piece
    monkeypatch.setattr(cluster, "Piece", lambda path, size, *rows: piece(path, size + 1, *rows))
    with pytest.raises(LogError, match=r"A worker of the Dask cluster does not see .*a\.parquet as this machine does"):
        read_logs(tmp_path, client=client)


def test_logs_without_rows_and_damaged_ones_say_what_one_process_says(tmp_path: Path, client: Any) -> None:
    empty = written(impressions_log(5, n=200).iloc[:0], tmp_path / "empty.parquet")
    messages = []
    for workers in (client, None):
        with pytest.raises(LogError) as told:
            read_logs(empty, client=workers)
        messages.append(str(told.value))
    assert messages[0] == messages[1]
    whole = written(impressions_log(5, n=200), tmp_path / "damaged.parquet").read_bytes()
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LogError, match=r"damaged\.parquet"):
        read_logs(damaged, client=client)
