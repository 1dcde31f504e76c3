"""Weights by likeness: closed forms, what they balance, and whether they find a judge that is wrong."""

import numpy as np
import pytest

from reward.arrays import FloatArray
from rlopt.ope import cross_checks
from rlopt.ope.cross_checks import balancing_weight, cell_weight, cells, cross_check, directions, kernel_weight
from rlopt.ope.diagnostics import model_against_weights
from rlopt.ope.estimators import ESTIMATORS, LoggedRounds


def test_titles_that_were_logged_get_their_exact_weights_when_the_kernel_is_narrow() -> None:
    # items 0 to 3 have three titles far apart, ten more have twins, whose distance is the bandwidth
    item = np.concatenate([np.repeat(np.arange(4), 3), np.repeat(np.arange(4, 14), 2)])
    values = np.concatenate([100.0 * np.arange(12), np.tile([0.0, 1e-3], 10)])[:, None]
    propensity = np.random.default_rng(0).uniform(0.1, 1.0, 32)
    rows = np.array([0, 0, 1, 5, 8, 9, *range(12, 32, 2)])  # item 0: its first title twice, its second once ...
    weight = kernel_weight(values[rows], item[rows], values, item, propensity)[:12]
    share = propensity[:12] / np.bincount(item[:12], propensity[:12])[item[:12]]
    wanted = np.bincount(rows, minlength=32)[:12] / np.bincount(item[rows])[item[:12]]
    assert weight == pytest.approx(wanted / share, abs=1e-9)


def test_kernel_weights_have_mean_one_in_every_item_and_spread_what_lies_between() -> None:
    rng = np.random.default_rng(1)
    item, new_item = np.repeat(np.arange(30), 4), np.repeat(np.arange(30), 3)
    propensity = rng.uniform(0.1, 1.0, 120)
    weight = kernel_weight(rng.normal(size=(90, 5)) + 1.0, new_item, rng.normal(size=(120, 5)), item, propensity)
    share = propensity / np.bincount(item, propensity)[item]
    assert np.bincount(item, share * weight) == pytest.approx(np.ones(30))
    # a title half way between two equally shown ones goes to both alike
    both = kernel_weight(
        np.array([[0.5]]), np.array([0]), np.array([[0.0], [1.0], [0.0], [1.0]]), np.array([0, 0, 1, 1]), np.ones(4)
    )
    assert both == pytest.approx([1.0, 1.0, 0.0, 0.0])


def test_balancing_weights_meet_their_moments() -> None:
    rng = np.random.default_rng(2)
    values, share = rng.normal(size=(400, 3)), rng.dirichlet(np.ones(400))
    target = np.array([0.5, -0.3, 0.0])
    weight = balancing_weight(values, share, target, ridge=0.0)
    assert weight.min() > 0
    assert share @ weight == pytest.approx(1.0)
    assert (share * weight) @ values == pytest.approx(target, abs=1e-5)
    # with a ridge, what is left is the ridge times the exponents
    weight = balancing_weight(values, share, target, ridge=0.5)
    theta = np.linalg.lstsq(np.column_stack([values, np.ones(400)]), np.log(weight), rcond=None)[0][:3]
    assert target - (share * weight) @ values == pytest.approx(0.5 * theta, abs=1e-5)
    assert balancing_weight(np.zeros((5, 0)), np.full(5, 0.2), np.zeros(0)) == pytest.approx(np.ones(5))


def test_directions_take_off_the_item_and_have_unit_variance() -> None:
    rng = np.random.default_rng(3)
    item = np.repeat(np.arange(40), 3)
    share = rng.dirichlet(np.ones(120))
    logged = rng.normal(size=(120, 4)) + 10.0 * rng.normal(size=(40, 4))[item]
    new, inside = directions(logged[::3], item[::3], logged, item, share)
    assert new == pytest.approx(inside[::3])
    assert (inside * share[:, None]).T @ inside == pytest.approx(np.eye(4), abs=1e-9)
    for column in inside.T:
        assert np.bincount(item, share * column) == pytest.approx(np.zeros(40), abs=1e-12)


def test_cell_weights_are_ratios_of_cell_probabilities() -> None:
    # item 0 shows cells 0, 0, 1 with .2, .3, .5; its two new titles lie in 0 and in 2, which it never showed
    weight, covered = cell_weight(
        np.array([0, 2, 1]), np.array([0, 0, 1]), np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]),
        np.array([0.2, 0.3, 0.5, 1.0]),
    )  # fmt: skip
    assert weight == pytest.approx([1.0, 1.0, 0.0, 1.0])
    assert covered == pytest.approx(0.75)


