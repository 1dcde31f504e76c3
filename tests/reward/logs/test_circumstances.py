"""Titles shown under unlike circumstances: the rates that come out are those of like ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reward.arms import Arms
from reward.arrays import FloatArray
from reward.doctor.examine import examine
from reward.logs.balance import Balance
from reward.logs.read import LogData, read_logs

from ..log_fixtures import write_log

ITEMS, SHOWN = 60, 3000
BOOST = {"good": 2.0, "poor": 0.5}


def confounded(rng: np.random.Generator, share_of_promo: dict[str, float], **more: Any) -> dict[str, Any]:
    """Impressions of a plain and a promo title an item; circumstances double or halve clicks, titles do nothing."""
    n = ITEMS * SHOWN
    where = rng.choice(["good", "poor"], n)
    chance = np.where(where == "good", share_of_promo["good"], share_of_promo["poor"])
    promo = rng.random(n) < chance
    rate = 0.05 * np.where(where == "good", BOOST["good"], BOOST["poor"])
    return {
        "item_id": np.repeat([f"item-{i:03}" for i in range(ITEMS)], SHOWN),
        "title": np.where(promo, "Promo", "Plain"),
        "clicks": (rng.random(n) < rate).astype(int),
        "where": where,
        "propensity": np.where(promo, chance, 1 - chance),
        **more,
    }


def read(path: Path, columns: dict[str, Any], *names: str) -> LogData:
    return read_logs(
        write_log(path / "log.parquet", {name: columns[name] for name in ("item_id", "title", "clicks", *names)})
    )


def relative_rate(arms: Arms) -> tuple[float, float]:
    """Promo against plain over all items on the log scale, and its standard error from the effective clicks."""
    promo = arms.title == "Promo"

    def total(rows: FloatArray) -> tuple[float, float]:
        return float(arms.clicks[rows].sum()), float(arms.exposure[rows].sum())

    (new, shown), (old, seen) = total(promo), total(~promo)
    return float(np.log(new / shown / (old / seen))), float(np.sqrt(1 / new + 1 / old))


def test_row_propensities_undo_the_personalisation(tmp_path: Path) -> None:
    columns = confounded(np.random.default_rng(0), {"good": 0.8, "poor": 0.2})
    data = read(tmp_path, columns, "propensity")
    assert data.weighted is not None
    assert data.arms.propensity_logged
    lift, error = relative_rate(data.arms)
    assert abs(lift) < 3 * error
    naive, _ = relative_rate(read(tmp_path, columns).arms)
    assert naive > 0.5  # what the counts as they stand would say


def test_effective_clicks_have_the_variance_of_the_weighted_rate(tmp_path: Path) -> None:
    lifts, errors = [], []
    for seed in range(20):
        found = read(tmp_path, confounded(np.random.default_rng(seed), {"good": 0.9, "poor": 0.1}), "propensity")
        lift, error = relative_rate(found.arms)
        lifts.append(lift)
        errors.append(error)
    assert np.std(lifts) == pytest.approx(np.mean(errors), rel=0.5)  # 20 draws know a deviation to 16%


def test_the_same_confounding_in_a_column_is_found_and_taken_off(tmp_path: Path) -> None:
    data = read(tmp_path, confounded(np.random.default_rng(1), {"good": 0.8, "poor": 0.2}), "where")
    (found,) = data.balances
    assert found.column == "where"
    assert found.adjusted
    assert found.imbalance == pytest.approx(0.6, abs=0.02)  # Cramer's V of an 80/20 against 20/80 table
    assert found.click_ratio == pytest.approx(BOOST["good"] / BOOST["poor"], rel=0.05)
    lift, error = relative_rate(data.arms)
    assert abs(lift) < 3 * error


@pytest.mark.parametrize("kind", ["text", "number"])
def test_a_missing_value_is_a_level_of_its_own(kind: str, tmp_path: Path) -> None:
    """Apps that log no surface, or an old one that logs no version, still have traffic of their own."""
    columns = confounded(np.random.default_rng(5), {"good": 0.8, "poor": 0.2})
    known = columns["where"] == "poor"
    version = np.random.default_rng(6).integers(100, 999, len(known))
    columns["app"] = np.where(known, version, np.nan) if kind == "number" else np.where(known, "web", None)
    data = read(tmp_path, columns, "app")
    (found,) = data.balances
    assert found.adjusted
    lift, error = relative_rate(data.arms)
    assert abs(lift) < 3 * error


def test_impressions_without_a_position_are_compared_with_each_other(tmp_path: Path) -> None:
    """Mails have no position, and people who read them click otherwise."""
    columns = confounded(np.random.default_rng(9), {"good": 0.8, "poor": 0.2})
    position = np.random.default_rng(10).integers(1, 5, len(columns["where"])).astype(float)
    columns["position"] = np.where(columns["where"] == "poor", position, None)
    data = read(tmp_path, columns, "position")
    (found,) = data.balances
    assert found.column == "position"
    assert found.adjusted
    lift, error = relative_rate(data.arms)
    assert abs(lift) < 3 * error


def test_a_column_that_differs_within_some_items_is_compared_and_stays_context(tmp_path: Path) -> None:
    """A sale of a few products: what their titles have from it is not the titles'."""
    columns = confounded(np.random.default_rng(7), {"good": 0.8, "poor": 0.2})
    of_sale = np.isin(columns["item_id"], [f"item-{i:03}" for i in range(0, ITEMS, 5)])
    rng = np.random.default_rng(8)
    columns["title"] = np.where(of_sale, columns["title"], np.where(rng.random(len(of_sale)) < 0.5, "Promo", "Plain"))
    columns["sale"] = np.where(of_sale, columns["where"], "no")
    data = read(tmp_path, columns, "sale")
    assert data.context_columns == ("sale",)
    (found,) = data.balances
    assert found.column == "sale"
    assert found.adjusted
    kept = np.isin(data.arms.item_ids, columns["item_id"][of_sale])
    lift, error = relative_rate(data.arms.take(np.flatnonzero(kept)))
    assert abs(lift) < 3 * error


