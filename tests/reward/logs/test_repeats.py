"""Rows that a log counts twice are found, with how much they would add; repetitions by chance are not."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reward.errors import LogError
from reward.logs.read import read_logs

from ..log_fixtures import impressions_log


def daily(seed: int, days: int = 3, items: int = 20, titles: int = 3) -> list[pd.DataFrame]:
    """Reports of a few days with counts of every title."""
    rng = np.random.default_rng(seed)
    out = []
    for day in range(1, days + 1):
        shown = rng.poisson(500, items * titles)
        out.append(
            pd.DataFrame(
                {
                    "date": f"2026-05-{day:02d}",
                    "item_id": np.repeat([f"p{i}" for i in range(items)], titles),
                    "title": [f"title {t} of {i}" for i in range(items) for t in range(titles)],
                    "impressions": shown,
                    "clicks": rng.binomial(shown, 0.04),
                }
            )
        )
    return out


def write(folder: Path, reports: list[pd.DataFrame]) -> Path:
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for number, report in enumerate(reports):
        report.to_csv(folder / f"report-{number}.csv", index=False)
    return folder


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6), kind=st.sampled_from(["clean", "file", "overlap", "rows", "total", "totals", "titles"])
)
def test_what_counts_twice_is_told_with_what_it_adds(tmp_path: Path, seed: int, kind: str) -> None:
    reports = daily(seed)
    rng = np.random.default_rng(seed)
    more = reports[int(rng.integers(3))]
    if kind == "file":
        reports.append(more)
    elif kind == "overlap":
        reports = [pd.concat(reports[:2]), pd.concat(reports[1:])]
        more = daily(seed)[1]
    elif kind == "rows":
        more = reports[0].sample(20, random_state=seed)
        reports[0] = pd.concat([reports[0], more]).sample(frac=1, random_state=seed)
    elif kind == "total":
        whole = pd.concat(reports)
        more = pd.DataFrame([{"item_id": "Total", "title": "--", **whole[["impressions", "clicks"]].sum()}])
        reports = [pd.concat([more, whole])]
    elif kind == "totals":
        more = pd.DataFrame([r[["impressions", "clicks"]].sum() for r in reports]).assign(item_id="Total", title=None)
        reports = [pd.concat([r, more[i : i + 1]]) for i, r in enumerate(reports)]
        more = more[:1]
    elif kind == "titles":
        whole = pd.concat(reports)
        more = whole.groupby("item_id")[["impressions", "clicks"]].sum().reset_index().assign(title="(all)")
        reports = [pd.concat([whole, more])]
    folder = write(tmp_path / "logs", reports)
    if kind == "clean":
        assert read_logs(folder, threads=1).totals.impressions == pd.concat(reports)["impressions"].sum()
        return
    with pytest.raises(LogError, match="a second time") as caught:
        read_logs(folder, threads=1)
    told = re.search(r"add ([\d,]+) impressions and ([\d,]+) clicks", str(caught.value))
    assert told is not None
    assert [int(n.replace(",", "")) for n in told.groups()] == [more["impressions"].sum(), more["clicks"].sum()]


def test_kept_copies_count(tmp_path: Path) -> None:
    reports = daily(1)
    logs = read_logs(write(tmp_path / "logs", [*reports, reports[0]]), copies="keep", threads=1)
    assert logs.totals.impressions == pd.concat([*reports, reports[0]])["impressions"].sum()


def test_single_impressions_repeat_and_so_do_equal_counts(tmp_path: Path) -> None:
    log = impressions_log(3).drop(columns=["timestamp"])
    log.to_parquet(tmp_path / "log.parquet")
    assert read_logs(tmp_path / "log.parquet", threads=1).totals.rows == len(log)
    rng = np.random.default_rng(0)
    counts = pd.DataFrame(
        {"item_id": np.repeat(["a", "b"], 400), "title": np.tile(["s", "t"], 400), "impressions": 2000}
    )
    counts["clicks"] = rng.binomial(2000, 0.002, 800)
    counts.to_parquet(tmp_path / "counts.parquet")
    assert read_logs(tmp_path / "counts.parquet", threads=1).totals.rows == 800


@pytest.mark.parametrize("name", ["event_id", "Impression ID"])
def test_an_event_counts_once(tmp_path: Path, name: str) -> None:
    log = impressions_log(5)
    log[name] = [f"e{i // 2}" for i in range(len(log))]  # pages with two titles
    log = log.drop_duplicates([name, "item_id", "title"])
    again = pd.concat([log, log.sample(300, random_state=0)]).sample(frac=1, random_state=1)
    log.to_parquet(tmp_path / "log.parquet")
    again.to_parquet(tmp_path / "again.parquet")
    once, twice = (read_logs(tmp_path / f"{file}.parquet", threads=1) for file in ("log", "again"))
    assert twice.totals == once.totals
    assert twice.arms.clicks.tolist() == once.arms.clicks.tolist()
    assert twice.notes == ("300 rows repeat the event id, item and title of another row: each event counts once.",)
