"""The log doctor: numbers against closed forms, and the right word for each kind of logs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from reward.doctor.diagnosis import sample_ratio, title_problems, title_spread
from reward.doctor.examine import LogReport, examine
from reward.logs.read import read_logs

from ..log_fixtures import make_arms, mapped, read_csv_text, write_log


def report(
    folder: Path, columns: dict[str, list[object]], copies: Literal["stop", "keep"] = "stop", **options: float
) -> LogReport:
    return examine(read_logs(write_log(folder / "log.parquet", columns), copies=copies, threads=1), **options)


def sound(n_items: int = 30, seed: int = 0, **extra: list[object]) -> dict[str, list[object]]:
    """Aggregated logs with two titles per item whose rates differ by a factor of 1.5."""
    rng = np.random.default_rng(seed)
    n = 2 * n_items
    clicks = rng.binomial(1_000, np.tile([0.04, 0.06], n_items))
    return {
        "item_id": [f"i{k // 2}" for k in range(n)],
        "title": [f"title {k % 2} of {k // 2}" for k in range(n)],
        "clicks": clicks.tolist(),
        "impressions": [1_000] * n,
        "brand": [f"b{k // 2 % 5}" for k in range(n)],
        **extra,
    }


def said(found: LogReport, topic: str, severity: str | None = None) -> str:
    return " ".join(f.message for f in found.findings if f.topic == topic and severity in (None, f.severity))


def test_sound_logs_have_no_stops_and_right_numbers(tmp_path: Path) -> None:
    columns = sound()
    found = report(tmp_path, columns)
    assert not found.stops
    assert (found.rows, found.items, found.arms, found.items_with_choice) == (60, 30, 60, 30)
    assert found.ctr == pytest.approx(sum(map(int, columns["clicks"])) / 60_000)  # type: ignore[call-overload]
    assert found.arms_per_item == 2
    assert (found.cvr, found.conversions, found.position_share) == (None, None, 0)
    assert found.title_spread is not None
    assert found.title_spread.p_value < 1e-6
    assert "Reward: yes" in said(found, "reward", "ok")
    assert "propensities are not logged" in said(found, "evaluation", "warning")
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["items"] == 30


@pytest.mark.parametrize("times", [2, 3])
def test_rows_that_are_there_several_times_are_told(times: int, tmp_path: Path) -> None:
    columns = sound(seed=4)
    assert "multiples of" not in said(report(tmp_path, columns), "reward")
    repeated = {name: values * times for name, values in columns.items()}
    assert f"multiples of {times}, as if every row appeared {times} times" in said(
        report(tmp_path, repeated, copies="keep"), "reward", "warning"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clicks": [0] * 60}, "no click at all"),
        ({"clicks": [1_000] * 60}, "Every impression was clicked"),
        ({"item_id": ["i"] * 60}, "one item only"),
        ({"title": [f"t{k // 2}" for k in range(60)]}, "No item was shown with two titles"),
        ({"title": ["same"] * 60}, "tied together by shared titles"),
    ],
)
def test_meaningless_logs_are_stopped(tmp_path: Path, change: dict[str, list[object]], message: str) -> None:
    found = report(tmp_path, {**sound(), **change})
    assert message in " ".join(finding.message for finding in found.stops)


def test_too_few_items_for_the_shares(tmp_path: Path) -> None:
    columns = sound(n_items=2)
    assert any("cannot be split" in f.message for f in report(tmp_path, columns).stops)
    assert not report(tmp_path, columns, judge_share=0, test_share=0).stops


def test_titles_that_do_not_matter_are_told(tmp_path: Path) -> None:
    clicks = np.random.default_rng(5).binomial(1_000, 0.05, 60).tolist()
    assert "do not clearly differ beyond chance" in said(
        report(tmp_path, {**sound(), "clicks": clicks}), "reward", "warning"
    )


def test_logged_propensities_and_sample_ratio_mismatch(tmp_path: Path) -> None:
    columns = sound(propensity=[0.5] * 60)
    found = report(tmp_path, columns)
    assert "Exact off-policy evaluation: yes, 100%" in said(found, "evaluation", "ok")
    assert found.sample_ratio.mismatched == 0
    columns["impressions"] = [1_300, 1_000, *([1_000] * 58)]
    found = report(tmp_path, columns)
    assert (found.sample_ratio.mismatched, found.sample_ratio.worst) == (1, ("i0",))
    assert "1 of 30 items" in said(found, "evaluation", "warning")
    assert "more than 1" in said(report(tmp_path, sound(propensity=[0.9] * 60)), "evaluation", "warning")
    assert "weights will be large" in said(report(tmp_path, sound(propensity=[0.5, 0.001] * 30)), "evaluation")


def test_sample_ratio_by_hand() -> None:
    """Chi-square of 60/40 against 50/50 on 1,000 impressions is 40, p = 2.5e-10; 51/49 is 0.4."""
    arms = make_arms([("a", "1", 600, 1), ("a", "2", 400, 1), ("b", "1", 510, 1), ("b", "2", 490, 1), ("c", "1", 9, 0)])
    found = sample_ratio(arms)
    assert (found.expected, found.tested, found.mismatched, found.worst) == ("equal shares", 2, 1, ("a",))
    assert not found.agrees
    assert replace(found, tested=1000).agrees


def test_a_title_in_two_rows_of_an_item_has_twice_the_traffic(tmp_path: Path) -> None:
    """Without times a row is a variant of the test: 500, 500 and 500 + 500 are equal shares, 500 and 1,000 are not."""
    rows = [("both", "a"), ("both", "b"), ("both", "c"), ("both", "c"), ("one", "a"), ("one", "b")]
    columns = {
        "item_id": [item for item, _ in rows],
        "title": [title for _, title in rows],
        "impressions": [500, 500, 500, 500, 500, 1_000],
        "clicks": [10, 20, 30, 31, 40, 50],
    }
    logs = read_logs(write_log(tmp_path / "logs.parquet", columns))
    assert logs.variants is not None
    assert logs.variants.tolist() == [1, 1, 2, 1, 1]
    found = sample_ratio(logs.arms, logs.variants)
    assert (found.expected, found.mismatched, found.worst) == ("equal rows", 1, ("one",))
    assert sample_ratio(logs.arms).mismatched == 2
    columns["timestamp"] = ["2026-01-01"] * 6
    assert read_logs(write_log(tmp_path / "daily.parquet", columns)).variants is None


@pytest.mark.parametrize(("spread", "overdispersion"), [(0.0, 1.0), (0.2, 1.0), (0.2, 2.0)])
def test_spread_between_titles_is_recovered(spread: float, overdispersion: float) -> None:
    rng = np.random.default_rng(6)
    rows = []
    for item in range(1_500):
        rate = rng.uniform(0.01, 0.1)
        for arm in range(4):
            truth = rate * rng.gamma(1 / spread**2, spread**2) if spread else rate
            mean = 10_000 * min(truth, 1.0)
            extra = overdispersion - 1
            clicks = rng.poisson(mean * (rng.gamma(mean / extra, extra / mean) if extra else 1.0))
            rows.append((f"i{item}", f"t{arm}", 10_000.0, float(clicks)))
    found = title_spread(make_arms(rows), overdispersion)
    assert found is not None
    assert found.relative == pytest.approx(spread, abs=0.015)


def test_broken_titles_are_counted_once_each() -> None:
    titles = [
        "fine title",
        '好标题 5" 100% <3',
        "<b>x</b>",
        "a &amp; b",
        "\u200b",
        "tab\there",
        "x" * 301,
        "\x07a",
    ]
    found = {problem.rule: problem.titles for problem in title_problems([*titles, *titles])}
    assert found == {
        "HTML": 2,
        "control characters": 1,
        "zero-width or direction characters": 1,
        "empty after cleaning": 1,
        "line breaks or tabs": 1,
        "more than 300 characters": 1,
    }


@pytest.mark.parametrize(
    ("title", "consequence", "way_out"),
    [
        ("<b>Red</b> dress", "a policy learns to write them", "no tags"),
        ("Red &amp; blue", "a policy learns to write them", "& for &amp;"),
        ("Red\ndress", "count as another title, and a policy writes the blank", "Log a blank"),
        ("Red\x07dress", "a policy writes the word without it", "Remove them"),
        ("R\ufffdd dress", "a policy learns to write them", "as UTF-8"),
        ("x" * 301, "nobody saw", "Log what was shown"),
        ("\u00ad", "No policy learns from them", "Leave such rows out"),
    ],
)
def test_broken_titles_come_with_what_follows_and_the_way_out(
    title: str, consequence: str, way_out: str, tmp_path: Path
) -> None:
    columns = sound()
    columns["title"][0] = title
    warned = said(report(tmp_path, columns), "titles", "warning")
    assert repr(title[:60]) in warned
    assert consequence in warned
    assert way_out in warned


def test_conversions_positions_time_and_columns_are_told(tmp_path: Path) -> None:
    found = report(
        tmp_path,
        sound(
            conversions=[3] * 60,
            position=[1.0, 2.0] * 30,
            timestamp=[1.7e9 + k for k in range(60)],
            pscore=[0.5] * 60,
            user_id=[float(k) for k in range(60)],
        ),
    )
    assert found.cvr == pytest.approx(180 / found.clicks)
    assert "without conversion_delay_hours" in said(found, "conversions", "warning")
    assert "no title was shown at two positions" in said(found, "positions", "warning")
    assert (found.timestamp_share, found.position_share) == (1, 1)
    assert "Time: yes" in said(found, "time")
    assert "--columns propensity=pscore" in said(found, "context", "warning")
    assert found.dropped_columns == {"user_id": "differs within most items, so it describes the impression"}


@pytest.mark.parametrize("replaced", [False, True])
def test_titles_that_replace_one_another_are_told(replaced: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = {name: values * 12 for name, values in sound().items()}  # a dozen days, each with clicks of its own
    rows["clicks"] = rng.binomial(rows["impressions"], np.divide(rows["clicks"], rows["impressions"])).tolist()
    day = rng.uniform(0, 30, size=720) if not replaced else np.tile([0.0, 30.0], 360) + rng.uniform(0, 30, size=720)
    found = report(tmp_path, rows | {"timestamp": (1.7e9 + 86_400 * day).tolist()})
    assert ("replaced one another" in said(found, "time", "warning")) == replaced
    assert found.alone_share == pytest.approx(1.0 if replaced else 0.07, abs=0.05)


def test_shared_titles_and_one_row_logs(tmp_path: Path) -> None:
    logs = read_csv_text(tmp_path, "item_id,title,clicks\n1,Ａ b,0\n2,a  b,1\n3,c,0\n")
    found = examine(logs)
    assert (found.shared_titles, found.largest_tied_share) == (1, pytest.approx(2 / 3))
    assert "No column describes the items" in said(found, "context", "warning")


def test_upworthy_is_fit_for_a_reward_model(shared_data: Path) -> None:
    logs = read_logs(
        shared_data / "upworthy" / "packages.parquet",
        columns=mapped("title=headline,item_id=clickability_test_id+eyecatcher_id"),
        exclude={"randomization_problem": True},
    )
    found = examine(logs)
    assert not found.stops
    assert found.title_spread is not None
    assert 0.1 < found.title_spread.relative < 0.4
    assert found.overdispersion is not None
    assert 1.2 < found.overdispersion < 2.5  # the README's own estimate is 1.29 squared
    assert "Reward: yes" in said(found, "reward")
