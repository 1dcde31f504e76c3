"""Power and size of tests: closed forms, and what simulated tests find."""

from dataclasses import replace

import numpy as np
import pytest

from rlopt.ope.power import TestDesign, always_valid
from rlopt.ope.sequential import planned_information, sequence_reach


def test_overdispersion_multiplies_the_sample() -> None:
    plain = TestDesign(0.03)
    assert replace(plain, overdispersion=1.7).impressions(0.05) == pytest.approx(1.7 * plain.impressions(0.05))


def test_items_that_respond_differently_bound_what_any_traffic_can_show() -> None:
    few = TestDesign(0.03, lift_spread=0.2, effective_items=30)
    assert few.impressions(0.05) == np.inf  # 0.2 / sqrt(30) = 3.7% error that no impression removes
    many = replace(few, effective_items=3000)
    assert TestDesign(0.03).impressions(0.05) < many.impressions(0.05) < np.inf
    assert many.power(0.05, many.impressions(0.05)) == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_simulated_tests_find_it_as_often_as_planned(share: float) -> None:
    rng = np.random.default_rng(3)
    plan = TestDesign(0.05, treated_share=share)
    n = plan.impressions(0.1)
    sizes = np.array([n * (1 - share), n * share])
    control, treated = (rng.binomial(int(m), p, 4000) / int(m) for m, p in zip(sizes, (0.05, 0.055), strict=True))
    pooled = control * (1 - share) + treated * share
    z = (treated - control) / np.sqrt(pooled * (1 - pooled) * (1 / sizes).sum())
    assert np.mean(z > 1.959964) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base_rate": 0.0}, r"base_rate of an A/B test must be in \(0, 1\). Got 0"),
        ({"treated_share": 1.0}, "treated_share of an A/B test"),
        ({"alpha": 5.0}, "alpha of an A/B test"),
        ({"lift_spread": -1.0}, "lift_spread of an A/B test must not be negative"),
        ({"overdispersion": float("nan")}, "overdispersion of an A/B test"),
    ],
)
def test_bad_designs_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TestDesign(**({"base_rate": 0.1} | change))


def test_bad_questions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"No test finds a lift of \+0.0%"):
        TestDesign(0.1).impressions(0.0)
    with pytest.raises(ValueError, match="power must be between alpha"):
        TestDesign(0.1).impressions(0.1, power=0.01)
    with pytest.raises(ValueError, match=r"takes a rate of 0.5 out of \[0, 1\]"):
        TestDesign(0.5).impressions(1.5)


def test_the_planned_power_is_that_of_the_interval_that_decides() -> None:
    """A test as large as planned for any number of looks, looked at once at its end, finds the lift in 80%."""
    design = TestDesign(0.05, effective_items=np.inf)
    total = always_valid(design, 0.1).impressions(0.1)
    assert total > 1.3 * design.impressions(0.1)
    rng, planned, found = np.random.default_rng(0), planned_information(0.1), 0
    half = int(total / 2)
    for _ in range(2000):
        old, new = rng.binomial(half, [0.05, 0.055])
        reach = sequence_reach(float(np.sqrt(1 / old + 1 / new)), planned)
        found += np.log(new / old) > reach
    assert found / 2000 == pytest.approx(0.8, abs=0.03)
