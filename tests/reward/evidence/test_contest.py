"""The comparison of two reward models: closed forms, and truth decides."""

import numpy as np
import pytest
from scipy.stats import multinomial

from reward.evidence import contest as module
from reward.evidence.contest import MIN_ITEMS, contest, item_log_likelihood
from reward.model.linear import ArmCounts
from reward.model.reward_model import RewardPrediction

from ..log_fixtures import make_arms


def test_the_log_likelihood_is_the_multinomials() -> None:
    rows = ArmCounts(np.array([3.0, 1.0, 4.0]), np.array([50.0, 100.0, 80.0]), np.zeros(3, dtype=np.int64), 1)
    effect = np.array([0.3, -0.2, 0.1])
    chance = rows.trials * np.exp(effect) / np.sum(rows.trials * np.exp(effect))
    constant = multinomial.logpmf([3, 1, 4], 8, [1 / 3] * 3) - 8 * np.log(1 / 3)
    expected = multinomial.logpmf([3, 1, 4], 8, chance) - constant
    assert item_log_likelihood(rows, effect)[0] == pytest.approx(expected)
    assert item_log_likelihood(rows, effect + 5.0)[0] == pytest.approx(expected)


class Scripted:
    """A model that answers with given effects."""

    def __init__(self, effect: np.ndarray) -> None:
        self.effect = effect

    def predict(self, items: object, titles: object) -> RewardPrediction:
        zero = np.zeros_like(self.effect)
        return RewardPrediction(zero, None, zero, zero, self.effect, zero, zero)


def shop(seed: int, n_items: int = 150) -> tuple[module.Arms, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 0.3, n_items * 4)
    clicks = rng.binomial(2000, 0.03 * np.exp(truth))
    rows = [(f"i{i // 4}", f"t{i}", 2000.0, float(c)) for i, c in enumerate(clicks)]
    return make_arms(rows), truth


def test_the_truth_beats_noise_and_not_the_other_way_round() -> None:
    arms, truth = shop(0)
    noise = np.random.default_rng(1).normal(0, 0.3, len(truth))
    good, bad = Scripted(truth), Scripted(noise)
    found = contest(bad, good, arms, seed=0)  # type: ignore[arg-type]
    assert found is not None
    assert not found.new_is_worse
    assert min(found.pair_accuracy.low, found.picked_lift.low, found.log_likelihood.low) > 0
    back = contest(good, bad, arms, seed=0)  # type: ignore[arg-type]
    assert back is not None
    assert back.new_is_worse
    assert back.pair_accuracy.value == pytest.approx(-found.pair_accuracy.value)


def test_of_two_models_that_are_equally_good_the_new_one_is_seldom_turned_down() -> None:
    """Two independent errors around the truth: a 95% interval excludes 0 from above in 2.5% of the cases."""
    turned_down = 0
    for seed in range(60):
        arms, truth = shop(seed, n_items=40)
        rng = np.random.default_rng(1000 + seed)
        models = [Scripted(truth + rng.normal(0, 0.3, len(truth))) for _ in range(2)]
        found = contest(*models, arms, seed=seed)  # type: ignore[arg-type]
        assert found is not None
        turned_down += found.new_is_worse
    assert turned_down <= 8  # 5% in each of two figures, were they independent: P(more than 8 of 60) < 0.3%


def test_nothing_is_said_where_no_item_has_two_titles() -> None:
    arms = make_arms([("a", "x", 10, 1), ("b", "y", 10, 1)])
    assert contest(Scripted(np.zeros(2)), Scripted(np.zeros(2)), arms, seed=0) is None  # type: ignore[arg-type]


def test_a_few_items_turn_nothing_down() -> None:
    """The bootstrap of one item has no width: whatever comes out is no chance to it."""
    for n_items, tells in ((1, False), (MIN_ITEMS - 1, False), (MIN_ITEMS, True)):
        arms, truth = shop(3, n_items)
        found = contest(Scripted(truth), Scripted(-truth), arms, seed=0)  # type: ignore[arg-type]
        assert found is not None
        assert found.pair_accuracy.high < 0
        assert found.tells == found.new_is_worse == tells
