"""Readable effects and contributions against the truth of a simulated shop, and against the model they speak of."""

from dataclasses import replace

import numpy as np
import pytest

from reward.arms import Arms
from reward.evidence.contributions import contributions, gain_shares, sizes
from reward.evidence.readable import properties, readable_effects, surrogate
from reward.model.reward_model import RewardModel

from ..shop import Shop, make_shop

BASE = 0.04


@pytest.fixture(scope="module", params=["en", "zh"])
def fitted(request: pytest.FixtureRequest) -> tuple[Shop, RewardModel, Arms]:
    """Shop, model and held-out arms."""
    shop = make_shop(request.param, n_items=240, impressions=5000, seed=2)
    train, test = shop.split()
    model = RewardModel.fit(shop.arms.take(train), seed=3, n_members=3, threads=1)
    return shop, model, shop.arms.take(test)


def test_effects_are_the_true_ones(fitted: tuple[Shop, RewardModel, Arms]) -> None:
    """The same regression on the shop's true effects gives what the model's should be."""
    shop, model, arms = fitted
    found = readable_effects(model.click, arms, BASE, threads=1, most=100)
    titles = list(arms.title)
    has = properties(model.features, model.block(arms.arm_items, titles), arms.arm_items, titles)
    names, coefficients, _, explained = surrogate(has, shop.effect[shop.split()[1]][:, None], arms.item_index)
    odds = BASE / (1 - BASE) * np.exp(coefficients[:, 0])
    truth = dict(zip(names, odds / (1 + odds) / BASE - 1, strict=True))
    by_name = {effect.property: effect for effect in found.effects}
    assert set(by_name) == set(truth)
    clear = [effect for effect in found.effects if abs(truth[effect.property]) > 0.05]
    assert len(clear) >= 4
    assert all(np.sign(effect.change) == np.sign(truth[effect.property]) for effect in clear)
    inside = [e.low <= truth[e.property] <= e.high for e in found.effects if e.low is not None and e.high is not None]
    assert np.mean(inside) >= 0.7  # they move together: over many shops 94%
    claim = by_name["a claim the item does not support"]
    assert claim.change == pytest.approx(np.exp(-0.8 - 0.1) - 1, abs=0.1)  # and it stands in the way of the rest
    assert claim.high is not None
    assert claim.high < -0.45
    assert found.effects[0] == claim or abs(found.effects[0].change) < abs(claim.change)
    assert found.explained == pytest.approx(explained, abs=0.1)
    promo = {"en": "says 'arrival'", "zh": "says '热卖'"}[shop.locale]
    assert 0.02 < by_name[promo].change < 0.18


def test_contributions_add_up_to_the_effect(fitted: tuple[Shop, RewardModel, Arms]) -> None:
    _, model, arms = fitted
    titles = [*list(arms.title[:80]), "", "zzz qqq 999 !!!"]
    items = [*arms.arm_items[:80], arms.items[0], arms.items[0]]
    block = model.block(items, titles)
    found = contributions(model.click, block, threads=1)
    effect, _, _ = model.click.raw_effect(block, threads=1)
    np.testing.assert_allclose(found.center.sum(axis=1) + found.constant, effect, atol=1e-9)
    assert found.members.shape == (82, len(found.topics), 3)
    assert np.isfinite(found.members).all()
    assert found.center[81, found.topics.index("unlike any logged title")] < 0
    shares = gain_shares(model.click)
    assert sum(shares.values()) == pytest.approx(1.0)


def test_what_shoppers_look_at_is_what_moves_the_effect(fitted: tuple[Shop, RewardModel, Arms]) -> None:
    _, model, arms = fitted
    found = contributions(model.click, model.block(arms.arm_items, list(arms.title)), threads=1)
    size = sizes(found, arms.item_index)
    assert max(size, key=lambda topic: size[topic]) == "claims the item does not support"
    assert min(size[f"the {field}"] for field in ("brand", "color", "use")) > 2 * size["punctuation and symbols"]


def test_one_member_has_no_interval() -> None:
    shop = make_shop("en", n_items=60, impressions=2000, seed=4)
    model = RewardModel.fit(shop.arms, seed=0, n_members=1, threads=1)
    found = readable_effects(model.click, shop.arms, BASE, threads=1)
    assert found.effects
    assert all(effect.low is None and effect.high is None for effect in found.effects)


def test_titles_that_do_not_differ_have_no_effects() -> None:
    has = {"all": np.ones(90, dtype=bool), "none": np.zeros(90, dtype=bool)}
    assert surrogate(has, np.zeros((90, 2)), np.repeat(np.arange(30), 3))[0] == []


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_what_was_never_seen_never_speaks_for_a_title(locale: str) -> None:
    """Not even in a shop where titles with made-up words were clicked twice as often: others may be junk."""
    shop = make_shop(locale, n_items=240, impressions=5000, seed=5)
    rng = np.random.default_rng(0)
    odd = rng.random(len(shop.arms.title)) < 0.3
    made_up = {"en": "abcdefghijklmnopqrstuvwxyz", "zh": "徕珐铼钼锶钽镉铑钯铱锇钌镧铈镨钕钐铕钆铽镝钬铒铥镱镥"}[locale]
    words = ["".join(rng.permutation(list(made_up))[:6]) for _ in odd]
    titles = [f"{t} {w}" if o else t for t, w, o in zip(shop.arms.title, words, odd, strict=True)]
    clicks = np.where(odd, 2 * shop.arms.clicks, shop.arms.clicks)
    arms = replace(shop.arms, title=np.array(titles, dtype=object), clicks=clicks)
    model = RewardModel.fit(arms, seed=3, n_members=3, threads=1)
    found = contributions(model.click, model.block(arms.arm_items, titles), threads=1)
    novelty = found.members[:, found.topics.index("words and phrases never seen")]
    assert novelty.max() <= 1e-6
