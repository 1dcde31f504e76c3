"""The noise ceiling against what a model that knows the true rates reaches on the same clicks."""

import numpy as np
import pytest

from reward.arrays import FloatArray
from reward.evidence import metrics
from reward.evidence.ceiling import noise_ceiling
from reward.model.linear import ArmCounts


def shop(effect: FloatArray, exposure: float, phi: float, rng: np.random.Generator) -> tuple[ArmCounts, FloatArray]:
    """Clicks of titles with these effects on the log rate, shape (n_items, k), and their true rates.

    Items differ in their rates, arms in their exposure (by a factor of two); counts vary ``phi`` times as chance.
    """
    n_items, k = effect.shape
    rate = np.minimum(0.03 * np.exp(rng.normal(0, 0.8, (n_items, 1)) + effect), 0.9).ravel()
    trials = np.maximum(np.round(exposure * np.exp(rng.normal(0, 0.7, n_items * k))), 2.0)
    if phi == 1.0:
        clicks = rng.binomial(trials.astype(np.int64), rate)
    else:
        clicks = rng.negative_binomial(rate * trials / (phi - 1), 1 / phi)
    return ArmCounts(np.minimum(clicks, trials).astype(float), trials, np.repeat(np.arange(n_items), k), n_items), rate


def normal(n: int, rng: np.random.Generator) -> FloatArray:
    return 0.2 * rng.standard_normal((n, 4))


def weak(n: int, rng: np.random.Generator) -> FloatArray:
    return 0.1 * rng.standard_normal((n, 4))


def heavy_tailed(n: int, rng: np.random.Generator) -> FloatArray:
    return 0.12 * rng.standard_t(3, (n, 4))


def moved_together(n: int, rng: np.random.Generator) -> FloatArray:
    """Effects of an item's titles with a correlation of 0.8."""
    return 0.2 * rng.standard_normal((n, 4)) + 0.4 * rng.standard_normal((n, 1))


def twins(n: int, rng: np.random.Generator) -> FloatArray:
    """Two pairs of titles of the same rate."""
    return np.repeat(0.2 * rng.standard_normal((n, 2)), 2, axis=1)


@pytest.mark.parametrize(("exposure", "phi"), [(3000, 1.0), (200, 1.0), (3000, 2.0)])
@pytest.mark.parametrize("effects", [normal, weak, heavy_tailed, moved_together, twins])
def test_it_is_what_a_perfect_model_reaches(effects, exposure: float, phi: float) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    rows, rate = shop(effects(2000, rng), exposure, phi, rng)
    reached = metrics.pair_accuracy(metrics.tally(rows, rate))
    allowed = 0.05 if reached < 0.6 else 0.04 if effects is twins else 0.03
    assert noise_ceiling(rows, phi) == pytest.approx(reached, abs=allowed)


@pytest.mark.parametrize("phi", [1.0, 2.0])
def test_equal_rates_are_a_coin(phi: float) -> None:
    rng = np.random.default_rng(1)
    rows, rate = shop(np.zeros((2000, 4)), 3000, phi, rng)
    assert metrics.pair_accuracy(metrics.tally(rows, rate)) == 0.5
    assert noise_ceiling(rows, phi) == pytest.approx(0.5, abs=0.04)


def test_far_apart_rates_are_always_in_order() -> None:
    rng = np.random.default_rng(2)
    effect = np.tile(np.log([1.0, 2.0, 4.0, 8.0]), (400, 1))
    assert noise_ceiling(shop(effect, 40_000, 1.0, rng)[0]) > 0.995


def test_in_small_shops_it_is_right_to_two_points_or_not_told() -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(12):
        rows, rate = shop(normal(500, rng), 300, 1.0, rng)
        found.append((noise_ceiling(rows), metrics.pair_accuracy(metrics.tally(rows, rate))))
    ceiling, reached = np.transpose(found)
    assert np.sqrt(np.mean((ceiling - reached.mean()) ** 2)) < 0.02
    assert noise_ceiling(shop(normal(300, rng), 300, 1.0, rng)[0]) is None