def test_hours_and_weekdays_are_columns_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    columns = confounded(rng, {"good": 0.7, "poor": 0.3})
    hour = np.where(
        columns["where"] == "good",
        rng.integers(17, 23, len(columns["where"])),
        rng.integers(6, 17, len(columns["where"])),
    )
    day = rng.integers(0, 20, len(hour))
    columns["timestamp"] = (1_750_000_000 // 86400 + day) * 86400 + hour * 3600.0
    data = read(tmp_path, columns, "timestamp")
    found = {balance.column: balance for balance in data.balances}
    assert found["hour of day"].adjusted
    assert not found["weekday"].adjusted
    lift, error = relative_rate(data.arms)
    assert abs(lift) < 3 * error


@pytest.mark.parametrize("when", ["a campaign in the middle", "hours of sale, later each day"])
def test_times_are_columns_that_mean_times_do_not_show(when: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    columns = confounded(rng, {"good": 0.8, "poor": 0.2})
    good = columns["where"] == "good"
    n = len(good)
    if when.startswith("a"):
        day = np.where(good, rng.integers(12, 16, n), rng.choice(np.r_[0:12, 16:28], n))
        hour = rng.integers(0, 24, n)
    else:
        day = rng.integers(0, 14, n)
        start = 7 * day
        hour = (start + np.where(good, rng.integers(0, 8, n), rng.integers(8, 24, n))) % 24
    columns["timestamp"] = (1_750_000_000 // 86400 + day) * 86400 + hour * 3600.0
    data = read(tmp_path, columns, "timestamp")
    assert any(balance.adjusted for balance in data.balances)
    lift, error = relative_rate(data.arms)
    assert abs(lift) < 3 * error


def test_randomised_titles_are_balanced_and_left_as_they_are(tmp_path: Path) -> None:
    data = read(tmp_path, confounded(np.random.default_rng(3), {"good": 0.5, "poor": 0.5}), "where", "propensity")
    (found,) = data.balances
    assert found.p_value > 0.001
    assert not found.adjusted
    assert data.weighted is None
    np.testing.assert_array_equal(data.arms.exposure, data.arms.impressions)


def test_balance_p_values_are_uniform_where_titles_are_randomised(tmp_path: Path) -> None:
    def p_value(seed: int) -> Balance:
        return read(tmp_path, confounded(np.random.default_rng(seed), {"good": 0.5, "poor": 0.5}), "where").balances[0]

    p_values = np.array([p_value(seed).p_value for seed in range(24)])
    assert np.mean(p_values < 0.1) <= 0.3  # binomial(24, 0.1) stays below with 99.8%
    assert 0.3 < np.mean(p_values) < 0.7


def test_titles_at_circumstances_of_their_own_cannot_be_compared(tmp_path: Path) -> None:
    data = read(tmp_path, confounded(np.random.default_rng(4), {"good": 1.0, "poor": 0.0}), "where")
    (found,) = data.balances
    assert found.tied_share == pytest.approx(0.5, abs=0.02)


def test_titles_at_combinations_of_their_own_are_a_doubt(tmp_path: Path) -> None:
    """Promo titles are shown on the phone in search and on the desktop in mail, balanced by each of the two."""
    rng = np.random.default_rng(14)
    columns = confounded(rng, {"good": 1.0, "poor": 0.0})
    phone = rng.random(len(columns["where"])) < 0.5
    columns["device"] = np.where(phone, "phone", "desktop")
    columns["surface"] = np.where(phone == (columns["where"] == "good"), "search", "mail")
    data = read(tmp_path, columns, "device", "surface")
    assert [balance.columns for balance in data.balances if balance.held] == [("surface", "device")]
    doubts = [finding.message for finding in examine(data).findings if finding.kind == "unlike_circumstances"]
    assert len(doubts) == 1
    assert "Show the titles of an item at the same combinations of surface and device." in doubts[0]


def test_users_and_sessions_are_no_circumstances(tmp_path: Path) -> None:
    columns = confounded(np.random.default_rng(5), {"good": 0.5, "poor": 0.5})
    columns["session"] = [f"s{i}" for i in range(len(columns["title"]))]
    assert read(tmp_path, columns, "session").balances == ()


def test_numbers_with_many_values_are_compared_by_ranges(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    columns = confounded(rng, {"good": 0.8, "poor": 0.2})
    columns["speed"] = np.where(columns["where"] == "good", 1.0, -1.0) + rng.normal(0, 0.1, len(columns["where"]))
    data = read(tmp_path, columns, "speed")
    (found,) = data.balances
    assert found.adjusted
    assert found.levels <= 10
    lift, error = relative_rate(data.arms)
    assert abs(lift) < 3 * error


def test_hostile_values_are_levels_like_others(tmp_path: Path) -> None:
    columns = confounded(np.random.default_rng(7), {"good": 0.8, "poor": 0.2})
    columns["where"] = np.where(columns["where"] == "good", "'); DROP TABLE arms; --", 'x" $theta0')
    data = read(tmp_path, columns, "where")
    assert data.balances[0].adjusted


def test_circumstances_are_no_overdispersion(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    where = np.tile(np.repeat(["good", "poor"], 10), 40)
    promo = rng.random(len(where)) < np.where(where == "good", 0.8, 0.2)
    columns = {
        "item_id": np.repeat([f"item-{i:03}" for i in range(40)], 20),
        "title": np.where(promo, "Promo", "Plain"),
        "impressions": np.full(len(where), 2000),
        "clicks": rng.binomial(2000, np.where(where == "good", 0.1, 0.025)),
        "where": where,
    }
    data = read(tmp_path, columns, "where", "impressions")
    assert data.balances[0].adjusted
    assert data.overdispersion == pytest.approx(1.0, abs=0.2)
    blind = read(tmp_path, {k: v for k, v in columns.items() if k != "where"}, "impressions")
    assert blind.overdispersion is not None
    assert blind.overdispersion > 5


def in_segments(
    rng: np.random.Generator, leaning: float, *, segments: int = 300, shown: int = 80, uneven: bool = False
) -> dict[str, Any]:
    """Promo titles are 40% better; segments click unlike much, and promo titles lean to those that click.

    ``uneven``: segments that click more on even items click less on odd ones.
    """
    z = np.repeat(rng.standard_normal(segments), 60)
    likes = z * np.where(uneven & (np.arange(len(z)) % 2 == 1), -1.0, 1.0)
    n = rng.poisson(shown, len(z))
    promo = rng.binomial(n, 1 / (1 + np.exp(-leaning * z)))
    rate = np.minimum(0.05 * np.exp(0.4 * likes), 0.6)
    impressions = np.concatenate([promo, n - promo])
    columns = {
        "item_id": np.tile([f"item-{i:03}" for i in range(60)], 2 * segments),
        "title": np.repeat(["Promo", "Plain"], len(z)),
        "impressions": impressions,
        "clicks": rng.binomial(impressions, np.concatenate([1.4 * rate, rate])),
        "segment": np.tile(np.repeat([f"segment {i}" for i in range(segments)], 60), 2),
    }
    return {name: values[impressions > 0] for name, values in columns.items()}


def test_of_many_values_those_with_like_clicks_share_a_level(tmp_path: Path) -> None:
    columns = in_segments(np.random.default_rng(9), 1.2)
    data = read(tmp_path, columns, "impressions", "segment")
    (found,) = data.balances
    assert found.adjusted
    assert found.pooled == 0
    lift, error = relative_rate(data.arms)
    assert abs(lift - np.log(1.4)) < 3 * error + 0.01
    blind, _ = relative_rate(read(tmp_path, {k: v for k, v in columns.items() if k != "segment"}, "impressions").arms)
    assert blind > np.log(1.4) + 0.2


def test_values_may_do_opposite_things_to_different_items(tmp_path: Path) -> None:
    columns = in_segments(np.random.default_rng(14), 1.2, uneven=True)
    arms = read(tmp_path, columns, "impressions", "segment").arms
    for parity in (0, 1):
        own = np.flatnonzero([int(name[-3:]) % 2 == parity for name in arms.item_ids])
        lift, error = relative_rate(arms.take(own))
        assert abs(lift - np.log(1.4)) < 3 * error + 0.03  # strata leave a tenth of the bias of 0.36


def test_levels_made_from_clicks_do_not_make_randomised_titles_look_unlike(tmp_path: Path) -> None:
    def p_value(seed: int) -> float:
        columns = in_segments(np.random.default_rng(seed), 0.0, segments=900, shown=8)
        return read(tmp_path, columns, "impressions", "segment").balances[0].p_value

    p_values = np.array([p_value(seed) for seed in range(12)])
    assert np.mean(p_values < 0.1) <= 0.34  # binomial(12, 0.1) stays below with 99.6%


def test_values_too_rare_to_compare_are_a_doubt(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    columns = in_segments(rng, 1.2, segments=900, shown=4)
    where = np.where(rng.random(len(columns["title"])) < 0.5, columns["segment"], "common")
    logs = read(tmp_path, columns | {"segment": where}, "impressions", "segment")
    (found,) = logs.balances
    assert found.pooled > 0.3
    assert ("unlike_circumstances", "doubt") in {(one.kind, one.consequence) for one in examine(logs).findings}


def test_who_buys_may_differ_where_who_clicks_does_not(tmp_path: Path) -> None:
    """Clicks are alike everywhere; buyers are on one surface, and promo titles too."""
    rng = np.random.default_rng(13)
    columns = confounded(rng, {"good": 0.8, "poor": 0.2})
    clicks = (rng.random(len(columns["title"])) < 0.1).astype(int)
    rate = np.where(columns["where"] == "good", 0.4, 0.1)
    columns |= {"clicks": clicks, "conversions": clicks * (rng.random(len(clicks)) < rate)}
    data = read(tmp_path, columns, "where", "conversions")
    (found,) = data.balances
    assert found.adjusted
    assert found.outcomes == "conversions"
    arms = data.arms
    assert arms.conversions is not None
    assert arms.matured_clicks is not None
    promo = arms.title == "Promo"
    bought, clicked = (np.array([x[promo].sum(), x[~promo].sum()]) for x in (arms.conversions, arms.matured_clicks))
    error = float(np.sqrt(np.sum(1 / bought)))
    assert abs(np.log(bought / clicked) @ [1, -1]) < 3 * error
    naive = [columns["conversions"][columns["title"] == name].mean() for name in ("Promo", "Plain")]
    assert np.log(naive[0] / naive[1]) > 0.4
    (said,) = (one for one in examine(data).findings if one.kind == "equal_levels")
    assert "conversions differ by it" in said.message


def test_with_revenue_unequal_shares_are_enough_and_said(tmp_path: Path) -> None:
    """Clicks are alike everywhere; how much people spend is not tested, and may differ."""
    rng = np.random.default_rng(15)
    columns = confounded(rng, {"good": 0.8, "poor": 0.2})
    clicks = (rng.random(len(columns["title"])) < 0.1).astype(int)
    columns |= {"clicks": clicks, "revenue": clicks * np.where(columns["where"] == "good", 30.0, 10.0)}
    data = read(tmp_path, columns, "where", "revenue")
    assert data.arms.revenue is not None
    promo = data.arms.title == "Promo"
    rate = [data.arms.revenue[rows].sum() / data.arms.exposure[rows].sum() for rows in (promo, ~promo)]
    assert rate[0] / rate[1] == pytest.approx(1.0, abs=0.1)
    (found,) = data.balances
    assert not found.outcomes
    assert any("Revenue may" in one.message for one in examine(data).findings)
