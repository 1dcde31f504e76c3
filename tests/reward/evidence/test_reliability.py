"""Calibration figures on counts drawn from known probabilities."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from reward.evidence.reliability import calibration_error, interval_coverage, normalised_entropy, reliability
from reward.model.linear import ArmCounts


def test_calibration_error_is_the_shift() -> None:
    rng = np.random.default_rng(3)
    p = rng.uniform(0.01, 0.05, 4000)
    trials = np.full(4000, 1e6)
    rows = ArmCounts(p * trials, trials, np.arange(4000), 4000)
    assert calibration_error(p, rows) == pytest.approx(0.0, abs=1e-9)
    assert calibration_error(p + 0.01, rows) == pytest.approx(0.01)


def test_reliability_intervals_hold_the_rate_of_their_bin() -> None:
    rng = np.random.default_rng(4)
    inside = []
    for seed in range(20):
        p = rng.uniform(0.01, 0.1, 600)
        trials = np.full(600, 400.0)
        rows = ArmCounts(rng.binomial(400, p).astype(float), trials, np.repeat(np.arange(200), 3), 200)
        found = reliability(p, rows, seed)
        assert [b.predicted for b in found] == sorted(b.predicted for b in found)
        inside += [b.observed.low <= b.predicted <= b.observed.high for b in found]
    assert 0.88 <= np.mean(inside) <= 0.99


def test_normalised_entropy_is_the_log_loss_over_that_of_the_base_rate() -> None:
    rng = np.random.default_rng(5)
    p = rng.uniform(0.05, 0.6, 2000)
    clicks = (rng.random(2000) < p).astype(float)
    rows = ArmCounts(clicks, np.ones(2000), np.arange(2000), 2000)
    base = log_loss(clicks, np.full(2000, clicks.mean()))
    assert normalised_entropy(p, rows) == pytest.approx(log_loss(clicks, p) / base)
    assert normalised_entropy(np.full(2000, clicks.mean()), rows) == pytest.approx(1.0)
    assert normalised_entropy(p, ArmCounts(np.zeros(2000), np.ones(2000), np.arange(2000), 2000)) is None


@pytest.mark.parametrize("trials", [30.0, 3000.0])
@pytest.mark.parametrize("phi", [1.0, 2.0])
def test_coverage_is_exact_where_the_model_says_how_wrong_it_is(trials: float, phi: float) -> None:
    rng = np.random.default_rng(6)
    p, std = rng.uniform(0.03, 0.06, 6000), 0.008
    mean = trials * np.maximum(p + std * rng.standard_normal(6000), 1e-3)
    clicks = rng.poisson(mean) if phi == 1.0 else rng.negative_binomial(mean / (phi - 1), 1 / phi)
    rows = ArmCounts(np.minimum(clicks, trials).astype(float), np.full(6000, trials), np.arange(6000), 6000)
    assert interval_coverage(p, np.full(6000, std), rows, phi, 0) == pytest.approx(0.9, abs=0.015)
    too_sure = interval_coverage(p, np.full(6000, std / 10), rows, phi, 0)
    assert too_sure is not None
    assert too_sure < (0.9 if trials < 100 else 0.85)
