"""Sets of titles: worth by enumeration, the bound of the greedy choice, and near-copies that add nothing."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from rlopt.exploring.portfolio import DRAWS, diversity, expected_best, likeness, most_worth, worths


def test_likeness_is_of_words_in_both_languages() -> None:
    alike = likeness(["red linen shirt", "Shirt, linen, red", "blue cotton trousers", "red shoes"])
    assert alike[0, 1] == pytest.approx(1)
    assert alike[0, 2] == 0
    assert alike[0, 3] == pytest.approx(1 / np.sqrt(6))
    chinese = likeness(["亚麻衬衫", "衬衫亚麻", "棉裤"])
    assert chinese[0, 1] == pytest.approx(1)
    assert chinese[0, 2] == 0
    assert np.linalg.eigvalsh(alike).min() > -1e-12
    assert diversity(alike[:2, :2]) == pytest.approx(0)
    assert diversity(alike[np.ix_([0, 2], [0, 2])]) == pytest.approx(1)
    assert diversity(alike[:1, :1]) is None


def test_worth_has_the_predicted_mean_and_the_closed_form_of_two() -> None:
    reward, std = np.array([0.05, 0.05]), np.array([0.3, 0.3])
    worth = worths(reward, std, np.eye(2), 1.0)
    assert worth.shape == (DRAWS, 2)
    assert worth.mean(axis=0) == pytest.approx(reward, rel=0.01)
    # E max of two log-normals of mean m: 2 m Phi(sd of the difference / 2)
    assert expected_best(worth) == pytest.approx(0.1 * stats.norm.cdf(0.3 * np.sqrt(2) / 2), rel=0.01)
    shrunk = worths(np.array([0.04, 0.09]), std * 1e-6, np.eye(2), 0.5).mean(axis=0)
    assert shrunk[1] / shrunk[0] == pytest.approx(np.sqrt(0.09 / 0.04), rel=1e-3)


def test_a_near_copy_of_the_best_is_worth_less_than_another_title() -> None:
    titles = ["acme red shirt", "red shirt acme", "linen shirt for summer", "trousers"]
    alike = likeness(titles)
    worth = worths(np.array([0.060, 0.0598, 0.058, 0.03]), np.full(4, 0.2), alike, 1.0)
    assert most_worth(worth, alike, 2) == [0, 2]
    assert most_worth(worth, alike, 9)[:2] == [0, 2]
    assert sorted(most_worth(worth, alike, 9)) == [0, 1, 2, 3]
    flat = np.full((DRAWS, 4), 0.05)
    assert most_worth(flat, alike, 2) == [0, 3]  # all add the same: the least alike one


def test_greedy_sets_keep_their_bound_and_adding_helps_ever_less() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        vectors = rng.random((8, 5))
        alike = vectors @ vectors.T / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
        worth = worths(0.05 * np.exp(rng.normal(0, 0.1, 8)), rng.uniform(0.05, 0.5, 8), alike, 1.0)
        taken = most_worth(worth, alike, 3)
        best = max(expected_best(worth[:, list(one)]) for one in combinations(range(8), 3))
        assert expected_best(worth[:, taken]) >= (1 - 1 / np.e) * best
        assert expected_best(worth[:, taken]) >= 0.95 * best  # in practice
        sizes = [expected_best(worth[:, taken[:n]]) for n in (1, 2, 3)]
        assert sizes[1] - sizes[0] >= sizes[2] - sizes[1] >= 0
