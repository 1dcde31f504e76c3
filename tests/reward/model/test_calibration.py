"""Calibration finds the distortion that was put in."""

import numpy as np
import pytest

from reward.model import calibration
from reward.model.linear import ArmCounts, Noise


def test_platt_undoes_a_known_distortion() -> None:
    rng = np.random.default_rng(0)
    truth = -3 + 0.6 * rng.standard_normal(4000)
    trials = rng.integers(100, 3000, 4000).astype(float)
    clicks = rng.binomial(trials.astype(int), 1 / (1 + np.exp(-truth))).astype(float)
    said = (truth - 0.4) / 0.7
    platt = calibration.fit_platt(said, clicks, trials, 0.0)
    assert platt.slope == pytest.approx(0.7, abs=0.02)
    np.testing.assert_allclose(platt.apply(said), truth, atol=0.06)


@pytest.mark.parametrize("clicks", [0.0, 100.0])
def test_platt_leaves_things_alone_without_both_outcomes(clicks: float) -> None:
    platt = calibration.fit_platt(np.zeros(3), np.full(3, clicks), np.full(3, 100.0), 0.0)
    assert platt == calibration.Platt(0.0, 1.0)


def world(error: float, seed: int = 1) -> tuple[ArmCounts, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    item = np.repeat(np.arange(1000), 5)
    effect = 0.3 * rng.standard_normal(5000)
    trials = rng.integers(500, 6000, 5000).astype(float)
    logit = -3.3 + 0.5 * rng.standard_normal(1000)[item] + effect + error * rng.standard_normal(5000)
    clicks = rng.binomial(trials.astype(int), 1 / (1 + np.exp(-logit))).astype(float)
    return ArmCounts(clicks, trials, item, 1000), effect, item


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5])
def test_effect_slope_undoes_a_factor(factor: float) -> None:
    rows, effect, _ = world(0.0)
    assert calibration.effect_slope(rows, effect / factor, Noise()) == pytest.approx(factor, rel=0.05)


@pytest.mark.parametrize("error", [0.15, 0.3])
def test_spread_finds_the_error_of_the_effect(error: float) -> None:
    rows, effect, _ = world(error)
    spread = calibration.fit_spread(rows, effect, np.zeros(len(effect)), Noise(1.0, 0.0))
    assert spread.apply(np.zeros(3)) == pytest.approx(error, rel=0.12)


def test_spread_is_no_less_than_what_the_features_do_not_see() -> None:
    rows, effect, _ = world(0.0)
    spread = calibration.fit_spread(rows, effect, np.zeros(len(effect)), Noise(1.0, 0.04))
    assert spread.rest == pytest.approx(0.2)
