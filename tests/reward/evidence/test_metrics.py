"""Metrics against brute force and limits known in advance."""

import numpy as np
import pytest

from reward.evidence import metrics
from reward.model.linear import ArmCounts


def rows_of(clicks: list[float], trials: list[float], item: list[int]) -> ArmCounts:
    return ArmCounts(np.array(clicks, float), np.array(trials, float), np.array(item), max(item) + 1)


def test_pairs_are_counted_within_items_only() -> None:
    rows = rows_of([10, 20, 30, 5, 7, 9], [100] * 6, [0, 0, 0, 1, 1, 2])
    tallies = metrics.tally(rows, np.array([1.0, 2.0, 1.5, 3.0, 3.0, 9.0]))
    assert tallies.pairs.tolist() == [3, 1, 0]
    assert tallies.right.tolist() == [2, 0.5, 0]  # the tie counts half
    assert metrics.pair_accuracy(tallies) == pytest.approx((2 / 3 + 0.5) / 2)
    assert tallies.picked.tolist() == [0.2, 0.05, 0.0]
    assert metrics.picked_lift(tallies) == pytest.approx((0.2 + 0.05) / (0.2 + 0.06) - 1)
    assert tallies.hit.sum() == 0.0


def test_significance_is_the_two_proportion_z_deflated() -> None:
    rows = rows_of([100, 140], [1000, 1000], [0, 0])
    z = 0.04 / np.sqrt(0.12 * 0.88 * 2 / 1000)
    assert 1.96 < z < 1.96 * 1.5
    score = np.array([0.0, 1.0])
    assert metrics.tally(rows, score).significant.sum() == 1
    assert metrics.tally(rows, score, overdispersion=1.5**2).significant.sum() == 0


def test_pair_accuracy_equals_brute_force() -> None:
    rng = np.random.default_rng(0)
    item = rng.integers(0, 30, 120)
    trials = rng.integers(50, 500, 120).astype(float)
    clicks = rng.binomial(trials.astype(int), 0.1).astype(float)
    score = rng.integers(0, 5, 120).astype(float)
    right = pairs = 0.0
    for i in range(120):
        for j in range(i):
            difference = clicks[i] / trials[i] - clicks[j] / trials[j]
            if item[i] == item[j] and difference:
                pairs += 1
                right += 0.5 if score[i] == score[j] else float((score[i] > score[j]) == (difference > 0))
    tallies = metrics.tally(ArmCounts(clicks, trials, item, 30), score)
    assert tallies.pairs.sum() == pairs
    share = [r / n for r, n in zip(tallies.right, tallies.pairs, strict=True) if n]
    assert tallies.right.sum() == right
    assert metrics.pair_accuracy(tallies) == pytest.approx(np.mean(share))


def test_an_item_of_many_titles_weighs_like_any_other() -> None:
    rng = np.random.default_rng(1)
    sizes = [150, 4, 4, 4, 4]
    item = np.repeat(np.arange(5), sizes)
    clicks = np.concatenate([rng.permutation(n) for n in sizes]).astype(float) + 1
    score = np.where(item == 0, -clicks, clicks)  # all wrong in the large item, all right elsewhere
    tallies = metrics.tally(ArmCounts(clicks, np.full(len(item), 1000.0), item, 5), score)
    assert tallies.pairs[0] > 100 * tallies.pairs[1:].sum() / 3
    assert metrics.pair_accuracy(tallies) == pytest.approx(4 / 5)


def test_bootstrap_covers_the_mean_of_items() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for repetition in range(200):
        right = rng.binomial(6, 0.7, 80).astype(float)
        pairs = np.full(80, 6.0)
        zero = np.zeros(80)
        tallies = metrics.ItemTallies(right, pairs, zero, zero, zero, zero, zero, zero, zero)
        (interval,) = metrics.bootstrap(np.array([[right, pairs]]), tallies, seed=repetition, repetitions=300)
        covered += interval.low <= 0.7 <= interval.high
        assert interval.value == pytest.approx(right.sum() / pairs.sum())
    assert 0.89 <= covered / 200 <= 0.99


@pytest.mark.parametrize("phi", [1.0, 1.7, 3.0])
def test_overdispersion_is_recovered_beside_title_variance(phi: float) -> None:
    rng = np.random.default_rng(4)
    item = np.repeat(np.arange(1500), 4)
    trials = np.exp(rng.normal(6.5, 1.2, 6000))
    effect = np.sqrt(0.03) * rng.standard_normal(6000)
    mean = 0.03 * trials * np.exp(effect)
    clicks = rng.poisson(mean) if phi == 1.0 else rng.negative_binomial(mean / (phi - 1), 1 / phi)
    rows = ArmCounts(np.minimum(clicks, trials), trials, item, 1500)
    found = metrics.overdispersion(rows, np.zeros(6000))
    assert found == pytest.approx(phi, rel=0.15)
