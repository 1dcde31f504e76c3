"""Judge-based lifts: closed forms, and coverage of the truth when the judge is right."""

import numpy as np
import pytest

from rlopt.ope.direct import TitleDraws, estimate_lift, item_rate_draws, item_ratios
from tests.ope.worlds import draw_world, per_item_mean


def exact(effects: list[float], item: list[int], share: list[float] | None = None, n_draws: int = 50) -> TitleDraws:
    """Titles whose effects are known."""
    return TitleDraws(
        np.tile(effects, (n_draws, 1)), np.array(item), None if share is None else np.array(share, dtype=float)
    )


def test_item_factor_is_the_shares_mean_of_exp() -> None:
    titles = exact([0.0, np.log(3.0), np.log(2.0)], [1, 0, 1], share=[1, 5, 3])
    assert titles.item_factor(2)[0] == pytest.approx([3.0, (1 * 1 + 3 * 2) / 4])


def test_known_effects_give_the_known_lift() -> None:
    # item 0: CTR .1, logged titles equal, new title +50%; item 1: CTR .3, logged mean factor 1.5, new title factor 1.8
    logged = exact([0.0, 0.0, 0.0, np.log(2.0)], [0, 0, 1, 1])
    new = exact([np.log(1.5), np.log(1.8)], [0, 1])
    rate = np.tile([0.1, 0.3], (50, 1))
    lift = estimate_lift(new, logged, logged, rate, rng=np.random.default_rng(0))
    assert lift.item_lift == pytest.approx([0.5, 0.2])
    assert lift.low <= (0.1 * 1.5 + 0.3 * 1.2) / 0.4 - 1 <= lift.high
    assert lift.probability_positive == 1.0
    assert lift.std_error_judge == pytest.approx(0.0, abs=1e-12)
    same = estimate_lift(new, new, logged, rate, rng=np.random.default_rng(0))
    assert [same.low, same.value, same.high] == pytest.approx([0, 0, 0], abs=1e-12)


def test_lift_over_a_policy_does_not_depend_on_the_scale_of_effects() -> None:
    rng = np.random.default_rng(0)
    world = draw_world(
        rng,
        n_items=30,
        per_item={"new": 2, "base": 3, "logged": 2},
        shift=dict.fromkeys(["new", "base", "logged"], 0.0),
    )
    rate = item_rate_draws(rng.poisson(50.0, 30).astype(float), np.full(30, 1000.0), 300, rng)

    def value(constant: float) -> float:
        draws = {k: TitleDraws(w.effects + constant, w.item) for k, w in world.items()}
        return estimate_lift(draws["new"], draws["base"], draws["logged"], rate, rng=np.random.default_rng(1)).value

    assert value(0.0) == pytest.approx(value(2.5), rel=1e-9)


def test_more_judge_uncertainty_widens_the_interval() -> None:
    rng = np.random.default_rng(0)
    world = draw_world(rng, n_items=50, per_item={"new": 4, "logged": 2}, shift={"new": 0.5, "logged": 0.0})
    draws = {k: TitleDraws(w.effects, w.item) for k, w in world.items()}
    rate = item_rate_draws(rng.poisson(50.0, 50).astype(float), np.full(50, 1000.0), 300, rng)

    def width(widening: float) -> float:
        lift = estimate_lift(
            draws["new"], draws["logged"], draws["logged"], rate, rng=np.random.default_rng(1), widening=widening
        )
        return lift.high - lift.low

    assert width(1.0) < width(1.5) < width(2.5)


def test_item_ratios_are_those_of_the_mean_effects_on_average() -> None:
    rng = np.random.default_rng(3)
    world = draw_world(rng, n_items=20, per_item={"new": 3, "logged": 2}, shift={"new": 0.5, "logged": 0.0})
    new, logged = (TitleDraws(world[k].effects, world[k].item) for k in ("new", "logged"))
    mean = {k: np.exp(world[k].effects.mean(axis=0)) for k in world}
    expected = per_item_mean(mean["new"], new.item) / per_item_mean(mean["logged"], logged.item)
    for widening in (1.0, 2.0):
        np.testing.assert_allclose(item_ratios(new, logged, 20, widening).mean(axis=0), expected, rtol=1e-9)
    np.testing.assert_allclose(item_ratios(logged, logged, 20, 2.0), 1.0, rtol=1e-9)


