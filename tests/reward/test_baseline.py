"""Item baseline: closed forms of the beta-binomial, and a context that predicts items without history."""

import numpy as np
import pytest

from reward.baseline import Context, beta_strength, shrink
from reward.items import Item
from reward.linear import Rows


def test_strength_is_recovered_from_beta_binomial_counts() -> None:
    rng = np.random.default_rng(0)
    trials = rng.integers(200, 3000, 4000).astype(float)
    p = rng.beta(40 * 0.05, 40 * 0.95, 4000)
    clicks = rng.binomial(trials.astype(int), p).astype(float)
    assert beta_strength(clicks, trials, np.full(4000, 0.05), 1.0) == pytest.approx(40, rel=0.12)


def test_equal_rates_shrink_all_the_way() -> None:
    rng = np.random.default_rng(1)
    trials = np.full(2000, 1000.0)
    clicks = rng.binomial(1000, 0.05, 2000).astype(float)
    strength = beta_strength(clicks, trials, np.full(2000, 0.05), 1.0)
    assert strength > 5000


def test_shrunken_rate_is_the_posterior_mean() -> None:
    """(clicks + s m) / (trials + s) for items of one title and no effect."""
    rng = np.random.default_rng(2)
    trials = rng.integers(20, 4000, 500).astype(float)
    clicks = rng.binomial(trials.astype(int), rng.beta(2, 38, 500)).astype(float)
    rows = Rows(clicks, trials, np.arange(500), 500)
    prior = np.full(500, np.log(0.05 / 0.95))
    intercept, spread, strength = shrink(rows, np.zeros(500), prior, 1.0)
    rate = 1 / (1 + np.exp(-intercept))
    np.testing.assert_allclose(rate, (clicks + strength * 0.05) / (trials + strength), rtol=1e-6)
    assert np.all(np.diff(spread[np.argsort(trials + strength)][::100]) < 0.2)
    assert spread[np.argmax(clicks)] < spread[np.argmin(clicks)]


def test_overdispersed_clicks_count_for_less() -> None:
    rows = Rows(np.array([100.0, 10.0, 60.0]), np.full(3, 1000.0), np.arange(3), 3)
    prior = np.full(3, np.log(0.05 / 0.95))
    usual = shrink(rows, np.zeros(3), prior, 1.0)[0]
    doubted = shrink(rows, np.zeros(3), prior, 3.0)[0]
    assert np.all(np.abs(doubted - prior) < np.abs(usual - prior))


@pytest.mark.parametrize("brands", [("Norda", "Velt"), ("诺达", "维尔特")])
def test_context_predicts_unseen_items(brands: tuple[str, str]) -> None:
    rng = np.random.default_rng(3)
    choice = rng.integers(0, 2, 400)
    price = rng.uniform(10, 1000, 400)
    items = [
        Item(f"i{k}", {"brand": (brands[c],), "price": (f"{x:.2f}",)})
        for k, (c, x) in enumerate(zip(choice, price, strict=True))
    ]
    truth = -3 + 0.8 * choice - 0.3 * np.log1p(price)
    targets = (truth + 0.2 * rng.standard_normal(400))[:, None]
    context, held_out = Context.fit(items[:300], targets[:300], np.ones(300), rng=rng)
    found = context.predict(items[300:])[:, 0]
    assert np.corrcoef(found, truth[300:])[0, 1] > 0.95
    assert np.corrcoef(held_out[:, 0], truth[:300])[0, 1] > 0.9
    again = Context.from_state(*context.state())
    np.testing.assert_array_equal(again.predict(items[300:])[:, 0], found)


def test_fields_that_tell_nothing_give_the_average() -> None:
    rng = np.random.default_rng(4)
    items = [Item(f"i{k}", {"code": (f"{rng.integers(10**9)}",)}) for k in range(200)]
    targets = rng.standard_normal((200, 1))
    context, _ = Context.fit(items, targets, np.ones(200), rng=rng)
    predicted = context.predict([Item("new", {}), Item("other", {"code": ("7",)})])
    np.testing.assert_allclose(predicted, targets.mean(), atol=0.35)


def test_a_handful_of_items_get_the_overall_rate() -> None:
    items = [Item(f"i{k}", {"brand": ("a",)}) for k in range(5)]
    targets = np.arange(5.0)[:, None]
    context, held_out = Context.fit(items, targets, np.array([1.0, 1, 1, 1, 6]), rng=np.random.default_rng(0))
    assert context.predict(items).tolist() == held_out.tolist() == [[3.0]] * 5
