"""Rates at an item's mix of strata: those that titles have there, whatever a stratum does for one item or title."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reward.arrays import FloatArray
from reward.logs.read import LogData, read_logs
from reward.logs.standardised import Standardised, StratumCells, strata_of

from ..log_fixtures import write_log


def cells_of(clicks: FloatArray, exposure: FloatArray, arms: int) -> StratumCells:
    """Cells of tables (n_arms, n_strata) whose items have so many arms each."""
    arm, stratum = np.nonzero(exposure)
    return StratumCells(arm // arms, arm, stratum, clicks[arm, stratum], exposure[arm, stratum])


def test_with_many_clicks_the_rate_is_the_mean_over_strata_by_the_items_traffic() -> None:
    exposure = np.array([[900.0, 100.0], [100.0, 900.0]]) * 1e6
    rate = np.array([[0.02, 0.10], [0.03, 0.05]])
    found = Standardised.of(cells_of(exposure * rate, exposure, 2), 2)
    np.testing.assert_allclose(found.clicks / found.exposure, [0.06, 0.04], rtol=1e-5)
    np.testing.assert_array_equal(found.plain, exposure.sum(axis=1))


def test_titles_shown_alike_keep_their_counts() -> None:
    exposure = np.array([[6.0, 4.0], [3.0, 2.0], [9.0, 6.0]]) * 1e4
    clicks = exposure * np.array([[0.02, 0.04]]) * np.array([[1.0], [1.2], [0.8]])
    found = Standardised.of(cells_of(clicks, exposure, 3), 3)
    np.testing.assert_allclose(found.clicks, clicks.sum(axis=1), rtol=0.01)
    np.testing.assert_allclose(found.exposure, exposure.sum(axis=1), rtol=0.01)


def test_effective_clicks_tell_the_variance_and_own_levels_leave_no_bias() -> None:
    """Promo titles are shown where half of the items are clicked; titles differ there, too."""
    rng = np.random.default_rng(0)
    items, arms = 4000, 4
    promo = np.arange(arms) < 2
    shown = rng.poisson(1500 * np.where(promo[:, None], [0.85, 0.15], [0.15, 0.85]), (items, arms, 2)).astype(float)
    likes = np.where(np.arange(items) % 2 == 0, 1.0, -1.0)
    level = np.exp(0.35 * likes[:, None, None] * np.array([1.0, -1.0]) + 0.1 * rng.standard_normal((items, arms, 2)))
    rate = 0.05 * np.exp(0.4 * rng.standard_normal((items, 1, 1))) * level
    clicks = rng.poisson(shown * rate).astype(float)
    mix = shown.sum(axis=1, keepdims=True) / shown.sum(axis=(1, 2), keepdims=True)
    true = (rate * mix).sum(axis=2).ravel()
    found = Standardised.of(cells_of(clicks.reshape(-1, 2), shown.reshape(-1, 2), arms), items * arms)
    expected = found.exposure * true
    assert np.mean((found.clicks - expected) ** 2 / expected) == pytest.approx(1.0, abs=0.1)
    of_promo, of_half = np.tile(promo, items), np.repeat(likes > 0, arms)
    for half in (of_half, ~of_half):
        ratio = [found.clicks[half & kind].sum() / expected[half & kind].sum() for kind in (of_promo, ~of_promo)]
        assert ratio[0] / ratio[1] == pytest.approx(1.0, abs=0.02)  # 2.5 where levels are those of all items


def test_a_title_without_clicks_has_a_rate_of_none() -> None:
    exposure = np.array([[100.0, 50.0], [80.0, 90.0]])
    found = Standardised.of(cells_of(np.array([[0.0, 0.0], [4.0, 3.0]]), exposure, 2), 2)
    assert found.clicks[0] == 0
    assert found.exposure[0] > 0


def test_titles_that_share_no_stratum_say_little() -> None:
    exposure = np.array([[1000.0, 0.0], [0.0, 1000.0]])
    found = Standardised.of(cells_of(exposure * 0.05, exposure, 2), 2)
    assert np.all(found.exposure * 0.05 < 4)


def test_strata_are_levels_that_show_titles_alike() -> None:
    rng = np.random.default_rng(1)
    kind = rng.permutation(np.repeat([0, 1, 2], 8))
    share = np.array([[0.4, 0.4, 0.1, 0.1], [0.25] * 4, [0.1, 0.1, 0.4, 0.4]])[kind]
    shown = rng.poisson(400 * share, (50, 24, 4)).astype(float)
    item, level, arm = np.nonzero(shown)
    found = strata_of(item, item * 4 + arm, level, shown[item, level, arm], 24, most=3)
    assert len({(a, b) for a, b in zip(kind.tolist(), found.tolist(), strict=True)}) == 3


def unlike_by_category(where: str) -> dict[str, Any]:
    """Impressions of two titles that do nothing; what the circumstance does differs between two categories."""
    rng = np.random.default_rng(2)
    items, shown = 60, 4000
    n = items * shown
    first = rng.random(n) < 0.5
    promo = rng.random(n) < np.where(first, 0.8, 0.2)
    item = np.repeat(np.arange(items), shown)
    rate = 0.06 * np.where((item % 2 == 0) == first, 1.5, 0.6)
    day = np.where(first, rng.integers(0, 14, n), rng.integers(14, 28, n))
    columns = {
        "item_id": [f"item-{i:02}" for i in item],
        "title": np.where(promo, "Promo", "Plain"),
        "clicks": (rng.random(n) < rate).astype(int),
        "category": np.where(item % 2 == 0, "shoes", "bags"),
    }
    if where == "time":
        return columns | {"timestamp": 1_750_000_000.0 + 86_400.0 * day}
    return columns | {where: np.where(first, 1, 2) if where == "position" else np.where(first, "search", "mail")}


@pytest.mark.parametrize("where", ["surface", "position", "time"])
def test_a_circumstance_that_differs_by_category_is_taken_off_in_each(where: str, tmp_path: Path) -> None:
    logs = read_logs(write_log(tmp_path / "log.parquet", unlike_by_category(where)))
    for category in ("shoes", "bags"):
        ratio, error = promo_over_plain(logs, category)
        assert abs(np.log(ratio)) < 3 * error  # a factor of 1.7 in one and 0.6 in the other otherwise


def promo_over_plain(logs: LogData, category: str) -> tuple[float, float]:
    arms = logs.arms
    own = np.array([item.fields["category"] == (category,) for item in arms.items])[arms.item_index]
    (new, shown), (old, seen) = (
        (float(arms.clicks[own & kind].sum()), float(arms.exposure[own & kind].sum()))
        for kind in (arms.title == "Promo", arms.title == "Plain")
    )
    return new / shown / (old / seen), float(np.sqrt(1 / new + 1 / old))


def test_conversions_are_those_of_the_items_mix_too(tmp_path: Path) -> None:
    """People buy four times as often by search, where promo titles are shown: titles do nothing."""
    columns = unlike_by_category("surface")
    rng = np.random.default_rng(3)
    chance = np.where(np.asarray(columns["surface"]) == "search", 0.4, 0.1)
    columns["conversions"] = columns["clicks"] * (rng.random(len(chance)) < chance)
    columns["revenue"] = 20.0 * columns["conversions"]
    arms = read_logs(write_log(tmp_path / "log.parquet", columns)).arms
    assert arms.conversions is not None
    assert arms.revenue is not None
    promo = arms.title == "Promo"
    bought = [arms.conversions[kind].sum() / arms.exposure[kind].sum() for kind in (promo, ~promo)]
    error = np.sqrt(sum(1 / arms.conversions[kind].sum() for kind in (promo, ~promo)))
    assert abs(np.log(bought[0] / bought[1])) < 3 * error
    np.testing.assert_allclose(arms.revenue, 20 * arms.conversions, rtol=0.02)
