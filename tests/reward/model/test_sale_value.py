"""Revenue of a conversion by item: the best linear predictor, found from sums alone."""

from dataclasses import replace

import numpy as np
import pytest

from reward.arms import Arms
from reward.items import Item
from reward.model import sale_value
from reward.model.reward_model import RewardModel
from reward.model.sale_value import SaleValue

from ..shop import make_shop


def sold(revenue: list[float], conversions: list[float]) -> Arms:
    """One arm an item with these sums."""
    n = len(revenue)
    many = np.full(n, 1000.0)
    titles = np.array([f"title {i}" for i in range(n)], dtype=object)
    items = tuple(Item(f"item-{i}") for i in range(n))
    arms = Arms(items, np.arange(n), titles, many, many / 10, many, np.ones(n), False)
    return replace(arms, conversions=np.array(conversions), matured_clicks=many / 10, revenue=np.array(revenue))


def test_shrinks_as_much_as_the_best_linear_predictor() -> None:
    """Item means m_i ~ (30, 8^2), revenue of one conversion ~ (m_i, 20^2): k = 400 / 64."""
    rng = np.random.default_rng(0)
    n = 20_000
    count = rng.integers(1, 30, n).astype(float)
    means = 30 + 8 * rng.standard_normal(n)
    revenue = count * means + np.sqrt(count) * 20 * rng.standard_normal(n)
    found = SaleValue.fit(sold(revenue.tolist(), count.tolist()))
    assert found is not None
    assert found.mean == pytest.approx(30, abs=0.3)
    best = 30 + count / (count + 400 / 64) * (revenue / count - 30)
    estimated = np.array([found.by_item[f"item-{i}"] for i in range(n)])
    assert np.mean((estimated - means) ** 2) < 1.02 * np.mean((best - means) ** 2)


def test_items_that_do_not_differ_get_the_mean_and_unknown_ones_too() -> None:
    rng = np.random.default_rng(1)
    count = rng.integers(1, 40, 500).astype(float)
    revenue = count * 10 + np.sqrt(count) * 3 * rng.standard_normal(500)
    found = SaleValue.fit(sold([*revenue.tolist(), 0.0], [*count.tolist(), 0.0]))
    assert found is not None
    assert "item-500" not in found.by_item
    assert found.of([Item("item-500"), Item("new")]).tolist() == [found.mean, found.mean]
    assert np.std(list(found.by_item.values())) < 0.25
    assert SaleValue.from_json(found.to_json()) == found


def test_refunds_leave_a_positive_value() -> None:
    found = SaleValue.fit(sold([100.0, 90.0, 110.0, -300.0, 200.0], [10.0, 9.0, 11.0, 3.0, 21.0]))
    assert found is not None
    assert min(found.mean, *found.by_item.values()) > 0


def test_nothing_sold_is_no_value() -> None:
    assert SaleValue.fit(sold([0.0, 0.0], [0.0, 0.0])) is None
    assert SaleValue.fit(replace(sold([5.0], [1.0]), revenue=None)) is None


def test_the_reward_is_the_expected_revenue(tmp_path: object) -> None:
    shop = make_shop(n_items=60)
    price = {item.item_id: float(item.fields["price"][0]) for item in shop.arms.items}
    paid = np.array([price[shop.arms.items[i].item_id] for i in shop.arms.item_index])
    arms = replace(shop.arms, revenue=shop.arms.conversions * paid)
    model = RewardModel.fit(arms, seed=0, n_members=1, click_weight=0.5, revenue_weight=2.0, threads=1)
    items, titles = arms.arm_items, [str(title) for title in arms.title]
    found = model.predict(items, titles)
    assert model.sale is not None
    assert found.p_conversion is not None
    expected = found.p_click * (0.5 + found.p_conversion * 2.0 * model.sale.of(items))
    np.testing.assert_allclose(found.reward, expected)
    assert np.corrcoef(model.sale.of(items), paid)[0, 1] > 0.9


def test_counts_that_faded_to_almost_nothing_tell_almost_nothing() -> None:
    """Item means of variance 64 and sales of variance 400, to the moments; then items of a millionth of a sale.

    Half of the items sold 4 times, half 25: squared deviations of exactly 64 + 400 / n.
    """
    count = np.repeat([4.0, 25.0], 40)
    own = 30 + np.tile([1.0, -1.0], 40) * np.sqrt(64 + 400 / count)
    between, within = sale_value._variances(own, count)
    assert (between, within) == pytest.approx((64, 400))
    strange = sale_value._variances(np.append(own, [1000.0, 0.0]), np.append(count, [1e-6, 1e-3]))
    assert strange == pytest.approx((64, 400))
    old = sale_value._variances(np.append(own, [1000.0, 0.0]), np.append(count / 64, [1e-6, 1e-3]))  # all have faded
    assert old[0] > 50
    found = SaleValue.fit(sold((own * count).tolist(), count.tolist()))
    faded = SaleValue.fit(sold([*(own * count).tolist(), 1e-3], [*count.tolist(), 1e-6]))
    assert found is not None
    assert faded is not None
    assert faded.mean == pytest.approx(found.mean, rel=1e-3)
    assert faded.by_item["item-0"] == pytest.approx(found.by_item["item-0"], rel=1e-3)
    assert faded.by_item["item-80"] == pytest.approx(found.mean, rel=1e-3)
