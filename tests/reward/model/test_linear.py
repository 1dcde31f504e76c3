"""Within-item regression: against dense algebra with item dummies, Gaussian conditioning, and simulated truth."""

import numpy as np
import pytest
import scipy.sparse as sp

from reward.features.transformer import TitleFeatures
from reward.model import bayes, boosting, linear
from reward.model.columns import fit_design
from reward.model.design import Design
from reward.model.linear import ArmCounts, Noise
from reward.model.reward_model import click_rows

from ..shop import make_shop


def simulated(n_items: int = 300, titles: int = 4, d: int = 6, seed: int = 0, mean: float = 60.0) -> tuple:
    """Counts with a known linear effect: rows, X, b."""
    rng = np.random.default_rng(seed)
    item = np.repeat(np.arange(n_items), titles)
    matrix = rng.standard_normal((n_items * titles, d))
    b = np.zeros(d)
    b[: d // 2] = 0.2 * rng.standard_normal(d // 2)
    trials = rng.integers(int(10 * mean), int(60 * mean), len(item)).astype(float)
    rate = 0.03 * np.exp(0.5 * rng.standard_normal(n_items)[item] + matrix @ b)
    clicks = np.minimum(rng.poisson(trials * rate), trials)
    return ArmCounts(clicks.astype(float), trials, item, n_items), matrix, b


def dense(matrix: np.ndarray) -> linear.Matrix:
    return linear.Matrix(sp.csr_matrix((len(matrix), 0), dtype=np.float32), matrix)


def test_intercepts_make_expected_equal_observed() -> None:
    rows, matrix, b = simulated()
    effect = matrix @ b
    a = rows.intercepts(effect)
    p = 1 / (1 + np.exp(-(a[rows.item] + effect)))
    np.testing.assert_allclose(rows.item_sum(rows.trials * p), rows.item_sum(rows.successes), rtol=1e-6)


@pytest.mark.parametrize("n_sparse", [3, 0, 1])
def test_solve_equals_ridge_with_free_item_dummies(n_sparse: int) -> None:
    rows, matrix, _ = simulated(n_items=12)
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.5, 2.0, (len(rows.item), 2))
    weights[rows.item == 3, 1] = 0.0  # a fold left out
    z = rng.standard_normal(len(rows.item))
    variance = rng.uniform(0.1, 1.0, matrix.shape[1]).astype(np.float32)
    found = linear.solve(
        linear.Matrix(sp.csr_matrix(matrix[:, :n_sparse], dtype=np.float32), matrix[:, n_sparse:].astype(np.float32)),
        linear.Centring(rows, weights),
        weights,
        z,
        variance,
        tolerance=1e-6,
    )
    dummies = (rows.item[:, None] == np.arange(12)).astype(float)
    whole = np.column_stack([matrix, dummies])
    for k in range(2):
        precision = np.concatenate([1 / variance, np.full(12, 1e-9)])
        gram = (whole * weights[:, [k]]).T @ whole + np.diag(precision)
        expected = np.linalg.solve(gram, whole.T @ (weights[:, k] * z))[: matrix.shape[1]]
        np.testing.assert_allclose(found[:, k], expected, atol=2e-4)


def test_posterior_equals_gaussian_conditioning() -> None:
    """The normal equations give what conditioning the joint Gaussian of (b, z) on z gives, intercepts nearly flat."""
    rows, matrix, _ = simulated(n_items=8, d=5)
    rng = np.random.default_rng(2)
    weight = rng.uniform(0.5, 3.0, len(rows.item))
    z = rng.standard_normal(len(rows.item))
    prior = np.array([0.5, 0.1, 1.0, 0.3, 1e-8])
    mean, root = bayes.Normal.of(dense(matrix), rows, z, weight).solve(prior)
    dummies = (rows.item[:, None] == np.arange(8)).astype(float)
    covariance_z = matrix * prior @ matrix.T + 1e6 * dummies @ dummies.T + np.diag(1 / weight)
    gain = (prior[:, None] * matrix.T) @ np.linalg.inv(covariance_z)
    np.testing.assert_allclose(mean, gain @ z, atol=1e-5)
    np.testing.assert_allclose(root @ root.T, np.diag(prior) - gain @ matrix * prior, atol=1e-5)


