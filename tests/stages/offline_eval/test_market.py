"""The real judge in the simulated shop: its lift of titles another model chose, against the simulator's truth."""

import numpy as np
import pytest

from envs.market import Market
from reward.arms import Arms
from reward.model.judge import Judge
from rlopt.ope.direct import TitleDraws, estimate_lift, item_rate_draws
from rlopt.ope.hidden_arms import hidden_arm_test

TITLES = 4


def logs_of(market: Market, first: int, last: int, rng: np.random.Generator) -> Arms:
    """Arms of some of the shop's items, 3,000 impressions each."""
    items = market.items[first:last]
    rows = [(i, title, p) for i, item in enumerate(items) for title, p in market.logging_policy(item)]
    index = np.array([i for i, _, _ in rows])
    titles = np.array([title for _, title, _ in rows], dtype=object)
    propensity = np.array([p for _, _, p in rows])
    shown = rng.poisson(3000 * propensity) + 1
    clicks = rng.binomial(shown, market.click_probability([items[i] for i in index], list(titles)))
    counts = shown.astype(float)
    return Arms(items, index, titles, counts, clicks.astype(float), counts.copy(), propensity, True)


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_lift_against_the_simulator(locale: str) -> None:
    market, rng = Market(750, locale, seed=5), np.random.default_rng(5)
    choosing = Judge.fit(logs_of(market, 0, 250, rng), seed=0)  # stands for the reward: other items, other clicks
    judge = Judge.fit(logs_of(market, 250, 550, rng), seed=1)
    test = logs_of(market, 550, 750, rng)

    base, new = [], []
    for item in test.items:
        base += market.human_titles(item, TITLES, seed=1)
        candidates = market.human_titles(item, 4 * TITLES, seed=2)
        effect, _ = choosing.effect([item] * len(candidates), candidates)
        new += [candidates[k] for k in np.argsort(-effect)[:TITLES]]
    owner = np.repeat(np.arange(len(test.items)), TITLES)
    owners = [test.items[i] for i in owner]
    draws = judge.draws([*owners, *owners, *test.arm_items], [*base, *new, *map(str, test.title)], 300, rng)
    n = len(owner)
    logged = TitleDraws(draws[:, 2 * n :], test.item_index, test.exposure)
    totals = [np.bincount(test.item_index, weights=x) for x in (test.clicks, test.exposure)]
    lift = estimate_lift(
        TitleDraws(draws[:, n : 2 * n], owner),
        TitleDraws(draws[:, :n], owner),
        logged,
        item_rate_draws(totals[0], totals[1], 300, rng),
        rng=rng,
    )
    truth = market.click_probability(owners, new).sum() / market.click_probability(owners, base).sum() - 1
    assert truth > 0.05
    # three and a half standard errors: holds for every right judge, whatever the seed
    reach = 3.5 / 1.96 * (np.log1p(lift.high) - np.log1p(lift.low)) / 2
    assert abs(np.log1p(lift.value) - np.log1p(truth)) < reach
    assert reach < 0.25  # and the interval says something

    preferred, _ = choosing.effect(test.arm_items, list(test.title))
    best = np.array([preferred[a] == preferred[test.item_index == test.item_index[a]].max() for a in range(len(test))])
    preference = best / np.bincount(test.item_index, weights=best)[test.item_index]
    hidden = hidden_arm_test(logged.effects, test.item_index, test.clicks, test.exposure, preference)
    assert hidden is not None
    assert abs(hidden.z) < 3.5
    assert hidden.slope > 0.5