def test_normal_differences_have_the_closed_form() -> None:
    """Signs of two normal variables of correlation r agree with the chance 1/2 + asin(r) / pi."""
    rng = np.random.default_rng(4)
    n, trials, rate, spread = 20_000, 1e6, 0.1, 2.0
    noise = np.sqrt(2 * rate * (1 - rate) * trials)
    clicks = np.column_stack([np.full(n, rate * trials), rate * trials + noise * rng.normal(0, np.hypot(1, spread), n)])
    rows = ArmCounts(clicks.ravel(), np.full(2 * n, trials), np.repeat(np.arange(n), 2), n)
    reliability = spread**2 / (1 + spread**2)
    assert noise_ceiling(rows) == pytest.approx(0.5 + np.arcsin(np.sqrt(reliability)) / np.pi, abs=0.01)


def test_without_a_pair_it_is_a_coin() -> None:
    assert noise_ceiling(ArmCounts(np.array([1.0, 2.0]), np.array([9.0, 9.0]), np.array([0, 1]), 2)) is None
    assert noise_ceiling(ArmCounts(np.array([3.0, 3.0]), np.array([9.0, 9.0]), np.array([0, 0]), 1)) is None


@pytest.mark.parametrize("clicks", [1.2, 2.1, 4.4, 11.8])
@pytest.mark.parametrize("spread", [0.2, 0.4])
def test_few_clicks_a_title_are_enough(clicks: float, spread: float) -> None:
    """In the mean of three shops it is right within .02; the exposures of an item's titles differ by half."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(3):
        rows, rate = shop(spread * rng.standard_normal((700, 4)), clicks / 0.03 / np.exp(0.32 + 0.245), 1.0, rng)
        found.append((noise_ceiling(rows), metrics.pair_accuracy(metrics.tally(rows, rate))))
    assert np.mean([ceiling for ceiling, _ in found]) == pytest.approx(np.mean([r for _, r in found]), abs=0.02)


def test_with_less_than_a_click_a_title_it_is_not_told() -> None:
    rng = np.random.default_rng(8)
    assert noise_ceiling(shop(0.4 * rng.standard_normal((500, 4)), 10, 1.0, rng)[0]) is None


def test_an_item_of_many_titles_weighs_like_any_other() -> None:
    """400 items whose titles are far apart, and two of 150 titles that are all the same."""
    rng = np.random.default_rng(9)
    effect = np.concatenate([np.tile(np.log([1.0, 3.0, 9.0]), 400), np.zeros(300)])
    item = np.concatenate([np.repeat(np.arange(400), 3), np.repeat([400, 401], 150)])
    trials = np.full(len(item), 5000.0)
    rate = 0.02 * np.exp(effect)
    rows = ArmCounts(rng.binomial(5000, rate).astype(float), trials, item, 402)
    assert noise_ceiling(rows) == pytest.approx(metrics.pair_accuracy(metrics.tally(rows, rate)), abs=0.01)
    assert noise_ceiling(rows) > 0.98


@pytest.mark.parametrize("clicks", [3.0, 9.0, 90.0])
def test_equal_exposures_whose_counts_often_tie_are_no_sign_of_effects(clicks: float) -> None:
    rng = np.random.default_rng(5)
    n, k, trials = 2000, 4, clicks / 0.03
    for spread, allowed in ((0.0, 0.03), (0.4, 0.05 if clicks < 9 else 0.03)):
        rate = (0.03 * np.exp(spread * rng.standard_normal((n, k)))).ravel()
        counts = rng.binomial(int(trials), rate).astype(float)
        rows = ArmCounts(counts, np.full(n * k, float(int(trials))), np.repeat(np.arange(n), k), n)
        reached = metrics.pair_accuracy(metrics.tally(rows, rate))
        assert noise_ceiling(rows) == pytest.approx(reached, abs=allowed)
