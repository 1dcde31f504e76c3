"""Importance weights: closed forms and refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlopt.ope import weights


def test_effective_sample_size_closed_forms() -> None:
    assert weights.effective_sample_size(np.full(7, 3.0)) == pytest.approx(7)
    assert weights.effective_sample_size(np.array([0.0, 0.0, 5.0])) == pytest.approx(1)
    assert weights.effective_sample_size(np.zeros(4)) == 0.0
    # k of n rounds with equal weight, the others none
    assert weights.effective_sample_size(np.array([1.0, 0.0]), np.array([40.0, 60.0])) == pytest.approx(40)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=30), st.floats(0.01, 50))
def test_tamed_weights_never_exceed_the_raw_ones(values: list[float], parameter: float) -> None:
    w = np.array(values)
    share = parameter / 50
    for tamed in (
        weights.clip(w, parameter),
        weights.switch(w, parameter),
        weights.optimistic_shrinkage(w, parameter),
    ):
        assert np.all(tamed <= w * (1 + 1e-12))
    assert np.all(weights.optimistic_shrinkage(w, parameter) <= np.sqrt(parameter) / 2 * (1 + 1e-12))
    assert np.all(weights.subgaussian(w, share) <= 1 / share * (1 + 1e-12))


def test_subgaussian_with_full_shrinkage_keeps_unused_titles_at_zero() -> None:
    assert weights.subgaussian(np.array([0.0, 0.5, 4.0]), 1.0).tolist() == [0.0, 1.0, 1.0]


def test_policy_over_logged_titles() -> None:
    log_prob = np.log([0.2, 0.1, 1e-30, 3e-30])
    probability, mass = weights.policy_over_logged(log_prob, np.array([0, 0, 1, 1]))
    assert probability == pytest.approx([2 / 3, 1 / 3, 0.25, 0.75])
    assert mass == pytest.approx([0.3, 4e-30])
    impossible = np.array([-np.inf, -np.inf, np.log(0.3), -np.inf])  # the policy cannot write item 0's titles at all
    probability, mass = weights.policy_over_logged(impossible, np.array([0, 0, 1, 1]))
    assert probability.tolist() == [0.5, 0.5, 1.0, 0.0]
    assert mass == pytest.approx([0.0, 0.3])


def test_policy_over_logged_titles_survives_underflow() -> None:
    probability, mass = weights.policy_over_logged(np.array([-2000.0, -2001.0]), np.array([0, 0]))
    assert probability == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))])
    assert mass.tolist() == [0.0]


@pytest.mark.parametrize("propensity", [0.0, -0.1, 1.7, float("nan")])
def test_propensity_outside_its_range_is_refused(propensity: float) -> None:
    with pytest.raises(ValueError, match=r"propensity must be in \(0, 1\].*row 1"):
        weights.importance_weight(np.array([0.1, 0.1]), np.array([0.5, propensity]))
