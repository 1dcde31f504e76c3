"""Guardrails: conversions and revenue with known effects, shares of broken rules."""

import numpy as np
import pytest

from rlopt.ope.direct import TitleDraws
from rlopt.ope.guardrails import outcome_lift, violation_shares


def test_conversions_and_revenue_by_hand() -> None:
    n_draws = 50
    logged = TitleDraws(np.zeros((n_draws, 4)), np.array([0, 0, 1, 1]), np.array([1.0, 3.0, 1.0, 1.0]))
    new = TitleDraws(np.tile(np.log([1.2, 1.0]), (n_draws, 1)), np.array([0, 1]))
    rate = np.tile([0.1, 0.2], (n_draws, 1))
    logged_conversion, new_conversion = np.array([0.1, 0.1, 0.2, 0.4]), np.array([0.05, 0.3])
    options = {"rng": np.random.default_rng(0), "confidence": 0.95, "widening": 1.0}
    found = outcome_lift(new, logged, new_conversion, logged_conversion, rate, **options)
    # item 0: 1.2 * .05 / .1 = .6 times as many; item 1: .3 / .3 the same
    assert found.item_lift == pytest.approx([-0.4, 0.0])
    base, lost = np.array([0.1 * 0.1, 0.2 * 0.3]), np.array([0.4, 0.0])
    assert found.low <= -(base @ lost) / base.sum() <= found.high
    worth = outcome_lift(new, logged, new_conversion, logged_conversion, rate, np.array([1e6, 1.0]), **options)
    assert worth.value == pytest.approx(-0.4, abs=1e-3)  # all the money is in item 0


def test_shares_of_broken_rules() -> None:
    broken = [("repeated", "too_long"), ("unsupported",), (), ("repeated",)]
    assert violation_shares(broken) == ({"repeated": 0.5, "too_long": 0.25}, 0.5)
    assert violation_shares([]) == ({}, 0.0)
