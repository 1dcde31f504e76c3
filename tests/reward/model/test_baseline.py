"""Item baseline: closed forms of the beta-binomial."""

import numpy as np
import pytest

from reward.model.baseline import beta_strength, shrink
from reward.model.linear import ArmCounts


def test_strength_is_recovered_from_beta_binomial_counts() -> None:
    rng = np.random.default_rng(0)
    trials = rng.integers(200, 3000, 4000).astype(float)
    p = rng.beta(40 * 0.05, 40 * 0.95, 4000)
    clicks = rng.binomial(trials.astype(int), p).astype(float)
    assert beta_strength(clicks, trials, np.full(4000, 0.05), 1.0) == pytest.approx(40, rel=0.12)


def test_equal_rates_shrink_all_the_way() -> None:
    rng = np.random.default_rng(1)
    trials = np.full(2000, 1000.0)
    clicks = rng.binomial(1000, 0.05, 2000).astype(float)
    strength = beta_strength(clicks, trials, np.full(2000, 0.05), 1.0)
    assert strength > 5000


def test_shrunken_rate_is_the_posterior_mean() -> None:
    """(clicks + s m) / (trials + s) for items of one title and no effect."""
    rng = np.random.default_rng(2)
    trials = rng.integers(20, 4000, 500).astype(float)
    clicks = rng.binomial(trials.astype(int), rng.beta(2, 38, 500)).astype(float)
    rows = ArmCounts(clicks, trials, np.arange(500), 500)
    prior = np.full(500, np.log(0.05 / 0.95))
    intercept, spread, strength = shrink(rows, np.zeros(500), prior, 1.0)
    rate = 1 / (1 + np.exp(-intercept))
    np.testing.assert_allclose(rate, (clicks + strength * 0.05) / (trials + strength), rtol=1e-6)
    assert np.all(np.diff(spread[np.argsort(trials + strength)][::100]) < 0.2)
    assert spread[np.argmax(clicks)] < spread[np.argmin(clicks)]


def test_overdispersed_clicks_count_for_less() -> None:
    rows = ArmCounts(np.array([100.0, 10.0, 60.0]), np.full(3, 1000.0), np.arange(3), 3)
    prior = np.full(3, np.log(0.05 / 0.95))
    usual = shrink(rows, np.zeros(3), prior, 1.0)[0]
    doubted = shrink(rows, np.zeros(3), prior, 3.0)[0]
    assert np.all(np.abs(doubted - prior) < np.abs(usual - prior))
