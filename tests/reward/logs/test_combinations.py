"""Two columns that tell together what neither tells alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from reward.doctor.examine import examine
from reward.logs.balance import Balance, level_effects
from reward.logs.combinations import combination_balance, linked, off_within_items, pairs_of
from reward.logs.impression_columns import ImpressionColumn
from reward.logs.level_counts import JointCells

from .test_circumstances import ITEMS, confounded, read, relative_rate

ZONES = {"英国": 0, "孟加拉国": 6, "新西兰": 12, "墨西哥": 18}


def around_the_globe(rng: np.random.Generator, share_of_promo: dict[str, float]) -> dict[str, Any]:
    """People click more in their evening, whatever the hour in UTC."""
    columns = confounded(rng, share_of_promo)
    good = columns["where"] == "good"
    n = len(good)
    local = np.where(good, rng.integers(18, 24, n), rng.integers(0, 18, n))
    country = rng.choice(list(ZONES), n)
    hour = (local - np.vectorize(ZONES.get)(country)) % 24
    columns["country"] = country
    columns["timestamp"] = (1_750_000_000 // 86400 + rng.integers(0, 14, n)) * 86400 + hour * 3600.0
    return columns


def test_evenings_around_the_globe_are_found_and_taken_off(tmp_path: Path) -> None:
    columns = around_the_globe(np.random.default_rng(0), {"good": 0.8, "poor": 0.2})
    data = read(tmp_path, columns, "country", "timestamp")
    adjusted = {balance.column for balance in data.balances if balance.adjusted}
    assert "combinations of hour of day and country" in adjusted
    assert not adjusted & {"country", "hour of day", "weekday"}  # alone they are balanced
    lift, error = relative_rate(data.arms)
    assert abs(lift) < 3 * error
    blind, _ = relative_rate(read(tmp_path, columns, "country").arms)
    assert blind > 0.5
    (said,) = (one for one in examine(data).findings if one.kind == "equal_levels")
    assert "combinations of hour of day and country" in said.message


def test_randomised_titles_are_left_as_they_are(tmp_path: Path) -> None:
    columns = around_the_globe(np.random.default_rng(1), {"good": 0.5, "poor": 0.5})
    data = read(tmp_path, columns, "country", "timestamp")
    assert not any(balance.adjusted for balance in data.balances)
    np.testing.assert_array_equal(data.arms.exposure, data.arms.impressions)
    assert any("and by their combinations" in one.message for one in examine(data).findings)


def cells_of(rng: np.random.Generator, lean: float, shown: float = 40.0, *, uneven: bool = False) -> JointCells:
    """Columns and combinations go with clicks, titles with the first column, and by ``lean`` with combinations.

    ``uneven``: for every other item combinations do the opposite.
    """
    first, second = np.array([0.5, -0.3, 0.1]), np.array([0.3, -0.4])
    both = np.array([[0.5, -0.5], [-0.5, 0.5], [0.2, -0.2]])
    item, slot, a, b = (x.ravel() for x in np.meshgrid(range(ITEMS), range(3), range(3), range(2), indexing="ij"))
    promo = np.where(slot == 0, 1.0, -0.5)
    shares = np.exp(promo * (0.5 * first[a] + lean * both[a, b]))
    impressions = rng.poisson(shown * shares)
    sign = np.where(uneven & (item % 2 == 1), -1.0, 1.0)
    clicks = rng.binomial(impressions, 0.1 * np.exp(first[a] + second[b] + sign * both[a, b])).astype(float)
    seen = impressions > 0
    counts = impressions[seen].astype(float)
    levels = np.stack([a, b], axis=1)[seen]
    return JointCells(item[seen], (item * 3 + slot)[seen], levels, clicks[seen], counts, counts, counts)


PAIR = tuple(
    ImpressionColumn(name, name, tuple("xyz"[: n - 1]), tuple(range(n - 1))) for name, n in (("a", 4), ("b", 3))
)


def test_p_values_are_uniform_where_only_single_columns_are_unlike() -> None:
    p_values = [combination_balance(PAIR, cells_of(np.random.default_rng(seed), 0.0)).p_value for seed in range(200)]
    assert stats.kstest(p_values, "uniform").pvalue > 0.001


@pytest.mark.parametrize("uneven", [False, True])
def test_within_items_p_values_are_uniform_too(uneven: bool) -> None:
    def p_value(seed: int) -> float:
        cells = cells_of(np.random.default_rng(seed), 0.0, uneven=uneven)
        return off_within_items(cells, cells.levels[:, 0], 4 * cells.levels[:, 1] + cells.levels[:, 0])[0]

    assert stats.kstest([p_value(seed) for seed in range(200)], "uniform").pvalue > 0.001


def test_combinations_that_do_the_opposite_for_every_other_item_are_found() -> None:
    cells = cells_of(np.random.default_rng(5), 0.6, shown=4000.0, uneven=True)
    found = combination_balance(PAIR, cells)
    assert found.p_value < 1e-9
    assert found.outcomes == "clicks"

    def by_cell(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        table = np.zeros((ITEMS, 3, 3, 2))
        table[cells.item, cells.arm % 3, cells.levels[:, 0], cells.levels[:, 1]] = values
        return table

    shown, clicks = by_cell(cells.shown), by_cell(cells.clicks)
    rate, shown_there = clicks.sum(axis=1) / shown.sum(axis=1), shown.sum(axis=1)  # items, levels of both
    at_level = (rate * shown_there).sum(axis=2, keepdims=True) / shown_there.sum(axis=2, keepdims=True)
    relative = (
        (rate - at_level)
        / (rate * shown_there).sum(axis=(1, 2), keepdims=True)
        * shown_there.sum(axis=(1, 2), keepdims=True)
    )
    of_arm = shown.sum(axis=(2, 3))
    off = (shown * relative[:, None]).sum(axis=(2, 3)) / of_arm
    parted = of_arm.sum() - np.sum((of_arm**2).sum(axis=1) / of_arm.sum(axis=1))
    assert found.imbalance == pytest.approx(np.sqrt(np.sum(of_arm * off**2) / parted), rel=0.1)


def test_the_deviation_is_the_error_that_the_single_columns_leave() -> None:
    """Titles are alike in truth; what their rates differ by after both columns are taken off is the factors' spread."""
    cells = cells_of(np.random.default_rng(0), 0.6, shown=40_000.0)
    found = combination_balance(PAIR, cells)
    assert found.p_value < 1e-9
    assert found.click_p_value < 1e-9
    first, second = level_effects(cells.arm, cells.levels, cells.clicks, cells.exposure, (4, 3))
    exposure = np.bincount(cells.arm, cells.exposure * first[cells.levels[:, 0]] * second[cells.levels[:, 1]])
    rate = (np.bincount(cells.arm, cells.clicks) / exposure).reshape(ITEMS, 3)
    relative = rate / np.average(rate, axis=1, weights=exposure[:3], keepdims=True)[0]
    assert found.imbalance == pytest.approx(relative.std(axis=1, ddof=1).mean(), rel=0.1)


