"""Diagnostics: alarms that ring when the judge is wrong, and rarely when it is right."""

import numpy as np
import pytest

from rlopt.ope.diagnostics import (
    heaviest_share,
    kl_divergence,
    model_against_weights,
    nearest_logged,
    overlap,
    propensity_calibration,
    sample_ratio_p_value,
)
from rlopt.ope.estimators import LoggedRounds
from rlopt.ope.hidden_arms import HiddenArmTest, hidden_arm_test
from tests.ope.worlds import draw_world


def run_hidden_arm_test(
    seed: int, *, flip: bool = False, overconfident: float = 1.0, overdispersion: float = 0.0
) -> HiddenArmTest:
    """Three arms an item; the policy prefers the arm with the largest believed effect."""
    rng = np.random.default_rng(seed)
    arms = draw_world(rng, n_items=150, per_item={"logged": 3}, shift={"logged": 0.0}, idiosyncratic=0.1)["logged"]
    exposure = np.full(len(arms.item), 3000.0)
    extra = np.exp(overdispersion * rng.standard_normal(len(arms.item)))
    clicks = rng.poisson(exposure * rng.gamma(4.0, 0.01, 150)[arms.item] * np.exp(arms.truth) * extra).astype(float)
    mean = arms.effects.mean(axis=0)
    effects = mean + (arms.effects - mean) / overconfident
    if flip:
        effects = -effects
    preferred = effects.mean(axis=0).reshape(150, 3).argmax(axis=1)
    preference = np.eye(3)[preferred].ravel()
    test = hidden_arm_test(effects, arms.item, clicks, exposure, preference)
    assert test is not None
    return test


def test_a_right_judge_passes_and_is_called_calibrated() -> None:
    tests = [run_hidden_arm_test(seed) for seed in range(40)]
    assert np.mean([abs(t.z) > 2.5 for t in tests]) <= 0.05
    assert np.mean([t.slope for t in tests]) == pytest.approx(1.0, abs=0.15)
    assert np.mean([t.widening for t in tests]) == pytest.approx(1.0, abs=0.05)
    assert tests[0].n_items == 150
    assert np.mean([t.observed_lift for t in tests]) == pytest.approx(
        np.mean([t.predicted_lift for t in tests]), abs=0.03
    )


def test_a_judge_that_believes_the_opposite_fails() -> None:
    for seed in range(5):
        test = run_hidden_arm_test(seed, flip=True)
        assert test.z < -2.5
        assert test.slope < 0
        assert test.observed_lift < 0 < test.predicted_lift


def test_noise_the_judge_does_not_know_of_widens_its_intervals() -> None:
    assert run_hidden_arm_test(0, overdispersion=0.3).widening > 1.3


def test_too_few_items_leave_nothing_to_test_on() -> None:
    effects, item = np.zeros((10, 18)), np.repeat(np.arange(9), 2)
    assert hidden_arm_test(effects, item, np.ones(18), np.ones(18) * 9, np.full(18, 0.5)) is None
    single = np.arange(50)  # one arm each
    assert hidden_arm_test(np.zeros((10, 50)), single, np.ones(50), np.ones(50) * 9, np.ones(50)) is None


def overlap_rounds(probability: float, n_items: int = 100) -> tuple[LoggedRounds, np.ndarray]:
    """Two titles per item, shown evenly; the policy gives ``probability`` to the second, nothing to the first."""
    rng = np.random.default_rng(0)
    weight = np.tile([0.0, probability / 0.5], n_items)
    reward = rng.uniform(0, 0.1, 2 * n_items)
    rounds = LoggedRounds(
        reward=reward,
        weight=weight,
        q_logged=reward,
        q_policy=np.full(2 * n_items, 0.05),
        cluster=np.repeat(np.arange(n_items), 2),
        count=np.full(2 * n_items, 500.0),
    )
    return rounds, np.full(n_items, probability)


def test_overlap_is_usable_where_the_policy_writes_logged_titles() -> None:
    found = overlap(*overlap_rounds(0.8), min_mass=0.05, min_items=20)
    assert found.usable
    assert found.mass == pytest.approx(0.8)
    assert found.ess == pytest.approx(50_000)  # half of the impressions, equally weighted
    assert found.effective_items == pytest.approx(100)
    assert found.message.startswith("overlap: 80.0%")


@pytest.mark.parametrize("probability", [0.0, 1e-12, 0.01])
def test_no_overlap_is_said_plainly(probability: float) -> None:
    found = overlap(*overlap_rounds(probability), min_mass=0.05, min_items=20)
    assert not found.usable
    told = "less than 0.01%" if probability < 1e-4 else f"{probability:.2%}"
    assert found.message.startswith(f"too little overlap: {told} of what the policy writes was ever shown")


