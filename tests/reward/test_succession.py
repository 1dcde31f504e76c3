"""Titles that replaced one another: found by hand, and their times' levels against a season that is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reward.arms import Arms
from reward.doctor.examine import examine
from reward.logs.read import read_logs
from reward.logs.succession import alone_share

from .log_fixtures import make_arms, write_log


def timed(spans: list[tuple[str, float, float, float]]) -> Arms:
    """One arm a row: item, first seen, last seen, impressions."""
    made = make_arms([(item, f"t{k}", n, 1.0) for k, (item, _, _, n) in enumerate(spans)])
    first, last = (np.array([row[k] for row in spans]) for k in (1, 2))
    return replace(made, first_seen=first, last_seen=last)


def test_titles_that_replace_one_another_by_hand() -> None:
    side_by_side = [("a", 0.0, 10.0, 100.0), ("a", 0.0, 10.0, 300.0)]
    replaced = [("b", 0.0, 5.0, 50.0), ("b", 6.0, 9.0, 150.0)]
    partly = [("c", 0.0, 4.0, 80.0), ("c", 3.0, 7.0, 40.0), ("c", 6.0, 8.0, 20.0)]
    assert alone_share(timed(side_by_side)) == 0
    assert alone_share(timed(replaced)) == 1
    # alone: 0 to 3 of the first title, 4 to 6 of the second, 7 to 8 of the third
    assert alone_share(timed(partly)) == pytest.approx((80 * 3 / 4 + 40 * 2 / 4 + 20 * 1 / 2) / 140)
    everything = timed([*partly[:2], *side_by_side, *replaced, partly[2]])
    assert alone_share(everything) == pytest.approx((80 * 3 / 4 + 40 * 2 / 4 + 20 * 1 / 2 + 200) / 740)
    # one title of its item that is timed, moments, and few impressions tell nothing
    assert alone_share(timed([("d", 0.0, 9.0, 90.0), ("d", 3.0, 3.0, 90.0), ("d", 5.0, 6.0, 9.0)])) is None
    assert alone_share(replace(timed(replaced), first_seen=None, last_seen=None)) is None


@pytest.mark.parametrize("positions", [False, True])
def test_season_is_no_merit_of_titles_that_came_in_it(positions: bool, tmp_path: Path) -> None:
    """From the seventh week on all is clicked half as much again, and a third of the items get a title as good."""
    rng = np.random.default_rng(3)
    rows: dict[str, list[object]] = {name: [] for name in ("item_id", "title", "clicks", "impressions", "timestamp")}
    rows |= {"position": []} if positions else {}
    for item in range(90):
        for day in range(90):
            title = "new" if item % 3 == 0 and day >= 42 else "old"
            place = int(rng.integers(1, 4))
            rate = 0.05 * (1.5 if day >= 42 else 1.0) * (1 / place if positions else 1.0)
            row = [f"i{item}", f"{title} {item}", int(rng.poisson(400 * rate)), 400, 1.7e9 + 86_400.0 * day]
            for name, value in zip(rows, [*row, place], strict=False):
                rows[name].append(value)
    logs = read_logs(write_log(tmp_path / "log.parquet", rows), threads=1)
    assert logs.periods is not None
    assert logs.periods.level[-1] / logs.periods.level[0] == pytest.approx(1.5, rel=0.1)
    arms, names = logs.arms, np.array([str(title).split()[0] for title in logs.arms.title])
    replaced = np.isin(arms.item_ids, arms.item_ids[names == "new"])

    def rate_of(name: str, shown: np.ndarray) -> float:
        chosen = replaced & (names == name)
        return float(arms.clicks[chosen].sum() / shown[chosen].sum())

    assert rate_of("new", arms.impressions) / rate_of("old", arms.impressions) > 1.35
    assert rate_of("new", arms.exposure) / rate_of("old", arms.exposure) == pytest.approx(1.0, abs=0.06)
    assert arms.exposure.sum() == pytest.approx(arms.impressions.sum(), rel=1e-6)
    told = [finding.message for finding in examine(logs).findings if finding.topic == "time"]
    assert any("season) is corrected for" in message for message in told)


def test_titles_side_by_side_keep_their_impressions(tmp_path: Path) -> None:
    rows = {
        "item_id": [f"i{k % 20}" for k in range(2_000)],
        "title": [f"title {k // 20 % 2} of {k % 20}" for k in range(2_000)],
        "click": [int(k % 17 == 0) for k in range(2_000)],
        "timestamp": [1.7e9 + 3_600.0 * k for k in range(2_000)],
    }
    logs = read_logs(write_log(tmp_path / "log.parquet", rows), threads=1)
    assert logs.periods is None
    assert logs.arms.exposure.tolist() == logs.arms.impressions.tolist()
