"""Several comparisons at once: Dunnett's critical values, familywise error, the best after being picked."""

import numpy as np
import pytest
from scipy import stats

from rlopt.ope.comparison import Counts, compare
from rlopt.ope.simultaneous import corrected_best, correlation, max_critical


def equal(k: int, rho: float) -> np.ndarray:
    return np.full((k, k), rho) + (1 - rho) * np.eye(k)


@pytest.mark.parametrize(
    ("k", "freedom", "table"), [(2, np.inf, 2.21), (3, np.inf, 2.35), (5, np.inf, 2.51), (4, 20, 2.65)]
)
def test_critical_values_are_those_of_dunnetts_table(k: int, freedom: float, table: float) -> None:
    assert max_critical(equal(k, 0.5), 0.95, freedom) == pytest.approx(table, abs=0.012)


def test_independent_comparisons_have_sidaks_and_equal_ones_a_single_ones_value() -> None:
    assert max_critical(np.eye(4), 0.95, np.inf) == pytest.approx(stats.norm.ppf(0.5 + 0.95**0.25 / 2), abs=0.01)
    assert max_critical(np.ones((3, 3)), 0.95, 30.0) == pytest.approx(stats.t.ppf(0.975, 30), abs=0.02)
    assert max_critical(np.ones((1, 1)), 0.95, 30.0) == pytest.approx(stats.t.ppf(0.975, 30))


def test_correlation_of_variants_that_share_a_control() -> None:
    rng = np.random.default_rng(0)
    n = 4000
    arm, y = rng.integers(0, 3, n), rng.poisson(2.0, n).astype(float)
    counts = Counts(arm != 0, np.zeros(n, dtype=np.int64), np.ones(n), y, visitor=np.arange(n))
    found = []
    for variant in (1, 2):
        part = counts.take((arm == 0) | (arm == variant))
        # every visitor an item of its own: clusters are visitors
        part = Counts(part.treated, part.visitor, part.impressions, part.events)
        found.append(compare(part, "items"))
    assert correlation(found)[0, 1] == pytest.approx(0.5, abs=0.06)


def test_familywise_error_of_several_variants() -> None:
    """Four variants without effect: the simultaneous interval excludes zero for any of them in 5% of tests."""
    rng, wrong = np.random.default_rng(1), 0
    k, correlated = 4, equal(4, 0.5)
    critical = max_critical(correlated, 0.95, np.inf)
    for _ in range(4000):
        control = rng.normal()
        z = (rng.normal(size=k) - control) / np.sqrt(2)
        wrong += bool((np.abs(z) > critical).any())
    assert wrong / 4000 == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("truth", [(0.0, 0.0, 0.0), (0.0, 2.0, 1.0)])
def test_the_best_is_corrected_for_being_picked(truth: tuple[float, ...]) -> None:
    rng, above, covered, naive, n = np.random.default_rng(2), 0, 0, 0, 120
    root = np.linalg.cholesky(equal(3, 0.5))
    for _ in range(n):
        seen = np.array(truth) + root @ rng.normal(size=3)
        true = truth[int(np.argmax(seen))]
        picked = corrected_best(seen, np.ones(3), equal(3, 0.5), 0.95)
        above += picked.value > true
        naive += seen.max() > true
        covered += picked.low <= true <= picked.high
    assert above / n == pytest.approx(0.5, abs=0.14)  # median-unbiased, and three standard errors
    assert naive > above
    assert covered / n >= 0.89