def test_combinations_that_do_not_go_with_clicks_are_no_reason_to_compare() -> None:
    cells = cells_of(np.random.default_rng(3), 0.6)
    rng = np.random.default_rng(4)
    even = JointCells(
        cells.item, cells.arm, cells.levels, rng.binomial(cells.shown.astype(int), 0.1) * 1.0, *[cells.shown] * 3
    )
    assert combination_balance(PAIR, even).click_p_value > 0.001


def pair(a: str, b: str, imbalance: float) -> Balance:
    return Balance(f"combinations of {a} and {b}", 9, 0.0, imbalance, 0.0, 2.0, 1.0, columns=(a, b))


def test_pairs_that_share_a_column_are_compared_together_as_far_as_levels_allow() -> None:
    chain = [pair("a", "b", 0.3), pair("b", "c", 0.2), pair("d", "e", 0.1)]
    sets, names = linked(chain, dict.fromkeys("abcde", 10))
    assert sorted(sets) == [("a", "b", "c"), ("d", "e")]
    assert names == {balance.column for balance in chain}
    sets, names = linked(chain, dict.fromkeys("abcde", 40))  # 40 * 40 * 40 are too many
    assert sets == [("a", "b")]
    assert names == {chain[0].column}
    assert linked([], {}) == ([], set())


def test_dates_that_titles_may_have_replaced_one_another_on_are_not_crossed() -> None:
    columns = [
        ImpressionColumn(name, name, ("x", "y"), (0, 1))
        for name in ("surface", "calendar date", "weekday", "hour of day", "time of the log")
    ]

    def names(dates: bool) -> list[set[str]]:
        return [{a.name, b.name} for a, b in pairs_of(columns, dates=dates)]

    assert names(False) == [{"hour of day", "weekday"}, {"hour of day", "surface"}, {"weekday", "surface"}]
    assert {"calendar date", "surface"} in names(True)
    assert {"calendar date", "weekday"} not in names(True)
