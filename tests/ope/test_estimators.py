"""Estimators against closed forms, limits that tie them together, and properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward.arrays import FloatArray
from rlopt.ope.estimators import ESTIMATORS, Estimate, LoggedRounds

KEYS = sorted(ESTIMATORS)


def random_rounds(seed: int, n: int = 60, items: int = 12) -> dict[str, FloatArray]:
    rng = np.random.default_rng(seed)
    return {
        "reward": rng.uniform(0, 1, n),
        "weight": rng.lognormal(0, 1, n),
        "q_logged": rng.uniform(0, 1, n),
        "q_policy": rng.uniform(0, 1, n),
        "cluster": rng.permutation(np.arange(n) % items).astype(float),
    }


def figures(estimate: Estimate) -> dict[str, float]:
    return {name: value for name, value in vars(estimate).items() if not isinstance(value, str)}


def test_values_by_hand() -> None:
    # w r: 2*1, 0.5*0, 12*1 ; w (r - q): 2*.5, .5*(-.5), 12*.5
    rounds = LoggedRounds(
        reward=[1, 0, 1], weight=[2, 0.5, 12], q_logged=[0.5, 0.5, 0.5], q_policy=[0.6, 0.3, 0.3], cluster=[0, 1, 2]
    )
    by_hand = {
        "ips": 14 / 3,
        "ips_clip": 12 / 3,
        "snips": 14 / 14.5,
        "dm": 0.4,
        "dr": 0.4 + 6.75 / 3,
        "dr_clip": 0.4 + 5.75 / 3,
        "sndr": 0.4 + 6.75 / 14.5,
        "switch_dr": 0.4 + 0.75 / 3,
        "dros": 0.4 + (200 / 104 * 0.5 - 50 / 100.25 * 0.5 + 1200 / 244 * 0.5) / 3,
        "sg_ips": (2 / 1.1 + 12 / 2.1) / 3,
        "sg_dr": 0.4 + (2 / 1.1 * 0.5 - 0.5 / 0.95 * 0.5 + 12 / 2.1 * 0.5) / 3,
        "mips": 14 / 3,  # a title is its own embedding
    }
    assert {k: ESTIMATORS[k]().value(rounds) for k in KEYS} == pytest.approx(by_hand, rel=1e-12)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_logging_policy_itself_earns_the_mean_reward(seed: int) -> None:
    arrays = random_rounds(seed) | {"weight": np.ones(60)}
    arrays["q_policy"] = arrays["q_logged"]
    rounds = LoggedRounds(**arrays)
    for key in KEYS:
        if key in ("dm", "dros"):  # dros shrinks even w = 1, by lambda / (1 + lambda)
            continue
        estimate = ESTIMATORS[key]().estimate(rounds)
        assert estimate.value == pytest.approx(arrays["reward"].mean(), rel=1e-12)
        assert estimate.ess == pytest.approx(60)


@given(seed=st.integers(0, 10_000), shift=st.floats(-3, 3))
@settings(max_examples=30, deadline=None)
def test_constant_added_to_all_rewards_moves_the_value_by_it(seed: int, shift: float) -> None:
    arrays = random_rounds(seed)
    moved = arrays | {k: arrays[k] + shift for k in ("reward", "q_logged", "q_policy")}
    for key in ("snips", "dm", "dr", "dr_clip", "sndr", "switch_dr", "dros", "sg_dr"):
        before, after = ESTIMATORS[key]().value(LoggedRounds(**arrays)), ESTIMATORS[key]().value(LoggedRounds(**moved))
        assert after == pytest.approx(before + shift, abs=1e-9)


@given(seed=st.integers(0, 10_000), factor=st.floats(0.01, 100))
@settings(max_examples=30, deadline=None)
def test_unit_of_the_reward_does_not_matter(seed: int, factor: float) -> None:
    arrays = random_rounds(seed)
    scaled = arrays | {k: arrays[k] * factor for k in ("reward", "q_logged", "q_policy")}
    for key in KEYS:
        a, b = ESTIMATORS[key]().estimate(LoggedRounds(**arrays)), ESTIMATORS[key]().estimate(LoggedRounds(**scaled))
        assert [b.value, b.low, b.high] == pytest.approx([factor * a.value, factor * a.low, factor * a.high], rel=1e-9)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_a_perfect_model_needs_no_weights(seed: int) -> None:
    arrays = random_rounds(seed)
    arrays["q_logged"] = arrays["reward"]
    rounds = LoggedRounds(**arrays)
    for key in ("dr", "dr_clip", "sndr", "switch_dr", "dros", "sg_dr"):
        assert ESTIMATORS[key]().value(rounds) == pytest.approx(ESTIMATORS["dm"]().value(rounds), rel=1e-12)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_parameters_join_the_estimators_at_their_limits(seed: int) -> None:
    rounds = LoggedRounds(**random_rounds(seed))
    value = {k: ESTIMATORS[k]().value(rounds) for k in ("ips", "dm", "dr")}
    pairs = [
        (ESTIMATORS["ips_clip"](max_weight=np.inf), "ips"),
        (ESTIMATORS["dr_clip"](max_weight=np.inf), "dr"),
        (ESTIMATORS["switch_dr"](tau=np.inf), "dr"),
        (ESTIMATORS["switch_dr"](tau=0.0), "dm"),
        (ESTIMATORS["dros"](lambda_=np.inf), "dr"),
        (ESTIMATORS["dros"](lambda_=0.0), "dm"),
        (ESTIMATORS["sg_ips"](lambda_=0.0), "ips"),
        (ESTIMATORS["sg_dr"](lambda_=0.0), "dr"),
    ]
    for estimator, limit in pairs:
        assert estimator.value(rounds) == pytest.approx(value[limit], rel=1e-12)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_aggregated_arms_equal_single_rounds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_arms = 20
    count = rng.integers(1, 30, n_arms)
    clicks = rng.binomial(count, 0.3)
    weight, q, v = rng.lognormal(0, 1, n_arms), rng.uniform(0, 1, n_arms), rng.uniform(0, 1, n_arms)
    item = np.array([f"item {i // 3}" for i in range(n_arms)], dtype=object)
    arms = LoggedRounds(reward=clicks / count, weight=weight, q_logged=q, q_policy=v, cluster=item, count=count)
    single_reward = np.concatenate([np.r_[np.ones(k), np.zeros(n - k)] for n, k in zip(count, clicks, strict=True)])
    order = rng.permutation(count.sum())
    single = LoggedRounds(
        reward=single_reward[order],
        weight=np.repeat(weight, count)[order],
        q_logged=np.repeat(q, count)[order],
        q_policy=np.repeat(v, count)[order],
        cluster=np.repeat(item, count)[order],
    )
    for key in KEYS:
        a, b = ESTIMATORS[key]().estimate(arms), ESTIMATORS[key]().estimate(single)
        assert figures(a) == pytest.approx(figures(b), rel=1e-9), key


def test_order_of_rounds_and_names_of_items_do_not_matter() -> None:
    arrays = random_rounds(1)
    order = np.random.default_rng(0).permutation(60)
    renamed = np.array([f"商品{c:.0f}" for c in arrays["cluster"]], dtype=object)
    shuffled = {k: v[order] for k, v in (arrays | {"cluster": renamed}).items()}
    for key in KEYS:
        a, b = ESTIMATORS[key]().estimate(LoggedRounds(**arrays)), ESTIMATORS[key]().estimate(LoggedRounds(**shuffled))
        assert figures(a) == pytest.approx(figures(b), rel=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reward": []}, "no rounds"),
        ({"reward": [[1.0, 2.0]]}, r"reward must be 1-D.*\(1, 2\)"),
        ({"reward": [0.1, np.nan, 0.2]}, "reward must be finite. Got nan in row 1"),
        ({"reward": ["a", "b", "c"]}, "reward must be numbers"),
        ({"weight": [1.0, 2.0]}, r"weight must have one value per round, shape \(3,\).*Got 2"),
        ({"weight": [1.0, -0.5, 1.0]}, "weight must be >= 0. Got -0.5 in row 1"),
        ({"weight": [1.0, np.inf, 1.0]}, "weight must be finite. Got inf in row 1"),
        ({"q_logged": [0.1, 0.1, np.nan]}, "q_logged must be finite. Got nan in row 2"),
        ({"q_policy": [0.1]}, "q_policy must have one value per round"),
        ({"cluster": ["a", "b"]}, "cluster must have one value per round"),
        ({"cluster": ["a", None, "b"]}, "cluster must name the item of every round. Row 1"),
        ({"cluster": ["a", 3, "b"]}, "cluster must be 1-D and all text or all numbers"),
        ({"count": [1.0, 0.0, 2.0]}, "count must be > 0. Got 0 in row 1"),
        ({"count": [1.0, 2.0, 2.0], "cluster": None}, "count needs cluster"),
        ({"cluster": ["a", "a", "a"]}, "at least two items"),
        ({"weight": [0.0, 0.0, 0.0]}, "Every weight of estimator 'ips' is zero"),
    ],
)
def test_bad_rounds_give_one_clear_line(change: dict[str, object], message: str) -> None:
    good = {"reward": [0.0, 1.0, 0.5], "weight": [1.0, 2.0, 1.0], "cluster": ["a", "b", "c"]}
    with pytest.raises(ValueError, match=message) as caught:
        ESTIMATORS["ips"]().estimate(LoggedRounds(**(good | change)))
    assert "\n" not in str(caught.value)


def test_missing_predictions_are_named() -> None:
    rounds = LoggedRounds(reward=[0.0, 1.0], weight=[1.0, 1.0], q_logged=[0.1, 0.2])
    with pytest.raises(ValueError, match="q_policy is missing"):
        ESTIMATORS["dr"]().estimate(rounds)


@pytest.mark.parametrize(
    ("key", "parameters"),
    [
        ("ips_clip", {"max_weight": 0.0}),
        ("dr_clip", {"max_weight": float("nan")}),
        ("switch_dr", {"tau": -1.0}),
        ("dros", {"lambda_": -1.0}),
        ("sg_ips", {"lambda_": 1.5}),
        ("sg_dr", {"lambda_": "0.1"}),
    ],
)
def test_bad_parameters_are_refused(key: str, parameters: dict[str, object]) -> None:
    name, value = next(iter(parameters.items()))
    with pytest.raises(ValueError, match=f"{name} of estimator '{key}' must be in .* Got {value}"):
        ESTIMATORS[key](**parameters)


def test_without_overlap_dr_is_the_model_and_says_so_by_its_ess() -> None:
    arrays = random_rounds(3) | {"weight": np.zeros(60)}
    rounds = LoggedRounds(**arrays)
    estimate = ESTIMATORS["dr"]().estimate(rounds)
    assert estimate.value == pytest.approx(arrays["q_policy"].mean())
    assert estimate.ess == 0.0
    with pytest.raises(ValueError, match="never picks a logged title"):
        ESTIMATORS["sndr"]().estimate(rounds)