def test_overlap_on_a_few_items_only_is_none() -> None:
    rounds, mass = overlap_rounds(0.8)
    weight = np.where(rounds.cluster_codes < 5, rounds.weight, 0.0)
    few = LoggedRounds(reward=rounds.reward, weight=weight, cluster=rounds.cluster, count=rounds.count)
    assert not overlap(few, mass, min_mass=0.05, min_items=20).usable


def test_direct_method_against_doubly_robust() -> None:
    rng = np.random.default_rng(0)
    reward = rng.uniform(0, 0.1, 400)
    fields = {"reward": reward, "weight": np.ones(400), "q_policy": np.full(400, 0.05), "cluster": np.arange(400)}
    unbiased = reward + rng.normal(0, 0.02, 400)
    assert abs(model_against_weights(LoggedRounds(**fields, q_logged=unbiased))) < 2.5
    assert model_against_weights(LoggedRounds(**fields, q_logged=unbiased - 0.02)) > 10  # the model is too low
    assert model_against_weights(LoggedRounds(**fields, q_logged=reward)) == 0.0


def test_sample_ratio_mismatch() -> None:
    rng = np.random.default_rng(0)
    item, propensity = np.repeat(np.arange(200), 2), np.tile([0.3, 0.7], 200)
    fair = rng.multinomial(1000, [0.3, 0.7], 200).ravel().astype(float)
    unfair = rng.multinomial(1000, [0.35, 0.65], 200).ravel().astype(float)
    assert sample_ratio_p_value(fair, propensity, item) > 0.001
    assert sample_ratio_p_value(unfair, propensity, item) < 1e-10
    assert sample_ratio_p_value(np.array([5.0, 9.0]), np.array([1.0, 1.0]), np.array([0, 1])) == 1.0


@pytest.mark.parametrize(
    ("title", "nearest", "similarity"),
    [
        ("Red Dress  for women", "red dress for Women", 1.0),  # same text
        ("dress red for women", "red dress for Women", 0.99),  # same words, another text
        ("Red shoes", "red dress for Women", 1 / 5),
        ("纯棉红色连衣裙", "红色连衣裙", 5 / 7),
    ],
)
def test_nearest_logged_title(title: str, nearest: str, similarity: float) -> None:
    logged = ["blue trousers", "red dress for Women", "红色连衣裙"]
    assert nearest_logged(title, logged) == (nearest, pytest.approx(similarity))


def test_kl_of_known_distributions() -> None:
    p, q = np.array([0.7, 0.2, 0.1]), np.array([0.3, 0.3, 0.4])
    rng = np.random.default_rng(0)
    title = rng.choice(3, size=20_000, p=p)
    truth = float((p * np.log(p / q)).sum())
    item = np.repeat(np.arange(5000), 4)
    path_kl = np.full(20_000, truth)  # one-token titles: the whole vocabulary is summed at the only step
    estimate = kl_divergence(path_kl, np.log(p[title]), np.log(q[title]), item)
    assert estimate.value == pytest.approx(truth)
    assert estimate.std_error == pytest.approx(0, abs=1e-12)
    assert estimate.log_ratio == pytest.approx(truth, abs=0.03)
    assert estimate.k3 == pytest.approx(truth, abs=0.03)
    same = kl_divergence(np.zeros(20_000), np.log(p[title]), np.log(p[title]), item)
    assert (same.value, same.log_ratio, same.k3) == (0.0, 0.0, 0.0)


def test_share_of_the_heaviest_weights() -> None:
    assert heaviest_share(np.full(200, 2.0), np.ones(200)) == pytest.approx(0.01)
    assert heaviest_share(np.array([1.0, 99.0]), np.array([99.0, 1.0])) == pytest.approx(0.5)
    assert heaviest_share(np.array([1.0, 98.0]), np.array([98.0, 2.0])) == pytest.approx(98 / 294)  # half of an arm
    assert heaviest_share(np.zeros(3), np.ones(3)) == 0.0


def test_propensity_calibration() -> None:
    rng = np.random.default_rng(0)
    item = np.repeat(np.arange(400), 3)
    used = rng.dirichlet([2.0, 2.0, 2.0], 400)
    shown = np.stack([rng.multinomial(1000, p) for p in used]).ravel().astype(float)
    right = propensity_calibration(shown, used.ravel(), item)
    assert right is not None
    assert right.slope == pytest.approx(1.0, abs=4 * right.slope_std_error)
    assert right.error < 0.01
    flatter = 0.5 * used + 0.5 / 3  # what was used is twice as far from even as what was logged
    wrong = propensity_calibration(shown, flatter.ravel(), item)
    assert wrong is not None
    assert wrong.slope == pytest.approx(2.0, abs=4 * wrong.slope_std_error)
    assert wrong.error > 0.05
    assert propensity_calibration(shown, np.full(1200, 1 / 3), item) is None
