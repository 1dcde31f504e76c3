"""Guardrails: conversions and revenue with known effects, shares of broken rules."""

import numpy as np
import pytest

from rlopt.ope.direct import TitleDraws
from rlopt.ope.guardrails import outcome_lift, rate_slope, violation_shares


def test_conversions_and_revenue_by_hand() -> None:
    n_draws = 50
    logged = TitleDraws(np.zeros((n_draws, 4)), np.array([0, 0, 1, 1]), np.array([1.0, 3.0, 1.0, 1.0]))
    new = TitleDraws(np.tile(np.log([1.2, 1.0]), (n_draws, 1)), np.array([0, 1]))
    rate = np.tile([0.1, 0.2], (n_draws, 1))
    logged_conversion, new_conversion = np.array([0.1, 0.1, 0.2, 0.4]), np.array([0.05, 0.3])
    options = {"rng": np.random.default_rng(0), "confidence": 0.95, "widening": 1.0}
    found = outcome_lift(new, logged, new_conversion, logged_conversion, rate, (1.0, 0.0), **options)
    # item 0: 1.2 * .05 / .1 = .6 times as many; item 1: .3 / .3 the same
    assert found.item_lift == pytest.approx([-0.4, 0.0])
    base, lost = np.array([0.1 * 0.1, 0.2 * 0.3]), np.array([0.4, 0.0])
    assert found.low <= -(base @ lost) / base.sum() <= found.high
    worth = outcome_lift(
        new, logged, new_conversion, logged_conversion, rate, (1.0, 0.0), np.array([1e6, 1.0]), **options
    )
    assert worth.value == pytest.approx(-0.4, abs=1e-3)  # all the money is in item 0


def test_shares_of_broken_rules() -> None:
    broken = [("repeated", "too_long"), ("unsupported",), (), ("repeated",)]
    assert violation_shares(broken) == ({"repeated": 0.5, "too_long": 0.25}, 0.5)
    assert violation_shares([]) == ({}, 0.0)


@pytest.mark.parametrize("true_slope", [1.0, 0.4, 0.0])
def test_the_slope_of_a_model_is_found_and_its_error_is_right(true_slope: float) -> None:
    found, errors = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        item = np.repeat(np.arange(150), 3)
        log_rate = np.log(0.1) + 0.4 * rng.standard_normal(450) + np.repeat(rng.standard_normal(150), 3)
        clicks = rng.poisson(200, 450).astype(float)
        centred = log_rate - (np.bincount(item, log_rate) / 3)[item]
        conversions = rng.poisson(clicks * 0.1 * np.exp(true_slope * centred)).astype(float)
        slope, error = rate_slope(conversions, clicks, log_rate, item)
        found.append(slope)
        errors.append(error)
    assert np.mean(found) == pytest.approx(true_slope, abs=0.05)
    assert np.std(found) == pytest.approx(np.mean(errors), rel=0.35)


def test_without_conversions_the_slope_is_its_prior() -> None:
    item = np.repeat(np.arange(5), 2)
    assert rate_slope(np.zeros(10), np.ones(10), np.linspace(0, 1, 10), item) == (1.0, pytest.approx(0.5))


def test_a_model_that_does_not_come_true_moves_nothing_and_doubt_widens() -> None:
    rng = np.random.default_rng(0)
    logged = TitleDraws(np.zeros((400, 60)), np.repeat(np.arange(30), 2))
    new = TitleDraws(np.zeros((400, 30)), np.arange(30))
    rate = np.full((400, 30), 0.1)
    lifts = [
        outcome_lift(
            new, logged, np.full(30, 0.05), np.full(60, 0.1), rate, slope, rng=rng, confidence=0.95, widening=1.0
        )
        for slope in ((0.0, 0.0), (1.0, 0.0), (1.0, 0.3))
    ]
    assert lifts[0].value == pytest.approx(0.0, abs=1e-9)
    assert lifts[1].value == pytest.approx(-0.5, abs=1e-9)
    assert lifts[2].high - lifts[2].low > 0.3
