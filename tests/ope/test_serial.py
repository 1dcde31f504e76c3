"""Serial tests with a known truth: levels of days and items cancel, carry-over is left out, errors are honest."""

import numpy as np
import pytest
from scipy import stats

from rlopt.ope.abtest import Counts, analyze
from rlopt.ope.comparison import compare, design_of
from rlopt.ope.rounds import RoundsError
from rlopt.ope.serial import after_a_switch, two_way

ITEMS, DAYS = 30, 14


def switchback(rng: np.random.Generator, *, lift: float = 0.0, together: bool = False, noise: float = 0.0) -> Counts:
    """Each item's days are randomised to one arm; days and items differ much, clicks follow a Poisson law."""
    item, day = (x.ravel() for x in np.indices((ITEMS, DAYS)))
    order = [rng.permutation(DAYS) < DAYS // 2 for _ in range(1 if together else ITEMS)]
    treated = np.array([order[0 if together else i][d] for i, d in zip(item, day, strict=True)])
    appeal, level = rng.gamma(3.0, 0.02, ITEMS), np.exp(rng.normal(0, 0.3, DAYS))
    shown = rng.poisson(800, len(item)).astype(float)
    rate = appeal[item] * level[day] * np.exp(rng.normal(0, noise, len(item))) * np.where(treated, 1 + lift, 1.0)
    return Counts(treated, item, shown, rng.poisson(shown * rate).astype(float), day)


def test_it_is_seen_as_serial_and_levels_cancel_exactly() -> None:
    rng = np.random.default_rng(0)
    found = switchback(rng)
    assert design_of(found) == "serial"
    appeal, level = rng.gamma(3.0, 0.02, ITEMS), np.exp(rng.normal(0, 0.3, DAYS))
    exact = found.impressions * appeal[found.item] * level[found.days] * np.where(found.treated, 1.2, 1.0)
    ratio = two_way(found.treated, found.item, found.days, found.impressions, exact)
    assert np.expm1(ratio.value) == pytest.approx(0.2, abs=1e-8)


def test_false_decisions_and_coverage() -> None:
    rng = np.random.default_rng(1)
    null = [analyze(switchback(rng, noise=0.1), planned_lift=0.05, final=True) for _ in range(100)]
    assert np.mean([t.decision != "undecided" for t in null]) <= 0.11  # 5% and three standard errors
    real = [analyze(switchback(rng, lift=0.1, noise=0.1), planned_lift=0.05, final=True) for _ in range(100)]
    assert np.mean([t.low <= 0.1 <= t.high for t in real]) >= 0.88
    assert np.mean([t.lift for t in real]) == pytest.approx(0.1, abs=0.01)


def test_items_that_change_together_are_compared_by_days() -> None:
    rng = np.random.default_rng(2)
    found = [compare(switchback(rng, together=True), "serial") for _ in range(100)]
    decided = [abs(c.ratio.value) > c.std_error * stats.t.ppf(0.975, min(c.effective, c.clusters - 1)) for c in found]
    assert np.mean(decided) <= 0.11  # days' levels are noise here, and the error knows it
    assert found[0].std_error > 3 * compare(switchback(rng), "serial").std_error


def test_carry_over_is_left_out() -> None:
    item = np.repeat([0, 1], 6)
    day = np.tile([0, 1, 2, 3, 4, 6], 2)
    treated = np.array([0, 0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1], dtype=bool)
    assert after_a_switch(treated, item, day, 1).tolist() == [0, 0, 1, 0, 0, 1] + [0] * 6
    assert after_a_switch(treated, item, day, 2).tolist() == [0, 0, 1, 1, 0, 1] + [0] * 6
    assert not after_a_switch(treated, item, day, 0).any()


def test_items_without_both_arms_say_nothing() -> None:
    one = Counts(np.array([True, False]), np.array([0, 1]), np.ones(2), np.ones(2), np.array([0, 1]))
    with pytest.raises(RoundsError, match="No item has had both arms"):
        compare(one, "serial")