@pytest.mark.parametrize("block", [1, 7, 10**6])
def test_normal_equations_are_the_same_in_blocks_and_in_any_order(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the projection written out; items of one to nine titles, one of them without any, rows shuffled."""
    rng = np.random.default_rng(4)
    item = rng.permutation(np.repeat(np.delete(np.arange(12), 5), rng.integers(1, 10, 11)))
    n = len(item)
    rows, matrix, z, weight = (
        ArmCounts(np.ones(n), np.full(n, 9.0), item, 12),
        *rng.standard_normal((2, n, 4)),
        rng.random(n),
    )
    z = z[:, 0]
    dummies = (item[:, None] == np.delete(np.arange(12), 5)).astype(float)
    projection = np.diag(weight) - weight[:, None] * dummies @ np.diag(1 / (weight @ dummies)) @ (dummies.T * weight)
    monkeypatch.setattr(bayes, "_BLOCK", block)
    mixed = linear.Matrix(sp.csr_matrix(matrix[:, :2]), matrix[:, 2:])
    found = bayes.Normal.of(mixed, rows, z, weight)
    np.testing.assert_allclose(found.gram, matrix.T @ projection @ matrix, atol=1e-12)
    np.testing.assert_allclose(found.right, matrix.T @ projection @ z, atol=1e-12)


def test_variances_of_groups_are_recovered_and_a_group_without_effect_vanishes() -> None:
    rng = np.random.default_rng(3)
    item = np.repeat(np.arange(800), 5)
    matrix = rng.standard_normal((4000, 60))
    b = np.concatenate([0.15 * rng.standard_normal(30), np.zeros(30)])
    trials = np.full(4000, 3000.0)
    rate = 0.03 * np.exp(0.5 * rng.standard_normal(800)[item] + matrix @ b + 0.1 * rng.standard_normal(4000))
    rows = ArmCounts(rng.poisson(trials * rate).astype(float), trials, item, 800)
    posterior = bayes.fit_posterior(dense(matrix), rows, [np.arange(30), np.arange(30, 60)], [0.01, 0.01])
    assert posterior.variances[0] == pytest.approx(np.mean(b[:30] ** 2), rel=0.2)
    assert posterior.variances[1] < 0.02 * posterior.variances[0]
    assert posterior.noise.title_variance == pytest.approx(0.01, rel=0.3)
    assert posterior.noise.overdispersion == pytest.approx(1.0, abs=0.15)
    np.testing.assert_allclose(posterior.mean[:30], b[:30], atol=0.05)


def test_intervals_of_contrasts_cover_the_truth() -> None:
    """95% intervals of new titles' differences in 60 worlds whose coefficients come from the prior."""
    hits = []
    for seed in range(60):
        rng = np.random.default_rng(100 + seed)
        item = np.repeat(np.arange(120), 4)
        matrix = rng.standard_normal((480, 20))
        b = 0.15 * rng.standard_normal(20)
        title = 0.1 * rng.standard_normal(480)
        trials = rng.integers(500, 4000, 480).astype(float)
        clicks = rng.poisson(trials * 0.03 * np.exp(0.4 * rng.standard_normal(120)[item] + matrix @ b + title))
        rows = ArmCounts(np.minimum(clicks, trials).astype(float), trials, item, 120)
        posterior = bayes.fit_posterior(dense(matrix), rows, [np.arange(20)], [0.02])
        contrast = rng.standard_normal((25, 20))
        std = np.linalg.norm(contrast @ posterior.root, axis=1)
        hits.append(np.abs(contrast @ (posterior.mean - b)) <= 1.96 * std)
    # 1,500 intervals, correlated within a world
    assert 0.92 <= np.mean(hits) <= 0.98


def test_an_update_equals_gaussian_conditioning_on_the_new_counts() -> None:
    """In the new rows' working responses, by covariances instead of information; the intercepts nearly flat."""
    rows, matrix, _ = simulated(n_items=30, d=5)
    posterior = bayes.fit_posterior(dense(matrix), rows, [np.arange(5)], [0.02])
    new, columns, _ = simulated(n_items=9, d=5, seed=8)
    updated = bayes.update_posterior(posterior, dense(columns), new)
    state = bayes.working_log(new, columns @ posterior.mean)
    noise = np.diag(1 / state.weight(posterior.noise))
    dummies = (new.item[:, None] == np.arange(9)).astype(float)
    before = posterior.root @ posterior.root.T
    covariance_z = columns @ before @ columns.T + 1e5 * dummies @ dummies.T + noise
    gain = before @ columns.T @ np.linalg.inv(covariance_z)
    expected = posterior.mean + gain @ (state.response - columns @ posterior.mean)
    np.testing.assert_allclose(updated.mean, expected, atol=1e-6)
    np.testing.assert_allclose(updated.root @ updated.root.T, before - gain @ columns @ before, atol=1e-7)


def test_a_posterior_learned_in_two_parts_is_nearly_that_of_the_whole_and_still_covers() -> None:
    hits, gaps = [], []
    for seed in range(40):
        rng = np.random.default_rng(700 + seed)
        item = np.repeat(np.arange(120), 4)
        matrix = rng.standard_normal((480, 20))
        b = 0.15 * rng.standard_normal(20)
        trials = np.full(480, 2000.0)
        clicks = rng.poisson(trials * 0.03 * np.exp(0.4 * rng.standard_normal(120)[item] + matrix @ b)).astype(float)
        first = np.arange(480) < 240
        whole = bayes.fit_posterior(dense(matrix), ArmCounts(clicks, trials, item, 120), [np.arange(20)], [0.02])
        half = ArmCounts(clicks[first], trials[first], item[first], 60)
        rest = ArmCounts(clicks[~first], trials[~first], item[~first] - 60, 60)
        before = bayes.fit_posterior(dense(matrix[first]), half, [np.arange(20)], [0.02])
        after = bayes.update_posterior(before, dense(matrix[~first]), rest)
        gaps.append([np.mean((p.mean - whole.mean) ** 2) for p in (before, after)])
        hits.append(np.abs(after.mean - b) <= 1.96 * np.linalg.norm(after.root, axis=1))
    before_gap, after_gap = np.mean(gaps, axis=0)
    assert after_gap < 0.1 * before_gap
    assert 0.92 <= np.mean(hits) <= 0.98


def test_items_that_say_nothing_have_no_weight() -> None:
    rows = ArmCounts(np.array([3.0, 0.0, 0.0, 5.0]), np.full(4, 100.0), np.array([0, 1, 1, 2]), 3)
    for state in (linear.working(rows, np.zeros(4)), bayes.working_log(rows, np.zeros(4))):
        assert state.information.max() < 1e-9  # one title, no click, one title
        assert np.isfinite(state.response).all()


def test_choice_likelihood_is_the_multinomial() -> None:
    rows = ArmCounts(np.array([2.0, 1.0, 4.0]), np.array([10.0, 30.0, 20.0]), np.array([0, 0, 1]), 2)
    effect = np.array([0.7, 0.0, 1.0])
    share = 10 * np.exp(0.7) / (10 * np.exp(0.7) + 30)
    expected = (2 * np.log(share) + np.log(1 - share)) / 7
    assert boosting.choice_log_likelihood(rows, effect, np.ones(3, bool)) == pytest.approx(expected)


def test_trees_learn_titles_and_cannot_learn_items() -> None:
    """A feature that sets items' rates apart is useless to the loss; one that sets titles apart is found."""
    rng = np.random.default_rng(5)
    n_items = 400
    item = np.repeat(np.arange(n_items), 5)
    appeal = rng.standard_normal(n_items)
    number = rng.integers(0, 2, len(item)).astype(np.float32)
    table = np.column_stack([appeal[item], number]).astype(np.float32)
    trials = np.full(len(item), 3000.0)
    p = 1 / (1 + np.exp(-(-3.5 + appeal[item] + 0.5 * number)))
    rows = ArmCounts(rng.binomial(3000, p).astype(float), trials, item, n_items)
    drawn = np.bincount(rng.integers(n_items, size=n_items), minlength=n_items).astype(float)
    data = boosting.dataset(table, ["appeal", "number"], [], 0)
    booster = boosting.fit_trees(boosting.TreeTask(data, rows, np.zeros(len(item)), drawn, Noise(), seed=0, threads=1))
    grid = np.array([[a, x] for a in (-1.5, 0.0, 1.5) for x in (0, 1)], dtype=np.float32)
    effect = booster.predict(grid, num_iteration=booster.best_iteration).reshape(3, 2)
    np.testing.assert_allclose(effect[:, 1] - effect[:, 0], 0.5, atol=0.1)
    assert np.ptp(effect[:, 0]) < 0.1  # the items' rates differ by a factor of twenty


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_design_scores_equal_its_matrix_and_survive_json(locale: str) -> None:
    arms = make_shop(locale, n_items=80).arms
    features = TitleFeatures.fit(arms.items, list(arms.title), arms.item_index)
    block = features.transform(arms.arm_items, list(arms.title))
    design = Design.fit(features, block, category=1)
    coefficients = np.random.default_rng(0).standard_normal((design.width, 3))
    expected = design.matrix(block) @ coefficients
    np.testing.assert_allclose(design.scores(block, coefficients), expected, atol=1e-5)
    again = Design.from_json(design.to_json())
    np.testing.assert_allclose(again.scores(block, coefficients), expected, atol=1e-5)
    assert len(design.groups()) == design.width


def test_effects_go_by_the_field_that_matters() -> None:
    arms = make_shop("en", n_items=240, impressions=8000).arms
    features = TitleFeatures.fit(arms.items, list(arms.title), arms.item_index)
    block = features.transform(arms.arm_items, list(arms.title))
    design = fit_design(features, block, click_rows(arms))
    assert features.category_names[design.category] == "category"


def test_the_trees_learn_nothing_of_an_items_level() -> None:
    """Whatever the trees say, an item's gradients sum to 0, and items that compare no titles have none."""
    rows, _, _ = simulated(n_items=60)
    successes, trials = rows.successes.copy(), rows.trials.copy()
    successes[rows.item < 5] = 0.0
    successes[(rows.item >= 5) & (rows.item < 8)] = trials[(rows.item >= 5) & (rows.item < 8)]
    faded = (rows.item >= 8) & (rows.item < 12)
    successes[faded], trials[faded] = 1e-4 * successes[faded], 1e-4 * trials[faded]  # less than half a click
    alone = np.append(rows.item, 60)
    rows = ArmCounts(np.append(successes, 4.0), np.append(trials, 90.0), alone, 61)
    silent = (rows.item < 8) | (rows.item == 60)
    rng = np.random.default_rng(3)
    for spread in (0.0, 0.3, 0.8):
        loss = boosting.ItemLoss(rows, 0.1 * rng.standard_normal(241), np.ones(241), Noise(1.3, 0.02))
        gradient, hessian = loss.gradients(spread * rng.standard_normal(241))
        np.testing.assert_allclose(rows.item_sum(gradient), 0.0, atol=1e-9)
        assert not gradient[silent].any()
        np.testing.assert_array_equal(hessian[silent], 1e-9)
        assert gradient[faded.nonzero()].any()
        kept = boosting.ItemLoss(
            ArmCounts(rows.successes[~silent], rows.trials[~silent], rows.item[~silent] - 8, 52),
            loss.offset[~silent],
            loss.weight[~silent],
            loss.noise,
        )
        prediction = spread * rng.standard_normal(241)
        for some, whole in zip(kept.gradients(prediction[~silent]), loss.gradients(prediction), strict=True):
            np.testing.assert_allclose(some, whole[~silent], rtol=1e-12)


def test_the_trees_gradients_are_those_of_the_profiled_likelihood() -> None:
    """Without noise beyond chance: the derivative of the log-likelihood with each item's intercept at its maximum."""
    rows, _, _ = simulated(n_items=8)
    rng = np.random.default_rng(4)
    effect = 0.3 * rng.standard_normal(len(rows.item))

    def loss_at(effect: np.ndarray) -> float:
        p = 1 / (1 + np.exp(-(rows.intercepts(effect, steps=40)[rows.item] + effect)))
        return -float(np.sum(rows.successes * np.log(p) + (rows.trials - rows.successes) * np.log(1 - p)))

    gradient, _ = boosting.ItemLoss(rows, effect, np.ones(len(effect)), Noise(1.0, 0.0)).gradients(0 * effect)
    for i in range(0, len(effect), 7):
        step = np.zeros_like(effect)
        step[i] = 1e-4
        assert gradient[i] == pytest.approx((loss_at(effect + step) - loss_at(effect - step)) / 2e-4, abs=1e-3)
