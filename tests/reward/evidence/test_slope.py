"""The slope of the title effect against truths known in advance."""

import numpy as np
import pytest

from reward.arrays import FloatArray
from reward.evidence.metrics import Interval
from reward.evidence.slope import effect_slope, trust
from reward.model.linear import ArmCounts


def shop(rng: np.random.Generator, n_items: int = 400) -> tuple[ArmCounts, FloatArray]:
    """Clicks of four titles per item with known effects."""
    effect = 0.2 * rng.standard_normal(4 * n_items)
    item = np.repeat(np.arange(n_items), 4)
    trials = np.round(2000 * np.exp(0.5 * rng.standard_normal(len(item))))
    rate = 0.03 * np.exp(0.4 * rng.standard_normal(n_items))[item] * np.exp(effect)
    return ArmCounts(rng.binomial(trials.astype(np.int64), rate).astype(float), trials, item, n_items), effect


@pytest.mark.parametrize(("said", "right"), [(1.0, 1.0), (2.0, 0.5), (0.5, 2.0), (-1.0, -1.0)])
def test_effects_told_too_large_have_the_slope_that_mends_them(said: float, right: float) -> None:
    rows, effect = shop(np.random.default_rng(0))
    found = effect_slope(rows, said * effect)
    assert found is not None
    assert found.value == pytest.approx(right, abs=0.08 * abs(right))


def test_a_prediction_without_knowledge_has_the_slope_0() -> None:
    rng = np.random.default_rng(1)
    rows, _ = shop(rng)
    found = effect_slope(rows, 0.2 * rng.standard_normal(len(rows.item)))
    assert found is not None
    assert abs(found.value) < 0.1


def test_its_interval_covers() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(100):
        rows, effect = shop(rng, 80)
        found = effect_slope(rows, 1.5 * effect)
        assert found is not None
        hits += found.low <= 1 / 1.5 <= found.high
    assert 88 <= hits <= 99


def test_nothing_is_told_where_no_prediction_differs() -> None:
    rows, effect = shop(np.random.default_rng(3), 20)
    assert effect_slope(rows, 0 * effect) is None


def test_lifts_are_made_smaller_never_larger() -> None:
    assert trust(None) == trust(Interval(1.4, 1.2, 1.6)) == (1.0, 0.0)
    factor, error = trust(Interval(0.6, 0.4, 0.8))
    assert factor == 0.6
    assert error == pytest.approx(0.2 / 1.96, rel=1e-3)
    assert trust(Interval(-0.2, -0.4, 0.1))[0] == 0.0
