"""Intervals: closed forms and coverage of a known truth where rounds of one item hang together."""

import numpy as np
import pytest
from scipy import stats

from rlopt.ope.estimators import ESTIMATORS, LoggedRounds
from rlopt.ope.intervals import clustered_interval, effective_clusters


def test_effective_clusters_closed_forms() -> None:
    assert effective_clusters(np.array([1.0, -1.0, 1.0, -1.0])) == pytest.approx(4)
    assert effective_clusters(np.array([9.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_clusters(np.array([1e-200, 1e-200])) == pytest.approx(2)
    assert effective_clusters(np.zeros(5)) == 5


def test_one_round_per_item_is_the_textbook_standard_error() -> None:
    reward = np.random.default_rng(0).normal(size=50)
    estimate = ESTIMATORS["ips"]().estimate(LoggedRounds(reward=reward, weight=np.ones(50)))
    assert estimate.std_error == pytest.approx(reward.std(ddof=1) / np.sqrt(50))
    reach = stats.t.ppf(0.975, estimate.effective_clusters) * estimate.std_error
    assert [estimate.low, estimate.high] == pytest.approx([estimate.value - reach, estimate.value + reach])
    assert estimate.scale == "linear"  # rewards below zero have no log scale


def test_rates_get_intervals_that_stay_above_zero() -> None:
    reward = np.array([0.5, 0, 0, 0, 0, 0, 0, 0])
    estimate = ESTIMATORS["ips"]().estimate(LoggedRounds(reward=reward, weight=np.ones(8)))
    assert estimate.scale == "log"
    assert 0 < estimate.low < estimate.value < estimate.high
    assert estimate.low * estimate.high == pytest.approx(estimate.value**2)


def test_value_of_zero_falls_back_to_the_linear_scale() -> None:
    interval = clustered_interval(0.0, np.array([0.1, -0.1]), confidence=0.95, log_scale=True)
    assert interval.scale == "linear"
    assert interval.low == -interval.high


def test_repeating_the_same_item_does_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(0)
    reward, item = rng.uniform(size=30), np.arange(30)
    once = ESTIMATORS["ips"]().estimate(LoggedRounds(reward=reward, weight=np.ones(30), cluster=item))
    ten = ESTIMATORS["ips"]().estimate(
        LoggedRounds(reward=np.repeat(reward, 10), weight=np.ones(300), cluster=np.repeat(item, 10))
    )
    assert [ten.low, ten.high] == pytest.approx([once.low, once.high])


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_confidence_is_a_probability(confidence: float) -> None:
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\)"):
        ESTIMATORS["ips"]().estimate(LoggedRounds(reward=[0.0, 1.0], weight=[1.0, 1.0]), confidence=confidence)


def world(rng: np.random.Generator, n_items: int = 60, days: int = 8) -> tuple[LoggedRounds, LoggedRounds]:
    """Rounds by item, title and day, and the same without their items; the evaluation policy's true value is 0.12.

    Items have two titles; the CTR of title 0 is its item's appeal, title 1 earns half as much again. The logger shows
    them 80:20, the evaluation policy 20:80. Value: E[appeal] * (.2 + .8 * 1.5) = E[appeal] * 1.4.
    """
    count = np.stack([n := rng.integers(4, 40, (n_items, days)) * 4, n // 4], axis=1)
    appeal = rng.gamma(3.0, 0.12 / 1.4 / 3.0, n_items)
    probability = np.minimum(appeal[:, None, None] * np.array([1.0, 1.5])[None, :, None], 1.0)
    clicks = rng.binomial(count, probability)
    weight = np.broadcast_to(np.array([0.25, 4.0])[None, :, None], count.shape)
    fields = {"reward": (clicks / count).ravel(), "weight": weight.ravel(), "count": count.ravel().astype(float)}
    fields |= {"q_logged": np.full(count.size, 0.1), "q_policy": np.full(count.size, 0.1)}
    by_item = LoggedRounds(**fields, cluster=np.repeat(np.arange(n_items), 2 * days))
    return by_item, LoggedRounds(**fields, cluster=np.arange(count.size))


def test_intervals_cover_the_truth_and_need_the_items() -> None:
    rng = np.random.default_rng(7)
    repetitions = 400
    covered = dict.fromkeys(("ips", "snips", "dr", "sndr"), 0)
    without_items = 0
    for _ in range(repetitions):
        clustered, single = world(rng)
        for key in covered:
            estimate = ESTIMATORS[key]().estimate(clustered)
            covered[key] += estimate.low <= 0.12 <= estimate.high
        estimate = ESTIMATORS["snips"]().estimate(single)
        without_items += estimate.low <= 0.12 <= estimate.high
    for key, hits in covered.items():
        assert 0.92 <= hits / repetitions <= 0.985, (key, hits / repetitions)
    assert without_items / repetitions < 0.90  # rows taken as independent: too narrow, as the literature warns


def test_intervals_of_binary_rewards_stay_within_0_and_1_and_cover_as_often() -> None:
    """Two titles that are clicked by 95 and 99 of 100, shown evenly; the policy shows the second in 9 of 10 cases."""
    rng = np.random.default_rng(8)
    truth, repetitions = 0.1 * 0.95 + 0.9 * 0.99, 300
    covered = dict.fromkeys(("dr", "dr_clip", "sndr", "switch_dr", "dros", "sg_dr", "ips"), 0)
    outside = values_outside = 0
    for _ in range(repetitions):
        second = rng.integers(0, 2, 160)
        reward = (rng.random(160) < np.where(second, 0.99, 0.95)).astype(float)
        fields = {"reward": reward, "weight": np.where(second, 1.8, 0.2), "cluster": np.repeat(np.arange(40), 4)}
        fields |= {"q_logged": np.full(160, 0.5), "q_policy": np.full(160, 0.5)}
        rounds, shifted = LoggedRounds(**fields), LoggedRounds(**fields | {"reward": reward + 1e-3})
        for key in covered:
            found = ESTIMATORS[key]().estimate(rounds)
            assert 0 <= found.low <= found.high <= 1
            assert found.value == ESTIMATORS[key]().value(rounds)  # as published, cut or not
            value, scores = ESTIMATORS[key]().scores(rounds)
            uncut = clustered_interval(value, scores, confidence=0.95, log_scale=True)
            covered[key] += int(found.low <= truth <= found.high) - int(uncut.low <= truth <= uncut.high)
            outside += ESTIMATORS[key]().estimate(shifted).high > 1.01  # what is not binary is not cut
            values_outside += found.value > 1
    assert min(covered.values()) >= 0
    assert outside > repetitions
    assert values_outside > 0


def test_what_counts_as_binary() -> None:
    def binary(reward: list[float], count: list[float] | None = None) -> bool:
        counts = None if count is None else np.array(count)
        return LoggedRounds(np.array(reward), np.ones(2), cluster=["a", "b"], count=counts).binary

    assert binary([0.0, 1.0])
    assert binary([3 / 7, 0.25], [7.0, 4.0])
    assert not binary([0.5, 1.0])
    assert not binary([0.3, 0.25], [7.0, 4.0])
    assert not binary([0.0, 2.0])
    assert not binary([0.0, -1.0])
