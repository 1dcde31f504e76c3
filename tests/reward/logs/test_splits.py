"""Splits by item: disjoint, complete, close to their shares, and no title text on two sides."""

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reward.arms import Arms
from reward.errors import SplitError
from reward.logs.splits import Splits, split_items, title_groups
from reward.text import same_text_key

from ..log_fixtures import make_arms


def arms_with_titles(titles: list[list[str]]) -> Arms:
    return make_arms([(f"item{i:04d}", title, 10, 1) for i, own in enumerate(titles) for title in own])


def plain(n: int) -> Arms:
    return arms_with_titles([[f"a{i}", f"b{i}"] for i in range(n)])


def assert_no_leak(arms: Arms, splits: Splits) -> None:
    sides = [splits.train, splits.judge, splits.test]
    assert sorted(sum(sides, ())) == sorted(item.item_id for item in arms.items)
    texts = [{same_text_key(title) for title in arms.of_items(side).title} for side in sides]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]
    assert not texts[1] & texts[2]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=3), min_size=3, max_size=40),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.1, 0.3]),
    st.sampled_from([0.0, 0.2, 0.4]),
)
def test_no_title_text_sits_on_two_sides(
    titles: list[list[int]], seed: int, judge_share: float, test_share: float
) -> None:
    arms = arms_with_titles([[f"Title {t}" if t % 2 else f"title  {t}" for t in own] for own in titles])
    try:
        splits = split_items(arms, judge_share=judge_share, test_share=test_share, seed=seed)
    except SplitError:
        assume(False)
    assert_no_leak(arms, splits)
    assert splits.train
    for side, share in ((splits.judge, judge_share), (splits.test, test_share)):
        wanted = max(1, round(share * len(arms.items))) if share else 0
        assert wanted / 2 <= len(side) <= wanted


def test_shares_and_seed() -> None:
    arms = plain(1_000)
    one = split_items(arms, judge_share=0.25, test_share=0.1, seed=1)
    assert (len(one.train), len(one.judge), len(one.test)) == (650, 250, 100)
    assert one == split_items(arms, judge_share=0.25, test_share=0.1, seed=1)
    assert one != split_items(arms, judge_share=0.25, test_share=0.1, seed=2)


def test_shares_may_be_zero() -> None:
    splits = split_items(plain(1), judge_share=0, test_share=0, seed=0)
    assert (len(splits.train), splits.judge, splits.test) == (1, (), ())


def test_a_large_group_goes_to_train_whole() -> None:
    arms = arms_with_titles([["Sale!", f"t{i}"] if i < 50 else [f"t{i}"] for i in range(100)])
    splits = split_items(arms, seed=0)
    assert {f"item{i:04d}" for i in range(50)} <= set(splits.train)
    assert (len(splits.judge), len(splits.test)) == (20, 20)


def test_chains_of_shared_titles_are_one_group() -> None:
    arms = arms_with_titles([["a", "b"], ["B ", "c"], ["ｃ"], ["d"]])
    assert title_groups(arms).tolist() == [0, 0, 0, 1]


def test_too_many_tied_items_are_refused_with_advice() -> None:
    arms = arms_with_titles([["Sale!", f"t{i}"] if i < 95 else [f"t{i}"] for i in range(100)])
    with pytest.raises(SplitError, match=r"95 of 100 items are tied.*'Sale!', belongs to 95 .*exclude: {title"):
        split_items(arms, seed=0)


def test_time_split_tests_on_the_items_first_seen_last() -> None:
    arms = plain(100)
    seen = np.repeat(np.arange(100.0), 2)
    seen[1] = 1_000.0  # the second title of item 0 came late, but the item is old
    arms = make_arms(list(zip(arms.item_ids, arms.title, arms.impressions, arms.clicks, strict=True)), first_seen=seen)
    splits = split_items(arms, seed=0, time_split=True)
    assert splits.test == tuple(f"item{i:04d}" for i in range(80, 100))
    assert len(splits.judge) == 20
    assert splits.judge != split_items(arms, seed=1, time_split=True).judge


@pytest.mark.parametrize(
    ("n", "options", "message"),
    [
        (10, {"judge_share": -0.1}, r"--judge-share must be in \[0, 1\). Got -0.1"),
        (10, {"test_share": float("nan")}, r"--test-share must be in"),
        (10, {"judge_share": 0.5, "test_share": 0.5}, "sum must be below 1"),
        (2, {}, "2 items cannot be split into 3 sides"),
        (1, {"judge_share": 0.0}, "1 item cannot be split into 2 sides"),
        (10, {"time_split": True}, "needs a timestamp"),
    ],
)
def test_impossible_splits_are_refused(n: int, options: dict[str, float], message: str) -> None:
    with pytest.raises(SplitError, match=message):
        split_items(plain(n), seed=0, **options)


def test_json_round_trip_and_damage() -> None:
    splits = split_items(arms_with_titles([[f"鞋{i}"] for i in range(10)]), seed=0)
    assert Splits.from_json(splits.to_json()) == splits
    twice = json.dumps({"train": ["a"], "judge": ["a"], "test": []})
    for text in ("", "[]", '{"train": ["a"]}', '{"train": [1], "judge": [], "test": []}', twice):
        with pytest.raises(SplitError, match="file of splits is damaged"):
            Splits.from_json(text)