@pytest.mark.parametrize("spread", [0.5, 1.0, 3.0])
def test_doubt_does_not_read_as_lift(spread: float) -> None:
    """A judge that measured the coefficients with errors, and is ``spread`` times as unsure as they are large.

    The mean error over 150 worlds stays within three standard errors of 0, or a tenth of a point, for any ``spread``.
    """
    rng = np.random.default_rng(4)
    errors, n_items, d = [], 100, 40
    for _ in range(150):
        coefficients = 0.1 * rng.standard_normal(d)
        found = coefficients + 0.04 * rng.standard_normal(d)
        draws = found + spread * 0.04 * rng.standard_normal((200, d))
        item = {"new": np.repeat(np.arange(n_items), 2), "logged": np.repeat(np.arange(n_items), 4)}
        columns = {k: 0.5 * rng.standard_normal((len(i), d)) for k, i in item.items()}
        own = {k: 0.1 * rng.standard_normal(len(i)) for k, i in item.items()}
        true = {k: per_item_mean(np.exp(columns[k] @ coefficients + own[k]), item[k]) for k in item}
        appeal = np.exp(0.5 * rng.standard_normal(n_items))
        new, logged = (TitleDraws(draws @ columns[k].T, item[k]) for k in ("new", "logged"))
        rate = np.tile(appeal * true["logged"], (200, 1))
        lift = estimate_lift(new, logged, logged, rate, rng=rng)
        errors.append(lift.value - ((appeal * true["new"]).sum() / (appeal * true["logged"]).sum() - 1))
    assert abs(np.mean(errors)) < max(3 * np.std(errors) / np.sqrt(len(errors)), 0.001)


@pytest.mark.parametrize("baseline", ["logged", "sft"])
def test_interval_covers_the_true_lift_when_the_judge_is_right(baseline: str) -> None:
    rng = np.random.default_rng(11)
    hits, repetitions, n_items = 0, 200, 40
    for _ in range(repetitions):
        world = draw_world(
            rng,
            n_items=n_items,
            per_item={"new": 4, "sft": 4, "logged": 3},
            shift={"new": 0.4, "sft": 0.1, "logged": 0.0},
        )
        appeal = rng.gamma(2.0, 0.02, n_items)
        logged = world["logged"]
        exposure = np.full(len(logged.item), 800.0)
        clicks = rng.poisson(exposure * appeal[logged.item] * np.exp(logged.truth))
        draws = {k: TitleDraws(w.effects, w.item) for k, w in world.items()}
        rate = item_rate_draws(
            np.bincount(logged.item, weights=clicks), np.bincount(logged.item, weights=exposure), 300, rng
        )
        lift = estimate_lift(draws["new"], draws[baseline], draws["logged"], rate, rng=rng)
        value = {k: appeal * per_item_mean(np.exp(w.truth), w.item) for k, w in world.items()}
        hits += lift.low <= value["new"].sum() / value[baseline].sum() - 1 <= lift.high
    assert 0.92 <= hits / repetitions <= 1.0


def test_item_rates_find_the_truth_and_shrink_the_unknown() -> None:
    rng = np.random.default_rng(0)
    truth = rng.gamma(4.0, 0.01, 500)
    exposure = rng.choice([50.0, 100_000.0], 500)
    clicks = rng.poisson(truth * exposure).astype(float)
    draws = item_rate_draws(clicks, exposure, 400, rng)
    known = exposure > 1000
    assert draws.mean(axis=0)[known] == pytest.approx(truth[known], rel=0.15)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    assert 0.92 <= np.mean((low <= truth) & (truth <= high)) <= 0.98
    raw_error = np.mean((clicks[~known] / exposure[~known] - truth[~known]) ** 2)
    assert np.mean((draws.mean(axis=0)[~known] - truth[~known]) ** 2) < 0.5 * raw_error


def test_same_seed_same_lift() -> None:
    def lift() -> float:
        rng = np.random.default_rng(5)
        world = draw_world(rng, n_items=20, per_item={"new": 2, "logged": 2}, shift={"new": 0.2, "logged": 0.0})
        draws = {k: TitleDraws(w.effects, w.item) for k, w in world.items()}
        rate = item_rate_draws(np.full(20, 30.0), np.full(20, 900.0), 300, rng)
        return estimate_lift(draws["new"], draws["logged"], draws["logged"], rate, rng=rng).high

    assert lift() == lift()


def test_bad_inputs_give_one_clear_line() -> None:
    rng = np.random.default_rng(0)
    one = exact([0.0, 0.1], [0, 0])
    with pytest.raises(ValueError, match="at least two test items"):
        estimate_lift(one, one, one, np.full((50, 1), 0.1), rng=rng)
    with pytest.raises(ValueError, match="No test item has a click"):
        item_rate_draws(np.zeros(3), np.ones(3), 10, rng)
    with pytest.raises(ValueError, match="Every one of the 2 items needs a title"):
        estimate_lift(one, one, one, np.full((50, 2), 0.1), rng=rng)
    two = exact([0.0, 0.1], [0, 1])
    with pytest.raises(ValueError, match="All draws must be as many as item_rate's 40"):
        estimate_lift(two, two, two, np.full((40, 2), 0.1), rng=rng)
    with pytest.raises(ValueError, match="effects must be finite"):
        TitleDraws(np.array([[np.nan, 0.0]]), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"effects must have shape \(n_draws, n_titles\)"):
        TitleDraws(np.zeros((4, 3)), np.array([0, 1]))
