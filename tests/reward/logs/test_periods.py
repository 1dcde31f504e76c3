"""Titles that replaced one another: found by hand, and their times' levels against a season that is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reward.arms import Arms
from reward.doctor.examine import examine
from reward.errors import LogError
from reward.logs import periods
from reward.logs.periods import alone_share
from reward.logs.read import LogData, read_logs

from ..log_fixtures import make_arms, write_log


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


DAY = 86_400.0
Row = tuple[str, str, float, int, int]  # item, title, day, impressions, position


def season_of(day: float) -> float:
    """From the seventh week on all is clicked half as much again."""
    return 1.5 if day >= 42 else 1.0


def log_of(folder: Path, shown: list[Row], positions: bool = False, seed: int = 3) -> LogData:
    """A log of these rows, titles all alike, clicked at 5% by the season (and less at lower positions)."""
    rng = np.random.default_rng(seed)
    rate = [0.05 * season_of(day) / (place if positions else 1) for _, _, day, _, place in shown]
    columns = {
        "item_id": [row[0] for row in shown],
        "title": [f"{row[1]} {row[0]}" for row in shown],
        "clicks": [int(rng.binomial(row[3], p)) for row, p in zip(shown, rate, strict=True)],
        "impressions": [row[3] for row in shown],
        "timestamp": [1.7e9 + DAY * row[2] for row in shown],
    }
    if positions:
        columns["position"] = [row[4] for row in shown]
    return read_logs(write_log(folder / "log.parquet", columns), threads=1)


def ratio(logs: LogData, new: str, old: str, corrected: bool = True) -> float:
    """Click rate of the titles that begin with ``new`` by that of those with ``old``, in items that have both."""
    arms, names = logs.arms, np.array([str(title).split()[0] for title in logs.arms.title])
    both = np.isin(arms.item_ids, arms.item_ids[names == new]) & np.isin(arms.item_ids, arms.item_ids[names == old])
    shown = arms.exposure if corrected else arms.impressions
    one, other = (arms.clicks[both & (names == n)].sum() / shown[both & (names == n)].sum() for n in (new, old))
    return float(one / other)


def replaced(n_items: int = 90, every: int = 3) -> list[Row]:
    """Twelve weeks in which every third item gets a new title when the season begins."""
    return [
        (f"i{item}", "new" if item % every == 0 and day >= 42 else "old", day, 400, 1 + (item + day) % 3)
        for item in range(n_items)
        for day in range(84)
    ]


@pytest.mark.parametrize("positions", [False, True])
def test_season_is_no_merit_of_titles_that_came_in_it(positions: bool, tmp_path: Path) -> None:
    logs = log_of(tmp_path, replaced(), positions)
    assert logs.periods is not None
    assert len(logs.periods.level) == 84
    assert logs.periods.tied_share == 1
    assert logs.periods.level[42:].mean() / logs.periods.level[:42].mean() == pytest.approx(1.5, rel=0.02)
    assert ratio(logs, "new", "old", corrected=False) > 1.4
    assert ratio(logs, "new", "old") == pytest.approx(1.0, abs=0.06)  # standard error 1.5%
    assert logs.arms.exposure.sum() == pytest.approx(logs.arms.impressions.sum(), rel=1e-6)
    assert logs.overdispersion == pytest.approx(1.0, abs=0.06)  # binomial but for the season
    told = [finding.message for finding in examine(logs).findings if finding.topic == "time"]
    assert any("season) is corrected for" in message for message in told)
    assert any(message.startswith("Season: titles that were shown all along got") for message in told)


def test_pairs_that_replace_pairs_are_corrected_though_no_title_was_alone(tmp_path: Path) -> None:
    rows = [(item, f"{title}{k}", day, 200, 1) for item, title, day, _, _ in replaced() for k in (1, 2)]
    logs = log_of(tmp_path, rows)
    assert alone_share(logs.arms) == 0
    assert ratio(logs, "new1", "old2", corrected=False) > 1.35
    assert ratio(logs, "new1", "old2") == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize("stray", [-19_000.0, 4_000.0])
def test_a_clock_that_was_wrong_once_is_named(stray: float, tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"timestamp must be a time from 1995 to .* in row"):
        log_of(tmp_path, [*replaced(), ("i0", "old", stray, 1, 1)])


def test_levels_of_a_sample_of_the_items_serve_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = log_of(tmp_path, replaced())
    monkeypatch.setattr(periods, "_MOST_CELLS", 2_500)  # of 7,560
    part = log_of(tmp_path, replaced())
    assert whole.periods is not None
    assert part.periods is not None
    assert np.abs(part.periods.level - whole.periods.level).max() > 0
    np.testing.assert_allclose(part.periods.level, whole.periods.level, rtol=0.25)
    assert ratio(part, "new", "old") == pytest.approx(1.0, abs=0.08)


def test_what_nothing_tells_is_not_said_to_be_corrected(tmp_path: Path) -> None:
    """Every title is replaced on the day the season begins."""
    logs = log_of(tmp_path, replaced(every=1))
    told = [finding.message for finding in examine(logs).findings if finding.topic == "time"]
    assert any("could not be estimated" in message for message in told)
    assert ratio(logs, "new", "old") > 1.3  # so it still counts as the titles' doing


def test_titles_side_by_side_keep_their_impressions(tmp_path: Path) -> None:
    rows = [(f"i{k % 20}", f"title{k // 20 % 2}", k / 24, 1, 1) for k in range(2_000)]
    logs = log_of(tmp_path, rows)
    assert logs.periods is None
    assert logs.arms.exposure.tolist() == logs.arms.impressions.tolist()


def test_periods_by_hand() -> None:
    def found(days: list[int], clicks: list[float], least_days: int = 1) -> list[int]:
        return periods.periods_of(np.array(days), np.array(clicks), least_days).tolist()

    assert found([5, 6, 9], [300, 300, 300]) == [0, 1, 2]
    assert found([5, 6, 7, 9], [150, 150, 300, 10]) == [0, 0, 1, 1]  # of 200 clicks at least; the rest joins the last
    assert found([1], [0]) == [0]
    weeks = found([-40_000, *range(100, 135), 9_000], [1, *[100] * 35, 2], least_days=7)
    assert weeks == [0, 0, 0, *np.repeat([1, 2, 3, 4], 7).tolist(), *[5] * 6]
    assert found(list(range(1000)), [5_000.0] * 1000) == np.repeat(np.arange(200), 5).tolist()
