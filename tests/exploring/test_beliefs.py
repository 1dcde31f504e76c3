"""Posterior given clicks: against the same one by brute force, and against closed forms."""

import numpy as np
import pytest
from scipy.optimize import minimize

from rlopt.exploring.beliefs import Clicks, TitlePrior, discount, learn


def _prior(rng: np.random.Generator, n: int, k: int, f: int) -> TitlePrior:
    present = np.ones((n, k), dtype=bool)
    return TitlePrior(rng.normal(0, 0.2, (n, k)), rng.normal(0, 0.1, (n, k, f)), np.full((n, k), 0.15), present)


def test_the_posterior_is_that_of_all_titles_together() -> None:
    rng = np.random.default_rng(0)
    n, k, f, phi = 4, 3, 2, 1.3
    prior = _prior(rng, n, k, f)
    clicks, shown = rng.poisson(20, (3, n, k)).astype(float), rng.uniform(500, 2000, (3, n, k))
    found = learn(prior, Clicks.of(clicks, shown), phi)
    factors = prior.factors.reshape(n * k, f)
    precision = np.linalg.inv(factors @ factors.T + np.diag(prior.rest.ravel() ** 2))

    def share(effect: np.ndarray, batch: int) -> np.ndarray:
        weight = shown[batch] * np.exp(effect)
        return weight / weight.sum(axis=1, keepdims=True)

    def surprise(x: np.ndarray) -> float:
        apart = x - prior.mean.ravel()
        told = sum(np.sum(clicks[b] * np.log(share(x.reshape(n, k), b))) for b in range(3))
        return float(apart @ precision @ apart / 2 - told / phi)

    mode = minimize(surprise, prior.mean.ravel(), method="BFGS", options={"gtol": 1e-7}).x.reshape(n, k)
    assert found.mean == pytest.approx(mode, abs=1e-5)
    for b in range(3):
        for i in range(n):
            q, rows = share(found.mean, b)[i], slice(i * k, i * k + k)
            precision[rows, rows] += clicks[b, i].sum() / phi * (np.diag(q) - np.outer(q, q))
    whole = np.linalg.inv(precision)
    for i in range(n):
        assert found.covariance[i] == pytest.approx(whole[i * k : i * k + k, i * k : i * k + k], abs=1e-8)


def test_the_level_of_a_batch_does_not_matter() -> None:
    """A day with thrice the clicks on every title says which is better no otherwise than by its counts."""
    prior = TitlePrior.flat(np.ones((1, 2), dtype=bool), 0.3)
    shown = np.array([[[900.0, 100.0]], [[100.0, 900.0]]])
    level = np.array([0.3, 0.01])[:, None, None]  # the second title is shown most on the bad day
    found = learn(prior, Clicks.of(shown * level, shown))
    assert found.mean[0, 0] == pytest.approx(found.mean[0, 1], abs=1e-9)


def test_without_clicks_it_is_the_prior_and_with_many_the_rates() -> None:
    rng = np.random.default_rng(1)
    prior = _prior(rng, 2, 3, 1)
    nothing = np.zeros((1, 2, 3))
    found = learn(prior, Clicks.of(nothing, nothing))
    assert found.mean == pytest.approx(prior.mean)
    assert found.covariance == pytest.approx(prior.beliefs.covariance)
    rate = np.array([[0.1, 0.2, 0.3], [0.05, 0.05, 0.1]])
    many = learn(prior, Clicks.of(rate[None] * 1e9, np.full((1, 2, 3), 1e9)))
    assert many.mean - many.mean[:, :1] == pytest.approx(np.log(rate / rate[:, :1]), abs=1e-4)


def test_items_teach_one_another_that_predictions_are_worthless() -> None:
    """Fifty items contradict the prior's differences: an item without a click is then believed to have none."""
    n = 50
    mean = np.tile([0.2, -0.2], (n + 1, 1))
    prior = TitlePrior(mean, np.zeros((n + 1, 2, 1)), np.full((n + 1, 2), 0.05), np.ones((n + 1, 2), dtype=bool))
    prior = prior.with_doubt(1.0, 0.0)  # at least DOUBT
    shown = np.full((1, n + 1, 2), 20_000.0)
    shown[:, n] = 0
    found = learn(prior, Clicks.of(0.02 * shown, shown))
    assert found.mean[n, 0] - found.mean[n, 1] == pytest.approx(0.0, abs=0.02)
    assert prior.beliefs.mean[n, 0] - prior.beliefs.mean[n, 1] == pytest.approx(0.4)


def test_absent_titles_change_nothing() -> None:
    rng = np.random.default_rng(2)
    small = _prior(rng, 1, 2, 1)
    large = TitlePrior(
        np.pad(small.mean, ((0, 0), (0, 1))),
        np.pad(small.factors, ((0, 0), (0, 1), (0, 0))),
        np.pad(small.rest, ((0, 0), (0, 1)), constant_values=1.0),
        np.array([[True, True, False]]),
    )
    clicks, shown = np.array([[[30.0, 50.0]]]), np.array([[[1000.0, 1000.0]]])
    pad = ((0, 0), (0, 0), (0, 1))
    found = learn(small, Clicks.of(clicks, shown))
    padded = learn(large, Clicks.of(np.pad(clicks, pad), np.pad(shown, pad)))
    assert padded.mean[:, :2] == pytest.approx(found.mean)
    assert padded.covariance[:, :2, :2] == pytest.approx(found.covariance)


def test_old_batches_count_less() -> None:
    assert discount(3, 1.0) == pytest.approx([0.25, 0.5, 1.0])
    assert discount(3, None) == pytest.approx([1, 1, 1])


def test_the_difference_to_todays_title() -> None:
    prior = TitlePrior(np.array([[0.1, 0.4]]), np.array([[[0.2], [0.5]]]), np.full((1, 2), 0.3), np.ones((1, 2), bool))
    difference, error = prior.beliefs.against(np.array([0]))
    assert difference[0] == pytest.approx([0.0, 0.3])
    assert error[0] == pytest.approx([0.0, np.sqrt(2 * 0.3**2 + 0.3**2)])  # own twice, and the factor by 0.5 - 0.2
