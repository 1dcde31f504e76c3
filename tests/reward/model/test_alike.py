"""Titles of different items compared as if of one: what is known of an item is taken out, and the truth is found."""

from dataclasses import replace

import numpy as np
import pytest

from reward.arms import Arms
from reward.errors import ModelError
from reward.items import Item
from reward.model.alike import STRATUM, alike_rows
from reward.model.bayes import LARGEST_EFFECTS
from reward.model.judge import Judge
from reward.model.linear import Noise
from reward.model.reward_model import RewardModel, click_rows
from tests.reward.shop import correlation, make_shop

SEED = np.random.SeedSequence(0)


def one_title(arms: Arms, seed: int = 0) -> Arms:
    """One arm of each item, at random."""
    order = np.random.default_rng(seed).permutation(len(arms))
    _, first = np.unique(arms.item_index[order], return_index=True)
    return arms.take(np.sort(order[first]))


def biased_arms(n_items: int = 900) -> Arms:
    """A shop in which "new arrival" earns nothing, and stands on most titles of the brands that people click anyway."""
    rng = np.random.default_rng(0)
    loved = rng.random(n_items) < 0.5
    promoted = rng.random(n_items) < np.where(loved, 0.85, 0.15)
    kinds = rng.integers(4, size=n_items)
    items = tuple(
        Item(f"i{n}", {"brand": (("Norda", "Velt")[int(loved[n])],), "kind": (("cup", "pan", "pot", "jar")[kinds[n]],)})
        for n in range(n_items)
    )
    titles = [
        f"{'new arrival ' if promoted[n] else ''}{items[n].fields['kind'][0]} number {rng.integers(50)}"
        for n in range(n_items)
    ]
    shown = np.full(n_items, 5000.0)
    clicks = rng.binomial(5000, 0.03 * np.exp(0.8 * loved + 0.2 * rng.standard_normal(n_items))).astype(float)
    return Arms(
        items=items,
        item_index=np.arange(n_items),
        title=np.array(titles, dtype=object),
        impressions=shown,
        clicks=clicks,
        exposure=shown,
        propensity=np.ones(n_items),
        propensity_logged=False,
    )


def test_strata_are_small_and_keep_their_traffic() -> None:
    arms = one_title(make_shop(n_items=100).arms)
    found = alike_rows(arms, click_rows(arms), seed=SEED, threads=1)
    size = np.bincount(found.item)
    assert size.min() >= STRATUM // 2
    assert size.max() < STRATUM
    np.testing.assert_allclose(found.item_sum(found.trials), found.item_sum(arms.exposure))
    np.testing.assert_array_equal(found.successes, arms.clicks)
    again = alike_rows(arms, click_rows(arms), seed=np.random.SeedSequence(0), threads=1)
    np.testing.assert_array_equal(found.trials, again.trials)


def test_items_with_several_titles_stay_among_themselves() -> None:
    arms = make_shop(n_items=60).arms
    single = one_title(arms).take(np.arange(30))
    mixed = arms.take(arms.item_index >= 30)
    both = Arms(
        items=(*mixed.items, *single.items),
        item_index=np.concatenate([mixed.item_index, single.item_index + len(mixed.items)]),
        title=np.concatenate([mixed.title, single.title]),
        **{
            name: np.concatenate([getattr(mixed, name), getattr(single, name)])
            for name in ("impressions", "clicks", "exposure", "propensity")
        },
        propensity_logged=False,
    )
    rows = click_rows(both)
    found = alike_rows(both, rows, seed=SEED, threads=1)
    several = np.arange(len(both)) < len(mixed)
    np.testing.assert_array_equal(found.trials[several], rows.trials[several])
    for group in np.unique(found.item[several]):
        assert len(np.unique(rows.item[found.item == group])) == 1
    assert not np.isin(found.item[~several], found.item[several]).any()


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_one_title_an_item_teaches_what_titles_earn(locale: str) -> None:
    learned = replace(one_title(make_shop(locale, n_items=500, seed=1).arms), conversions=None, matured_clicks=None)
    unseen = make_shop(locale, n_items=60, seed=2)
    titles = list(map(str, unseen.arms.title))
    model = RewardModel.fit(learned, seed=0, n_members=1, threads=1, observational=True)
    assert correlation(unseen.arms.item_index, model.predict(unseen.arms.arm_items, titles).effect, unseen.effect) > 0.6
    judge = Judge.fit(learned, seed=0, observational=True)
    assert correlation(unseen.arms.item_index, judge.mean_effect(unseen.arms.arm_items, titles), unseen.effect) > 0.6


def test_what_is_known_of_an_item_does_not_count_as_its_titles_doing() -> None:
    arms = biased_arms()
    promoted = np.array([title.startswith("new") for title in arms.title])
    rate = np.log((arms.clicks + 0.5) / arms.exposure)
    naive = rate[promoted].mean() - rate[~promoted].mean()
    assert naive > 0.4  # what comparing all items would have said
    judge = Judge.fit(arms, seed=0, observational=True)
    kind = [item.fields["kind"][0] for item in arms.items]
    with_it = judge.mean_effect(list(arms.items), [f"new arrival {word} number 7" for word in kind])
    without = judge.mean_effect(list(arms.items), [f"{word} number 7" for word in kind])
    assert abs(float(np.mean(with_it - without))) < 0.25 * naive


def test_such_models_are_marked_and_claim_no_more_of_a_title_than_titles_differ_by(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    shop = make_shop(n_items=60).arms
    arms = replace(one_title(shop), conversions=None, matured_clicks=None)
    model = RewardModel.fit(arms, seed=0, n_members=1, threads=1, observational=True)
    assert model.click.spread.rest**2 <= LARGEST_EFFECTS + 1e-12
    judge = Judge.fit(arms, seed=0, observational=True)
    assert judge.posterior.noise.title_variance <= Noise().title_variance
    for fitted in (model, judge):
        folder = tmp_path_factory.mktemp("model")
        fitted.save(folder)
        assert type(fitted).load(folder).observational


def test_few_items_are_refused() -> None:
    arms = one_title(make_shop(n_items=40).arms).take(np.arange(20))
    for fit in (RewardModel.fit, Judge.fit):
        with pytest.raises(ModelError, match=r"comparing items with each other takes 40 with a click.*hold 20"):
            fit(arms, seed=0, observational=True)
    with pytest.raises(ModelError, match="2 titles and a click"):
        RewardModel.fit(replace(arms), seed=0)
