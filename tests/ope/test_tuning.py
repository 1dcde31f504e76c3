"""SLOPE, marginal weights and cross-fitting, against known truths."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rlopt.ope.crossfit import cross_fitted_rounds
from rlopt.ope.estimators import ESTIMATORS, LoggedRounds
from rlopt.ope.tuning import TUNABLE, candidates, slope, tuned
from rlopt.ope.weights import marginal_weight


def heavy_rounds(seed: int, n_items: int = 400, *, heavy: bool = True) -> tuple[LoggedRounds, float]:
    """One round an item, the true value and heavy weights: 1% of the rounds carry half of the policy."""
    rng = np.random.default_rng(seed)
    rare = rng.random(n_items) < (0.01 if heavy else 0.5)
    weight = np.where(rare, 50.0 if heavy else 1.2, 0.5 / 0.99 if heavy else 0.8)
    reward = (rng.random(n_items) < 0.3).astype(float)
    fields = {"q_logged": np.full(n_items, 0.3), "q_policy": np.full(n_items, 0.3), "cluster": np.arange(n_items)}
    return LoggedRounds(reward=reward, weight=weight, **fields), 0.3


@pytest.mark.parametrize("key", TUNABLE)
def test_candidates_go_from_unbiased_to_steady(key: str) -> None:
    rounds, _ = heavy_rounds(0)
    chosen = candidates(key, rounds)
    raw = ESTIMATORS["ips" if key.endswith("ips") or key == "ips_clip" else "dr"]().value(rounds)
    assert chosen[0].value(rounds) == pytest.approx(raw, rel=1e-4)
    spread = [e.weights(rounds).std() for e in chosen]
    assert all(a >= b - 1e-12 for a, b in pairwise(spread))


def test_slope_takes_the_steadiest_where_all_agree_and_the_unbiased_where_they_do_not() -> None:
    rng = np.random.default_rng(0)
    weight = np.where(rng.random(20_000) < 0.2, 4.0, 0.25)
    q = np.full(20_000, 0.5)
    constant = LoggedRounds(reward=np.full(20_000, 0.5), weight=weight, q_logged=q, q_policy=q)
    grid = [ESTIMATORS["dr_clip"](max_weight=m) for m in (4.0, 1.0, 0.3)]
    assert slope(grid, constant) is grid[-1]  # a model without error leaves no bias anywhere
    # all of the reward is where the weight is: clipping loses it, and 20,000 rounds show it
    reward = np.where(weight > 1, rng.random(20_000) < 0.5, 0.0).astype(float)
    skewed = LoggedRounds(reward=reward, weight=weight)
    grid = [ESTIMATORS["ips_clip"](max_weight=m) for m in (4.0, 1.0, 0.3)]
    assert slope(grid, skewed) is grid[0]


def test_tuning_pays_where_weights_are_heavy_and_costs_nothing_where_not() -> None:
    for heavy in (True, False):
        errors: dict[str, list[float]] = {"raw": [], "tuned": []}
        for seed in range(60):
            rounds, truth = heavy_rounds(seed, heavy=heavy)
            errors["raw"].append(ESTIMATORS["dr"]().value(rounds) - truth)
            errors["tuned"].append(tuned("dr_clip", rounds).value(rounds) - truth)
        raw, chosen = (float(np.mean(np.square(errors[k]))) for k in ("raw", "tuned"))
        assert chosen < (0.75 if heavy else 1.1) * raw


def test_the_tuned_parameter_of_an_item_comes_from_other_items() -> None:
    rounds, _ = heavy_rounds(1)
    estimator = tuned("ips_clip", rounds)
    first, on_first, on_second = estimator.halves
    assert on_first == slope(candidates("ips_clip", rounds.take(~first)), rounds.take(~first))
    assert estimator.parameters == (on_first.max_weight, on_second.max_weight)
    estimate = estimator.estimate(rounds)
    assert estimate.estimator == "ips_clip"
    assert estimate.low < estimate.value < estimate.high
    with pytest.raises(ValueError, match="tuned for other rounds"):
        estimator.value(heavy_rounds(2)[0])
    with pytest.raises(ValueError, match="'dr' has no parameter to tune"):
        tuned("dr", rounds)


def test_mips_equals_open_bandit_pipeline(shared_data: Path) -> None:
    expected = json.loads((shared_data / "ope_reference" / "obp_binary_10.json").read_text())
    with np.load(shared_data / "ope_reference" / "obp_binary_10.npz") as data:
        row, action = np.arange(len(data["action"])), data["action"]
        by_embedding = data["p_embed_given_action"]  # (action, value, dimension)
        of_round = np.ones((len(row), by_embedding.shape[0]))  # p(e | a) of the logged embedding, all actions
        for dimension in range(by_embedding.shape[2]):
            of_round *= by_embedding[:, data["action_embed"][:, dimension], dimension].T
        marginal = (data["evaluation_dist"] * of_round).sum(1) / (data["behavior_dist"] * of_round).sum(1)
        rounds = LoggedRounds(
            reward=data["reward"],
            weight=data["evaluation_dist"][row, action] / data["pscore"],
            marginal_weight=marginal,
        )
    assert ESTIMATORS["mips"]().value(rounds) == pytest.approx(expected["estimates"]["mips_true"], abs=1e-9)


def test_mips_is_unbiased_and_steadier_where_the_embedding_says_all() -> None:
    # 50 titles per item in two cells; reward depends on the cell alone; the policy wants a single title of cell 1
    values = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        n_items, n_titles = 40, 50
        cell = np.tile(np.arange(n_titles) % 2, n_items) + 2 * np.repeat(np.arange(n_items), n_titles)
        wanted = np.tile(np.eye(n_titles)[1], n_items)
        propensity = np.full(n_items * n_titles, 1 / n_titles)
        shown = rng.multinomial(200, np.full(n_titles, 1 / n_titles), n_items).ravel().astype(float)
        clicks = rng.binomial(shown.astype(int), np.where(cell % 2 == 1, 0.2, 0.05))
        kept = shown > 0
        rounds = LoggedRounds(
            reward=(clicks / np.maximum(shown, 1))[kept],
            weight=(wanted / propensity)[kept],
            marginal_weight=marginal_weight(wanted, propensity, cell)[kept],
            cluster=np.repeat(np.arange(n_items), n_titles)[kept],
            count=shown[kept],
        )
        values.append([ESTIMATORS[k]().value(rounds) for k in ("mips", "ips")])
    mean, spread = np.mean(values, axis=0), np.std(values, axis=0)
    assert mean[0] == pytest.approx(0.2, abs=4 * spread[0] / np.sqrt(200))
    assert spread[0] < 0.5 * spread[1]


def test_marginal_weights_by_hand() -> None:
    weight = marginal_weight(np.array([0.5, 0.5, 0.0]), np.array([0.2, 0.3, 0.5]), np.array([0, 0, 1]))
    assert weight.tolist() == [2.0, 2.0, 0.0]
    plain = LoggedRounds(reward=[0.0, 1.0], weight=[2.0, 0.5])
    assert ESTIMATORS["mips"]().value(plain) == ESTIMATORS["ips"]().value(plain)
    with pytest.raises(ValueError, match=r"marginal_weight must be >= 0\. Got -1 in row 1"):
        LoggedRounds(reward=[0.0, 1.0], weight=[2.0, 0.5], marginal_weight=[1.0, -1.0])


def test_nothing_is_tuned_on_a_half_without_weights() -> None:
    rounds = LoggedRounds(reward=[1.0, 0.0, 1.0, 0.0], weight=[2.0, 0.0, 0.0, 0.0], cluster=[0, 1, 2, 3])
    assert tuned("ips_clip", rounds).value(rounds) == 0.5


def test_cross_fitted_predictions_do_not_follow_the_noise_they_are_to_correct() -> None:
    """q_hat is each arm's own observed rate; arms do not differ, so that whatever q_hat follows is noise."""
    n_items, truth, rng = 400, 0.1, np.random.default_rng(0)
    item, trials = np.repeat(np.arange(n_items), 2), np.full(2 * n_items, 20.0)
    fields = {"weight": np.tile([0.5, 1.5], n_items), "cluster": item}

    def fit_predict(successes: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rate = successes / np.maximum(shown, 1.0)
        return rate, np.repeat(0.25 * rate[0::2] + 0.75 * rate[1::2], 2)

    values, correlations = [], []
    for _ in range(60):
        clicks = rng.binomial(20, truth, 2 * n_items).astype(float)
        rounds = cross_fitted_rounds(clicks, trials, fit_predict, rng=rng, **fields)
        assert rounds.n_rounds == trials.sum()
        assert rounds.reward @ rounds.counts == pytest.approx(clicks.sum())
        values.append(ESTIMATORS["dr"]().value(rounds))
        correlations.append(np.corrcoef(rounds.reward, rounds.q_logged)[0, 1])
    assert np.mean(correlations) == pytest.approx(0.0, abs=4 / np.sqrt(60 * 1600))  # in sample it would be 1
    assert np.mean(values) == pytest.approx(truth, abs=4 * np.std(values) / np.sqrt(60))


def test_cross_fitting_refuses_what_it_cannot_deal_out() -> None:
    rng = np.random.default_rng(0)

    def flat(successes: np.ndarray, trials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(1), np.zeros(1)

    with pytest.raises(ValueError, match="whole numbers"):
        cross_fitted_rounds(np.array([0.5]), np.array([2.0]), flat, rng=rng)
    with pytest.raises(ValueError, match="at least two folds"):
        cross_fitted_rounds(np.array([1.0]), np.array([2.0]), flat, folds=1, rng=rng)
