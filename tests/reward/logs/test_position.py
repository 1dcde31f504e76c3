"""Examination by position: recovers a known truth although good titles are shown on top."""

import numpy as np

from reward.arrays import FloatArray
from reward.logs.position import PositionBias, examination


def estimate(impressions: FloatArray, clicks: FloatArray, shown: FloatArray | None = None) -> PositionBias:
    """Estimate from tables (arm, position); cells without impressions are left out."""
    arm, position = np.nonzero(impressions)
    totals = (impressions if shown is None else shown).sum(axis=0)
    return examination(
        arm, position + 1, impressions[arm, position], clicks[arm, position], dict(enumerate(totals.tolist(), start=1))
    )


def test_exact_counts_give_exact_examination() -> None:
    """Clicks that equal their expectation: theta is the truth, scaled to a weighted mean of 1."""
    truth = np.array([1.0, 0.6, 0.3])
    impressions = np.array([[1e6, 2e6, 0.0], [0.0, 1e6, 3e6], [5e6, 1e6, 1e6]])
    alpha = np.array([0.1, 0.02, 0.3])
    bias = estimate(impressions, impressions * alpha[:, None] * truth)
    weights = impressions.sum(axis=0)
    np.testing.assert_allclose(bias.theta, truth / np.average(truth, weights=weights), rtol=1e-3)
    np.testing.assert_allclose(np.average(bias.theta, weights=weights), 1, rtol=1e-12)
    assert bias.identified.all()


def test_confounded_placement_does_not_bias_the_estimate() -> None:
    """Better titles sit higher: the raw CTR by position is far off, the estimate within 5% of the truth."""
    rng = np.random.default_rng(0)
    truth = 1 / np.arange(1, 9) ** 0.7
    alpha = rng.beta(2, 18, 500)
    rank = np.argsort(np.argsort(-alpha)) / 500
    closeness = np.exp(-3 * (rank[:, None] - np.arange(8)[None, :] / 8) ** 2 / 0.3)
    impressions = rng.multinomial(4_000, closeness / closeness.sum(axis=1, keepdims=True)).astype(float)
    clicks = rng.binomial(impressions.astype(int), alpha[:, None] * truth).astype(float)
    bias = estimate(impressions, clicks)
    scaled = truth / np.average(truth, weights=impressions.sum(axis=0))
    np.testing.assert_allclose(bias.theta, scaled, rtol=0.05)
    raw = clicks.sum(axis=0) / impressions.sum(axis=0)
    assert np.max(np.abs(raw / raw[0] / truth - 1)) > 0.5


def test_positions_with_few_clicks_are_drawn_to_the_one_above() -> None:
    impressions = np.array([[1e5, 1e5, 10.0]])
    bias = estimate(impressions, np.array([[1e4, 5e3, 10.0]]))
    own = 10.0 / (10.0 * 0.1)
    above = bias.theta[1] / bias.theta[0]
    assert above < bias.theta[2] / bias.theta[0] < 0.2 * own
    assert (bias.theta > 0).all()


def test_groups_of_positions_that_no_title_ties_are_corrected_within_only() -> None:
    """Arms at {1, 2} and at {3, 4}: ratios within a group are known, between groups both means are 1."""
    truth = np.array([1.0, 0.5, 0.4, 0.1])
    impressions = np.array([[3e6, 1e6, 0, 0], [0, 0, 1e6, 1e6]])
    bias = estimate(impressions, impressions * 0.1 * truth)
    np.testing.assert_allclose(bias.theta[0] / bias.theta[1], 2, rtol=1e-3)
    np.testing.assert_allclose(bias.theta[2] / bias.theta[3], 4, rtol=1e-2)
    np.testing.assert_allclose(np.average(bias.theta[:2], weights=[3, 1]), 1)
    np.testing.assert_allclose(np.average(bias.theta[2:]), 1)
    assert bias.identified.tolist() == [True, True, False, False]


def test_nothing_is_corrected_without_information() -> None:
    one_each = np.array([[10.0, 0.0], [0.0, 10.0]])
    np.testing.assert_array_equal(estimate(np.zeros((1, 2)), np.zeros((1, 2)), shown=one_each).theta, [1, 1])
    no_clicks = estimate(np.array([[10.0, 10.0]]), np.zeros((1, 2)))
    np.testing.assert_array_equal(no_clicks.theta, [1, 1])
    empty = np.zeros(0, dtype=np.int64)
    assert len(examination(empty, empty, np.zeros(0), np.zeros(0), {}).theta) == 0


def test_a_first_position_without_a_click_is_looked_at_all_the_same() -> None:
    """No click where 50 and more were expected: little examination, and no exposure of 0."""
    bias = estimate(np.array([[1e5, 1e5, 1e4]]), np.array([[0.0, 5e3, 5e2]]))
    assert bias.identified.all()
    assert 0 < bias.theta[0] < 0.01 * bias.theta[1]
    assert np.isfinite(bias.theta.max() / bias.theta.min())
    np.testing.assert_allclose(np.average(bias.theta, weights=bias.impressions), 1, rtol=1e-12)
