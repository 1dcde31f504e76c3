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
from reward.logs.repeated_impressions import copied

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


def single_impressions(seed: int, n: int = 3_000, days: int = 7) -> pd.DataFrame:
    """Impressions of 80 titles with their second and user."""
    rng = np.random.default_rng(seed)
    arm = rng.integers(0, 80, n)
    return pd.DataFrame(
        {
            "item_id": [f"p{a // 4}" for a in arm],
            "title": [f"title {a % 4} of {a // 4}" for a in arm],
            "click": (rng.random(n) < 0.05).astype(int),
            "user": [f"u{u}" for u in rng.integers(0, 2_000, n)],
            "timestamp": pd.Timestamp("2026-03-01") + pd.to_timedelta(rng.integers(0, days * 86_400, n), unit="s"),
        }
    )


@pytest.mark.parametrize("kind", ["packed", "sorted", "thrice", "part", "overlap"])
def test_single_impressions_that_are_there_twice(tmp_path: Path, kind: str) -> None:
    log = single_impressions(0)
    path = tmp_path / "logs"
    path.mkdir()
    added = len(log)
    if kind == "packed":
        log.to_csv(path / "a.csv", index=False)
        log.to_csv(path / "a.csv.gz", index=False)
    elif kind == "sorted":
        log.to_parquet(path / "a.parquet")
        log.sort_values("user").to_parquet(path / "b.parquet")
    elif kind == "thrice":
        added *= 2
        pd.concat([log] * 3).assign(event_id=[*range(len(log))] * 3).to_csv(path / "a.csv", index=False)
    elif kind == "part":
        added = 900
        pd.concat([log, log[:900]]).to_csv(path / "a.csv", index=False)
    else:  # files of three days each, every second day
        day = log["timestamp"].dt.day
        added = int(day.isin([3, 5]).sum())
        for first in (1, 3, 5):
            log[day.between(first, first + 2)].to_csv(path / f"{first}.csv", index=False)
    with pytest.raises(LogError, match=rf": {added:,} rows repeat another one .*--event-id.*--copies keep"):
        read_logs(path, threads=1)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), kinds=st.sampled_from([30, 300, 20_000]), rows=st.integers(100, 20_000))
def test_chance_repeats_single_impressions_in_any_number(seed: int, kinds: int, rows: int) -> None:
    """Rows of kinds that are frequent and rare, as those of logs without users or with times by the hour."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(kinds, rng.choice([0.1, 1.0, 10.0])))
    counts = rng.multinomial(rows, shares)
    assert (
        copied(dict(zip(*map(np.ndarray.tolist, np.unique(counts[counts > 0], return_counts=True)), strict=True))) == 0
    )


def test_event_ids_in_a_column_that_the_user_names(tmp_path: Path) -> None:
    log = single_impressions(1).assign(request=lambda rows: [f"r{i}" for i in range(len(rows))])
    twice = pd.concat([log, log[:800], log[:800]])
    twice.to_csv(tmp_path / "log.csv", index=False)
    logs = read_logs(tmp_path / "log.csv", event_id="request", threads=1)
    assert (logs.totals.rows, logs.totals.clicks) == (len(log), log["click"].sum())
    with pytest.raises(LogError, match="no column 'requests' of event ids"):
        read_logs(tmp_path / "log.csv", event_id="requests", threads=1)


@pytest.mark.parametrize("beside", ["exported", "index", "row"])
def test_copies_do_not_hide_behind_a_column_that_numbers_rows_or_files(tmp_path: Path, beside: str) -> None:
    days = daily(2)
    files = [pd.concat(days[:2], ignore_index=True), pd.concat(days[1:], ignore_index=True)]
    if beside == "exported":
        files = [file.assign(exported=f"2026-05-{9 + n:02d}") for n, file in enumerate(files)]
    elif beside == "index":
        files = [file.rename_axis("index").reset_index() for file in files]
    else:
        files = [pd.concat(files).assign(row=range(2 * len(files[0])))]
    again = f"{days[1]['impressions'].sum():,} impressions and {days[1]['clicks'].sum():,} clicks"
    with pytest.raises(LogError, match=f"in every column but '{beside}', .* would add {again}"):
        read_logs(write(tmp_path / "logs", files), threads=1)
    assert read_logs(write(tmp_path / "logs", [day.assign(row=range(len(day))) for day in days]), threads=1)


@pytest.mark.parametrize("name", ["Total", "Total: Campaigns", "Gesamtergebnis", "合计", "Итого и средние"])
@pytest.mark.parametrize("share", [0.9, 2.0])
def test_a_total_that_is_no_exact_sum_is_told_by_its_name(tmp_path: Path, name: str, share: float) -> None:
    report = daily(5, days=1)[0]
    total = {"item_id": name, "title": "--", "date": "2026-05-01"}
    counts = {count: int(share * report[count].sum()) for count in ("impressions", "clicks")}
    path = tmp_path / "log.csv"
    pd.concat([report, pd.DataFrame([total | counts])]).to_csv(path, index=False)
    said = f"has {counts['impressions']:,} impressions and {counts['clicks']:,} clicks of '{re.escape(name)}' beside "
    with pytest.raises(LogError, match=said):
        read_logs(path, threads=1)
    pd.concat([report, pd.DataFrame([total | {"impressions": 900, "clicks": 40}])]).to_csv(path, index=False)
    assert read_logs(path, threads=1).totals.rows == len(report) + 1  # a brand called so
