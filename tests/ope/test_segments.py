"""Segments: coverage of all intervals together, false discoveries, and how items are grouped."""

import numpy as np
import pytest

from rlopt.ope.direct import TitleDraws, item_rate_draws
from rlopt.ope.segments import MISSING, REST, Segment, group_items, segment_lifts
from tests.ope.worlds import draw_world, per_item_mean

N_ITEMS = 160
GROUPS = {("kind", str(k)): np.arange(k, N_ITEMS, 8) for k in range(8)}
GROUPS |= {("half", str(h)): np.arange(h * 80, h * 80 + 80) for h in range(2)}


def world(seed: int, shift: float = 0.2, bad: float = 0.0) -> tuple[tuple[Segment, ...], dict[tuple[str, str], float]]:
    """Segments as estimated, and their true lifts; ``bad`` makes kind 0 worse by so much."""
    rng = np.random.default_rng(seed)
    drawn = draw_world(
        rng, n_items=N_ITEMS, per_item={"new": 2, "logged": 2}, shift={"new": shift, "logged": 0.0}, n_draws=200,
        coef_std=0.1,
    )  # fmt: skip
    new, logged = drawn["new"], drawn["logged"]
    penalty = bad * (new.item % 8 == 0)
    appeal = rng.gamma(4.0, 0.01, N_ITEMS)
    exposure = np.full(2 * N_ITEMS, 5000.0)
    clicks = rng.poisson(exposure * appeal[logged.item] * np.exp(logged.truth))
    rate = item_rate_draws(*(np.bincount(logged.item, weights=w) for w in (clicks, exposure)), 200, rng)
    segments = segment_lifts(
        TitleDraws(new.effects - penalty, new.item), TitleDraws(logged.effects, logged.item), rate, GROUPS, rng=rng
    )
    value, base = (
        appeal * per_item_mean(np.exp(w), i) for w, i in ((new.truth - penalty, new.item), (logged.truth, logged.item))
    )
    return segments, {key: float(value[i].sum() / base[i].sum() - 1) for key, i in GROUPS.items()}


def test_all_intervals_hold_together() -> None:
    together = 0
    for seed in range(120):
        segments, truth = world(seed)
        together += all(s.low <= truth[s.column, s.value] <= s.high for s in segments)
    assert 0.9 <= together / 120 <= 1.0


def test_the_worst_comes_first_and_is_a_discovery() -> None:
    segments, _ = world(0, shift=0.0, bad=0.8)
    assert (segments[0].column, segments[0].value) == ("kind", "0")
    assert segments[0].high < 0
    assert segments[0].q_value < 0.05
    assert [s.lift for s in segments] == sorted(s.lift for s in segments)


def test_false_discoveries_are_rare_where_nothing_differs() -> None:
    found = [s.q_value < 0.05 for seed in range(60) for s in world(seed, shift=0.0)[0]]
    assert np.mean(found) < 0.05


def test_numbers_are_banded_and_words_are_not() -> None:
    prices = [None if i % 50 == 0 else str(1.5 * i) for i in range(200)]
    bands = group_items("price", prices)
    assert [len(i) for i in bands.values()] == pytest.approx([49] * 4, abs=1)
    lows, highs = zip(*(map(float, value.split(" – ")) for _, value in bands), strict=True)
    assert sorted(lows)[1:] == sorted(highs)[:-1]
    for (_, value), items in bands.items():
        low, high = map(float, value.split(" – "))
        assert all(low <= 1.5 * i <= high for i in items)
    assert sum(map(len, bands.values())) == 196  # four without a price are too few for a segment
    brands = ["a"] * 20 + ["b"] * 10 + ["c"] * 4 + ["d"] * 3 + [None] * 6
    groups = {value: len(i) for (_, value), i in group_items("brand", brands).items()}
    assert groups == {"a": 20, "b": 10, MISSING: 6, REST: 7}
    few_numbers = group_items("size", [str(i % 3) for i in range(30)])
    assert {value for _, value in few_numbers} == {"0", "1", "2"}


def test_messy_numbers_are_banded_and_what_is_none_is_the_rest() -> None:
    """Prices as shops write them: none of 200 items may fall into the rest for the way its price is written."""
    euro = [("{:,.2f}", "$"), ("{:.2f}", ""), ("{:.0f}", "$ ")]
    prices: list[str | None] = []
    for i in range(200):
        form, mark = euro[i % 3]
        prices.append(mark + form.format(7 * i + 1))
    groups = {value: len(items) for (_, value), items in group_items("price", prices).items()}
    assert len(groups) == 4
    assert all(size == pytest.approx(50, abs=1) and value.endswith(" $") for value, size in groups.items())
    prices[:30] = ["on request"] * 10 + ["5 €"] * 10 + [None] * 10
    groups = {value: len(items) for (_, value), items in group_items("price", prices).items()}
    assert (groups["on request"], groups["5 €"], groups[MISSING]) == (10, 10, 10)
    assert sum(groups.values()) == 200


def test_a_dozen_rare_numbers_are_banded_too() -> None:
    few = [str(i % 12) for i in range(40)]  # no value has five items
    assert REST not in {value for _, value in group_items("size", few)}
    words = [f"word {chr(97 + i % 26)}" for i in range(40)]
    assert {value for _, value in group_items("name", words)} == {REST}


def test_a_word_that_many_have_stays_apart_from_numbers() -> None:
    values = ["one size"] * 45 + [f"{30 + i / 2:g}" for i in range(55)] + ["odd"]
    groups = group_items("size", values)
    assert len(groups["size", "one size"]) == 45
    assert sum(len(items) for (_, value), items in groups.items() if "–" in value) == 55
