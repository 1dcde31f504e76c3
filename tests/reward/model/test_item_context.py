"""Rates predicted from an item's fields: unseen items, items with next to no clicks, fields without information."""

import numpy as np
import pytest
from scipy.special import expit

from reward.arrays import FloatArray
from reward.items import Item
from reward.model.item_context import ItemContext, ItemTotals


def catalogue(n: int, brands: tuple[str, str], rng: np.random.Generator) -> tuple[list[Item], FloatArray, FloatArray]:
    """Items of two brands at any price, with both as numbers."""
    choice, price = rng.integers(0, 2, n), rng.uniform(10, 1000, n)
    items = [
        Item(f"i{k}", {"brand": (brands[c],), "price": (f"{x:.2f}",)})
        for k, (c, x) in enumerate(zip(choice, price, strict=True))
    ]
    return items, choice.astype(np.float64), np.log1p(price)


def draw(p: FloatArray, trials: FloatArray, rng: np.random.Generator) -> ItemTotals:
    return ItemTotals(rng.binomial(trials.astype(int), p).astype(np.float64), trials)


@pytest.mark.parametrize("brands", [("Norda", "Velt"), ("诺达", "维尔特")])
def test_context_predicts_unseen_items(brands: tuple[str, str]) -> None:
    rng = np.random.default_rng(3)
    items, brand, log_price = catalogue(400, brands, rng)
    truth = -1 + 0.8 * brand - 0.3 * log_price
    counts = draw(expit(truth + 0.2 * rng.standard_normal(400)), np.full(400, 4000.0), rng)
    train = ItemTotals(counts.successes[:300], counts.trials[:300])
    level = 0.1 * brand[:300]
    context, held_out = ItemContext.fit(items[:300], train, level, rng=rng)
    found = context.predict(items[300:])
    assert np.corrcoef(found[:, 0], truth[300:])[0, 1] > 0.95
    assert np.corrcoef(held_out[:, 0], truth[:300])[0, 1] > 0.9
    np.testing.assert_allclose(found[:, 1], 0.1 * brand[300:], atol=0.02)
    again = ItemContext.from_state(*context.state())
    np.testing.assert_array_equal(again.predict(items[300:]), found)


def test_items_with_next_to_no_clicks_are_neither_over_nor_underrated() -> None:
    """Most items have few trials and no success; those of one brand have the fewest and the lowest rate."""
    rng = np.random.default_rng(4)
    items, brand, _ = catalogue(3000, ("Norda", "Velt"), rng)
    p = 0.03 + 0.05 * brand
    trials = rng.poisson(np.where(brand > 0, 20, 4)).astype(np.float64)
    counts = draw(p, trials, rng)
    assert np.mean(counts.successes == 0) > 0.5
    context, _ = ItemContext.fit(items, counts, np.zeros(3000), rng=rng)
    found = expit(context.predict(items)[:, 0])
    assert found[brand > 0].mean() == pytest.approx(0.08, rel=0.06)
    assert found[brand == 0].mean() == pytest.approx(0.03, rel=0.2)


def test_the_outcome_before_tells_of_a_rarer_one() -> None:
    """The same properties get items clicked and bought, and there are fifty clicks for every purchase."""
    rng = np.random.default_rng(5)
    words = [f"w{k}" for k in range(60)]
    worth = rng.standard_normal(60)
    picks = rng.integers(0, 60, (1500, 3))
    items = [Item(f"i{k}", {"about": tuple(words[j] for j in row)}) for k, row in enumerate(picks)]
    appeal = 0.4 * worth[picks].sum(axis=1)
    clicks = draw(expit(-3 + appeal), np.full(1500, 1000.0), rng)
    bought = draw(expit(-3 + 0.5 * appeal), clicks.successes, rng)
    alone, _ = ItemContext.fit(items[:1000], _first(bought, 1000), np.zeros(1000), rng=np.random.default_rng(0))
    both, _ = ItemContext.fit(
        items[:1000], _first(bought, 1000), np.zeros(1000), rng=np.random.default_rng(0), before=_first(clicks, 1000)
    )
    error = [np.mean((c.predict(items[1000:])[:, 0] + 3 - 0.5 * appeal[1000:]) ** 2) for c in (alone, both)]
    assert error[1] < 0.5 * error[0]
    again = ItemContext.from_state(*both.state())
    np.testing.assert_array_equal(again.predict(items[1000:]), both.predict(items[1000:]))


def _first(totals: ItemTotals, n: int) -> ItemTotals:
    return ItemTotals(totals.successes[:n], totals.trials[:n])


def test_fields_that_tell_nothing_give_the_overall_rate() -> None:
    rng = np.random.default_rng(4)
    items = [Item(f"i{k}", {"code": (f"{rng.integers(10**9)}",)}) for k in range(200)]
    counts = draw(expit(-2 + rng.standard_normal(200)), np.full(200, 1000.0), rng)
    context, _ = ItemContext.fit(items, counts, np.zeros(200), rng=rng)
    predicted = expit(context.predict([Item("new", {}), Item("other", {"code": ("7",)})])[:, 0])
    np.testing.assert_allclose(predicted, counts.successes.sum() / counts.trials.sum(), rtol=0.25)


@pytest.mark.parametrize("successes", [0.0, 100.0])
def test_all_or_none_stays_finite(successes: float) -> None:
    items, _, _ = catalogue(50, ("Norda", "Velt"), np.random.default_rng(6))
    counts = ItemTotals(np.full(50, successes), np.full(50, 100.0))
    context, held_out = ItemContext.fit(items, counts, np.zeros(50), rng=np.random.default_rng(0), before=counts)
    assert np.isfinite(context.predict(items)).all()
    assert np.isfinite(held_out).all()


def test_a_handful_of_items_get_the_overall_rate() -> None:
    items = [Item(f"i{k}", {"brand": ("a",)}) for k in range(5)]
    counts = ItemTotals(np.array([1.0, 2, 3, 4, 90]), np.array([100.0, 100, 100, 100, 600]))
    context, held_out = ItemContext.fit(items, counts, np.zeros(5), rng=np.random.default_rng(0))
    np.testing.assert_allclose(expit(context.predict(items)[:, 0]), 0.1)
    np.testing.assert_allclose(held_out, context.predict(items))
