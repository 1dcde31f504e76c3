"""Conversions still to come: the corrected rate is right where the naive one is far off."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reward.arrays import FloatArray
from reward.logs.delay import bin_edges, bin_hours, fit_delay
from reward.logs.read import LogData, read_logs

RATE = 0.1
LENGTH_HOURS = 24.0 * 14


def simulate(folder: Path, delay_hours: FloatArray, seed: int, **options: float) -> LogData:
    """Logs of clicks over two weeks; conversions later than the end are not in them."""
    rng = np.random.default_rng([seed, 1])  # apart from the stream of the delays
    n = len(delay_hours)
    shown = rng.uniform(0, LENGTH_HOURS, n)
    converts = rng.random(n) < RATE
    seen = converts & (shown + delay_hours <= LENGTH_HOURS)
    log = pd.DataFrame(
        {
            "item_id": (np.arange(n) % 20).astype(str),
            "title": [f"t{i % 40}" for i in range(n)],
            "clicks": 1,
            "conversions": seen.astype(int),
            "conversion_delay_hours": np.where(seen, delay_hours, np.nan),
            "timestamp": 1.7e9 + 3600 * shown,
        }
    )
    log.to_parquet(folder / "log.parquet")
    return read_logs(folder / "log.parquet", **options)


@pytest.mark.parametrize("family", ["exponential", "weibull", "lognormal"])
def test_half_of_the_conversions_still_to_come(tmp_path: Path, family: str) -> None:
    rng = np.random.default_rng(1)
    n, mean = 300_000, LENGTH_HOURS / 1.59
    delay = {
        "exponential": mean * rng.exponential(size=n),
        "weibull": mean * rng.weibull(0.8, n),
        "lognormal": np.exp(np.log(0.6 * mean) + rng.standard_normal(n)),
    }[family]
    logs = simulate(tmp_path, delay, 1)
    arms = logs.arms
    assert arms.conversions is not None
    assert arms.matured_clicks is not None
    assert logs.delay is not None
    assert logs.delay.family == family
    naive = arms.conversions.sum() / arms.clicks.sum()
    corrected = arms.conversions.sum() / arms.matured_clicks.sum()
    assert naive < 0.6 * RATE
    assert corrected == pytest.approx(RATE, rel=0.05)
    by_arm = arms.conversions / arms.matured_clicks
    assert np.mean(by_arm) == pytest.approx(RATE, rel=0.05)


def test_some_buy_at_once_and_others_days_later(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    delay = np.where(rng.random(300_000) < 0.6, 3, 72) * rng.standard_exponential(300_000)
    logs = simulate(tmp_path, delay, 5)
    arms = logs.arms
    assert arms.conversions is not None
    assert arms.matured_clicks is not None
    assert logs.delay is not None
    assert logs.delay.family == "two exponentials"
    assert arms.conversions.sum() / arms.clicks.sum() < 0.93 * RATE
    assert arms.conversions.sum() / arms.matured_clicks.sum() == pytest.approx(RATE, rel=0.02)


def test_short_delays_need_no_correction(tmp_path: Path) -> None:
    delay = np.random.default_rng(2).exponential(0.5, 20_000)
    arms = simulate(tmp_path, delay, 2).arms
    assert arms.matured_clicks is not None
    assert arms.matured_clicks.sum() == pytest.approx(arms.clicks.sum(), rel=0.01)


def test_attribution_window(tmp_path: Path) -> None:
    """Within a window of 24 hours the rate is RATE * F(24), delays beyond it count as no conversion."""
    delay = np.random.default_rng(3).exponential(48, 100_000)
    logs = simulate(tmp_path, delay, 3, conversion_window_hours=24)
    arms = logs.arms
    assert arms.conversions is not None
    assert arms.matured_clicks is not None
    truth = RATE * -np.expm1(-24 / 48)
    assert arms.conversions.sum() / arms.matured_clicks.sum() == pytest.approx(truth, rel=0.04)
    assert arms.conversions.sum() < np.count_nonzero(delay < 24) * RATE * 1.05


def test_without_delays_every_click_counts(tmp_path: Path) -> None:
    log = pd.DataFrame({"item_id": ["1"], "title": ["a"], "clicks": [5], "impressions": [9], "conversions": [2]})
    log.to_parquet(tmp_path / "log.parquet")
    logs = read_logs(tmp_path / "log.parquet")
    assert logs.delay is None
    assert logs.arms.matured_clicks is not None
    assert logs.arms.matured_clicks.tolist() == [5.0]


def test_too_few_conversions_fit_no_delay() -> None:
    cells = np.array([10, 20]), np.array([200, 200])
    assert fit_delay(*cells, np.array([10.0, 19.0]), longest_hours=1_000.0) is None
    assert fit_delay(*cells, np.array([10.0, 20.0]), longest_hours=1_000.0) is not None
    assert fit_delay(*cells, np.array([10.0, 20.0]), longest_hours=0.0) is None


def test_bins_cover_all_ages_without_gaps() -> None:
    edges, hours = bin_edges(), bin_hours()
    assert edges[0] == 0
    assert edges[-1] > 1e7
    assert ((edges[:-1] < hours) & (hours < edges[1:])).all()


def test_nothing_is_extrapolated_beyond_four_times() -> None:
    """Delays spread evenly up to every age could mean any number still to come: at most a factor of 4 is assumed."""
    edges = bin_edges()
    rng = np.random.default_rng(4)
    age = rng.uniform(0, 100, 5_000)
    delay = age * rng.random(5_000)
    bins = [np.searchsorted(edges, values, side="right") - 1 for values in (delay, age)]
    model = fit_delay(bins[0], bins[1], np.ones(5_000), longest_hours=100.0)
    assert model is not None
    assert model.seen(np.array([100.0]))[0] >= 0.25
