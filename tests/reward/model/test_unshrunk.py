"""A posterior without its prior's pull along some directions, against the limit it stands for."""

import numpy as np
import pytest

from reward.arrays import FloatArray
from reward.model.bayes import Posterior, unshrunk
from reward.model.linear import Noise

RNG = np.random.default_rng(0)
N, D = 60, 8
X = RNG.normal(size=(N, D))
PRIOR = RNG.uniform(0.02, 0.1, D)


def posterior(prior: FloatArray, y: FloatArray) -> Posterior:
    """Posterior for y = X b + e with b ~ N(0, prior), e ~ N(0, 1); ``prior`` a covariance (d, d)."""
    covariance = np.linalg.inv(X.T @ X + np.linalg.inv(prior))
    return Posterior(covariance @ X.T @ y, np.linalg.cholesky(covariance), (1.0,), Noise(1.0, 0.0))


def test_it_is_the_limit_of_a_prior_that_is_wide_along_the_directions() -> None:
    y = X @ RNG.normal(size=D) + RNG.normal(size=N)
    c = RNG.normal(size=(D, 2))
    found = unshrunk(posterior(np.diag(PRIOR), y), PRIOR, c)
    steps = PRIOR[:, None] * c
    wide = posterior(np.diag(PRIOR) + 1e8 * steps @ steps.T, y)
    np.testing.assert_allclose(found.mean, wide.mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.root @ found.root.T, wide.root @ wide.root.T, rtol=1e-4, atol=1e-6)


def test_a_strong_effect_along_the_direction_is_told_in_full_and_its_interval_covers() -> None:
    c = RNG.normal(size=D)
    truth = 3.0 * PRIOR * c  # far out under the prior, all along the direction
    shrunk, free, covered = [], [], 0
    for _ in range(400):
        plain = posterior(np.diag(PRIOR), X @ truth + RNG.normal(size=N))
        found = unshrunk(plain, PRIOR, c[:, None])
        shrunk.append(c @ plain.mean)
        free.append(c @ found.mean)
        covered += abs(c @ found.mean - c @ truth) < 1.96 * np.linalg.norm(found.root.T @ c)
    assert np.mean(free) == pytest.approx(c @ truth, rel=0.03)
    assert np.mean(shrunk) < 0.97 * (c @ truth)
    assert covered / 400 == pytest.approx(0.95, abs=0.03)


def test_directions_that_are_none_or_follow_from_others_change_nothing() -> None:
    plain = posterior(np.diag(PRIOR), RNG.normal(size=N))
    assert unshrunk(plain, PRIOR, np.zeros((D, 2))) is plain
    c = RNG.normal(size=(D, 1))
    once, twice = unshrunk(plain, PRIOR, c), unshrunk(plain, PRIOR, np.hstack([c, 2 * c, np.zeros((D, 1))]))
    np.testing.assert_allclose(once.mean, twice.mean)
    np.testing.assert_allclose(once.root @ once.root.T, twice.root @ twice.root.T)