def test_cells_do_not_tell_equal_titles_apart() -> None:
    values = np.repeat(np.array([[0.0], [1.0], [5.0]]), 4, axis=0)
    new, logged = cells(values[::2], values, seed=0)
    assert len(set(logged.tolist())) == 3
    assert new.tolist() == logged[::2].tolist()
    assert set(cells(np.zeros((3, 0)), np.zeros((4, 0)), seed=0)[1].tolist()) == {0}


def shop(rng: np.random.Generator, believed: float) -> dict[str, tuple[LoggedRounds, FloatArray]]:
    """Titles with a property x worth 0.4 on log CTR, logged around 0, new ones around 1; q believes in ``believed``."""
    n_items, n = 300, 6
    item = np.repeat(np.arange(n_items), n)
    x, new_x = rng.normal(size=item.size), 1.0 + 0.3 * rng.normal(size=n_items * 3)
    new_item = np.repeat(np.arange(n_items), 3)
    appeal = 0.05 * np.exp(0.3 * rng.normal(size=n_items))
    shown = np.full(item.size, 500.0)
    clicks = rng.binomial(500, appeal[item] * np.exp(0.4 * x))
    q, q_new = appeal[item] * np.exp(believed * x), appeal * np.bincount(new_item, np.exp(believed * new_x)) / 3
    propensity = np.full(item.size, 1 / n)
    new, logged = directions(new_x[:, None], new_item, x[:, None], item, shown / shown.sum())
    new_cell, logged_cell = cells(new, logged, seed=0)
    weights = {
        "kernel_dr": kernel_weight(new_x[:, None], new_item, x[:, None], item, propensity),
        "balanced_dr": balancing_weight(logged, shown / shown.sum(), new.mean(axis=0)),
        "cells_dr": cell_weight(new_cell, new_item, logged_cell, item, propensity)[0],
    }
    truth = float(
        (appeal * np.bincount(new_item, np.exp(0.4 * new_x)) / 3).mean() / (appeal[item] * np.exp(0.4 * x)).mean()
    )
    return {
        kind: (
            LoggedRounds(
                reward=clicks / shown, weight=w, q_logged=q, q_policy=q_new[item], cluster=item, count=shown
            ),
            np.array(truth - 1),
        )
        for kind, w in weights.items()
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["kernel_dr", "balanced_dr", "cells_dr"])
def test_a_wrong_judge_is_contradicted_and_a_right_one_is_not(kind: cross_checks.Kind) -> None:
    rng = np.random.default_rng(4)
    right = [cross_check(kind, shop(rng, believed=0.4)[kind][0]) for _ in range(20)]
    assert np.mean([abs(check.z or 0.0) > 2 for check in right if check]) <= 0.15
    rounds, truth = shop(rng, believed=0.0)[kind]
    check, model = cross_check(kind, rounds), cross_check("dm", rounds)
    assert check is not None
    assert model is not None
    assert check.z is not None
    assert check.z > 4
    assert model.z is None
    assert abs(check.lift - truth) < 0.5 * abs(model.lift - truth)  # most of the way back to the truth


def test_z_is_the_correction_over_its_error_and_a_lift_below_zero_clicks_is_none() -> None:
    rounds = LoggedRounds(
        reward=[0.1, 0.0, 0.3, 0.1], weight=[1.0, 0.5, 2.0, 0.5], q_logged=[0.1] * 4, q_policy=[0.12] * 4,
        cluster=["a", "a", "b", "c"],
    )  # fmt: skip
    dr, dm = (ESTIMATORS[key]().value(rounds) for key in ("dr", "dm"))
    correction = rounds.cluster_sums(rounds.weight * (rounds.reward - 0.1)) / 4
    centred = correction - (dr - dm) * rounds.cluster_sizes / 4
    assert model_against_weights(rounds) == pytest.approx((dr - dm) / np.sqrt(1.5 * centred @ centred))
    silent = LoggedRounds(reward=[0.0, 0.0], weight=[1.0, 1.0], cluster=["a", "b"], count=[5.0, 5.0])
    assert cross_check("mips", silent) is None
