"""Arms of several logs: sums, fading, sides. Reading two halves of a log and joining them equals reading the whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward.arms import Arms
from reward.errors import LogError
from reward.items import Item
from reward.logs.log_levels import levelled, log_levels
from reward.logs.read import read_arms
from reward.logs.splits import Splits
from reward.logs.update import extend_splits, faded, merge_arms, overlap
from reward.model.reward_model import conversion_rows
from reward.text import same_text_key

from ..log_fixtures import assert_same_arms, make_arms, write_log

DAY = 86400.0
SHARES = {"judge_share": 0.2, "test_share": 0.2, "seed": 0}


def test_halves_of_a_log_join_to_the_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 4000
    click = rng.random(n) < 0.2
    titles = rng.choice(["x", "y", "红"], n)
    columns = {
        "item_id": rng.choice(["a", "b", "c"], n).tolist(),
        "title": titles.tolist(),
        "click": click.tolist(),
        "conversions": (click & (rng.random(n) < 0.3)).astype(int).tolist(),
        "revenue": rng.integers(0, 9, n).astype(float).tolist(),
        "propensity": np.where(titles == "x", 0.25, 0.5).tolist(),
        "timestamp": np.sort(1.7e9 + rng.integers(0, 10**6, n)).tolist(),
    }
    halves = [
        write_log(tmp_path / f"{name}.parquet", {key: values[part] for key, values in columns.items()})
        for name, part in (("one", slice(0, n // 2)), ("two", slice(n // 2, n)))
    ]
    whole = read_arms(write_log(tmp_path / "whole.parquet", columns))
    merged = merge_arms([read_arms(half) for half in halves])
    current = tuple(item.current_title for item in merged.items)
    expected = replace(
        whole, items=tuple(replace(i, current_title=t) for i, t in zip(whole.items, current, strict=True))
    )
    assert_same_arms(merged, expected)


def test_traffic_shares_are_taken_anew_where_a_log_has_no_propensities() -> None:
    old = replace(make_arms([("a", "x", 30, 1), ("a", "y", 10, 1)]), propensity_logged=True)
    merged = merge_arms([old, make_arms([("a", "y", 40, 1), ("a", "z", 20, 0)])])
    assert not merged.propensity_logged
    assert dict(zip(merged.title, merged.propensity, strict=True)) == {"x": 0.3, "y": 0.5, "z": 0.2}


def test_the_newest_context_holds_and_what_it_lacks_stays() -> None:
    old = replace(make_arms([("a", "x", 9, 1)]), items=(Item("a", {"brand": ("N",), "size": ("4",)}, "x"),))
    new = replace(make_arms([("a", "y", 1, 1)]), items=(Item("a", {"brand": ("M",), "new": ("1",)}, "y"),))
    (item,) = merge_arms([old, new]).items
    assert item == Item("a", {"brand": ("M",), "size": ("4",), "new": ("1",)}, "y")


def test_clicks_of_a_log_without_conversions_tell_nothing_about_them() -> None:
    counted = make_arms(
        [("a", "x", 100, 10), ("a", "y", 100, 20)],
        conversions=np.array([2.0, 4.0]),
        matured_clicks=np.array([8.0, 16.0]),
        revenue=np.array([1.0, 2.0]),
    )
    merged = merge_arms([counted, make_arms([("a", "x", 100, 50), ("a", "z", 100, 5)])])
    rows = conversion_rows(merged)
    assert rows is not None
    rate = dict(zip(merged.title, zip(rows.successes.tolist(), rows.trials.tolist(), strict=True), strict=True))
    assert rate == {"x": (2, 8), "y": (4, 16), "z": (0, 0)}
    assert merged.revenue is None


def test_evidence_halves_with_every_half_life_and_rates_stay() -> None:
    seen = np.array([0.0, 10.0, 20.0]) * DAY
    arms = make_arms([("a", "x", 80, 8), ("a", "y", 80, 4), ("a", "z", 80, 2)], first_seen=seen, last_seen=seen)
    faint = faded(arms, half_life_days=10.0, end=20 * DAY)
    assert faint.impressions.tolist() == [20, 40, 80]
    np.testing.assert_allclose(faint.clicks / faint.exposure, arms.clicks / arms.exposure)
    with pytest.raises(LogError, match="every row of all logs has a timestamp"):
        faded(make_arms([("a", "x", 1, 0)]), 1.0, 0.0)


def test_fading_goes_by_each_logs_own_age() -> None:
    """An arm that is still shown does not make its old clicks young."""

    def log(day: float) -> Arms:
        return make_arms([("a", "x", 64, 8)], first_seen=np.array([day * DAY]), last_seen=np.array([day * DAY]))

    joined = merge_arms([faded(log(day), 1.0, 3 * DAY) for day in (0, 3)])
    assert joined.impressions.tolist() == [8 + 64]


def test_a_good_month_is_not_taken_for_a_good_title() -> None:
    """In the second log all is clicked at three quarters of the rate, and "new" is as good as "old" was."""
    rng = np.random.default_rng(0)

    def log(level: float, *titles: str) -> Arms:
        shown = [(f"i{i}", title, 10_000.0) for i in range(40) for title in titles]
        return make_arms([(item, title, n, float(rng.poisson(0.05 * level * n))) for item, title, n in shown])

    first, second = log(1.0, "old", "stays"), log(0.75, "new", "stays")
    levels = log_levels([first, second]).level
    assert levels[1] / levels[0] == pytest.approx(0.75, rel=0.02)  # standard error 0.9%
    assert np.average(levels) == pytest.approx(1.0)
    joined = merge_arms(levelled([first, second]))
    rates = {t: joined.clicks[joined.title == t].sum() / joined.exposure[joined.title == t].sum() for t in joined.title}
    assert rates["new"] / rates["old"] == pytest.approx(1.0, rel=0.03)
    assert joined.exposure.sum() == pytest.approx(joined.impressions.sum())
    raw = merge_arms([first, second])
    assert raw.clicks[raw.title == "new"].sum() / raw.clicks[raw.title == "old"].sum() == pytest.approx(0.75, rel=0.03)


def test_titles_that_were_kept_for_their_luck_do_not_make_the_next_month_look_bad() -> None:
    """The best of four titles with about 25 clicks each is kept; nothing changes, but its clicks fall back."""
    rng = np.random.default_rng(1)
    n = 400
    effect = 0.2 * rng.standard_normal((n, 4))
    rate = 0.05 * np.exp(effect + 0.5 * rng.standard_normal((n, 1)))
    clicks = rng.poisson(500 * rate)
    best = clicks.argmax(axis=1)
    first = make_arms([(f"i{i}", f"t{j}", 500, float(clicks[i, j])) for i in range(n) for j in range(4)])
    again = rng.poisson(500 * rate[np.arange(n), best])
    second = make_arms([(f"i{i}", f"t{best[i]}", 500, float(again[i])) for i in range(n)])
    assert clicks.max(axis=1).sum() > 1.08 * again.sum()  # what a plain comparison would take for a bad month
    levels = log_levels([first, second]).level
    assert levels[1] / levels[0] == pytest.approx(1.0, abs=0.03)  # standard error about 1%


def test_titles_that_wear_out_while_new_ones_come_are_no_bad_times() -> None:
    """Every title halves in its second week, and each week brings as many new ones: all clicks stay as they were."""
    rng = np.random.default_rng(2)

    def week(number: int) -> Arms:
        shown = [
            (f"i{i}", f"t{born}", 0.05 * 0.5 ** (number - born)) for i in range(50) for born in (number - 1, number)
        ]
        return make_arms([(item, title, 5_000, float(rng.poisson(5_000 * rate))) for item, title, rate in shown])

    np.testing.assert_allclose(log_levels([week(number) for number in range(6)]).level, 1.0, atol=0.03)


def test_logs_without_common_titles_keep_their_level() -> None:
    one, other, third = (make_arms([("a", title, 100, clicks)]) for title, clicks in (("x", 40), ("y", 10), ("x", 20)))
    assert log_levels([one]).level.tolist() == [1.0]
    assert log_levels([one, other]).level.tolist() == [1.0, 1.0]
    assert log_levels([one, other]).group.tolist() == [0, 1]
    levels = log_levels([one, other, third]).level
    assert levels[0] == levels[1]
    assert levels[2] < levels[0]


def test_overlapping_times_are_noticed() -> None:
    def log(first: float, last: float) -> Arms:
        return make_arms([("a", "x", 1, 0)], first_seen=np.array([first]), last_seen=np.array([last]))

    assert overlap(log(0, 5), log(6, 9)) is None
    assert overlap(log(0, 5), log(5, 9)) == (5, 5)
    assert overlap(make_arms([("a", "x", 1, 0)]), log(0, 1)) is None


def test_items_tied_by_a_text_follow_it_and_strays_are_left_out() -> None:
    old = make_arms([("a", "x", 9, 1), ("b", "y", 9, 1)])
    splits = Splits(("a",), (), ("b",))
    new = make_arms([("b", "X!", 5, 0), ("c", "x", 3, 0), ("c", "y", 2, 0), ("d", "neu", 1, 0), ("a", "neu", 4, 1)])
    new = replace(new, title=np.array(["x", "x", "y", "neu", "neu"], dtype=object))
    out = extend_splits(splits, old, new, **SHARES)
    assert out.splits == Splits(("a", "c", "d"), (), ("b",))
    assert sorted(zip(out.arms.item_ids, out.arms.title, strict=True)) == [("a", "neu"), ("c", "x"), ("d", "neu")]
    assert (out.left_out, out.impressions_left_out) == (2, 7)


PAIRS = st.lists(
    st.tuples(st.sampled_from("abcdefghij"), st.sampled_from("uvwxyz")), min_size=1, max_size=25, unique=True
)


@settings(max_examples=60, deadline=None)
@given(old=PAIRS, new=PAIRS, seed=st.integers(0, 5))
def test_no_text_ever_sits_on_two_sides_and_no_item_moves(
    old: list[tuple[str, str]], new: list[tuple[str, str]], seed: int
) -> None:
    sides = ("train", "judge", "test")
    of_text = {text: sides[(ord(text) + seed) % 3] for _, text in old}
    of_item: dict[str, str] = {}
    kept = [(i, t) for i, t in old if of_item.setdefault(i, of_text[t]) == of_text[t]]
    before = make_arms([(i, t, 10, 1) for i, t in kept])
    splits = Splits(*(tuple(sorted(i for i, own in of_item.items() if own == side)) for side in sides))
    out = extend_splits(splits, before, make_arms([(i, t, 3, 1) for i, t in new]), **{**SHARES, "seed": seed})
    now = {i: side for side in sides for i in getattr(out.splits, side)}
    assert of_item.items() <= now.items()
    assert set(now) == {i for i, _ in kept} | {item.item_id for item in out.arms.items}
    texts: dict[str, set[str]] = {}
    merged = merge_arms([before, out.arms])
    for item_id, title in zip(merged.item_ids, merged.title, strict=True):
        texts.setdefault(same_text_key(title), set()).add(now[item_id])
    assert all(len(found) == 1 for found in texts.values())
    assert len(out.arms) + out.left_out == len(new)


def test_new_items_fill_the_shares() -> None:
    old = make_arms([(f"o{i}", f"old {i}", 5, 1) for i in range(50)])
    splits = Splits(tuple(sorted(f"o{i}" for i in range(30))), tuple(sorted(f"o{i}" for i in range(30, 40))),
                    tuple(sorted(f"o{i}" for i in range(40, 50))))  # fmt: skip
    new = make_arms([(f"n{i}", f"new {i}", 5, 1) for i in range(100)])
    out = extend_splits(splits, old, new, **SHARES)
    assert [len(side) for side in (out.splits.train, out.splits.judge, out.splits.test)] == [90, 30, 30]
    assert out.splits == extend_splits(splits, old, new, **SHARES).splits
