"""One title explained: the parts add up, the reasons name what is wrong, any text is answered."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward.evidence.explain import Logged, explain
from reward.items import Item
from reward.model.reward_model import RewardModel

from ..shop import Shop, make_shop

_FITTED: dict[str, tuple[Shop, RewardModel]] = {}


def fitted(locale: str) -> tuple[Shop, RewardModel]:
    """A small shop with its model, made once."""
    if locale not in _FITTED:
        shop = make_shop(locale, n_items=120, impressions=4000, seed=6)
        _FITTED[locale] = shop, RewardModel.fit(shop.arms, seed=1, n_members=2, threads=1)
    return _FITTED[locale]


def logged(shop: Shop, item: int) -> Logged:
    rows = shop.arms.item_index == item
    return Logged(*(list(column[rows]) for column in (shop.arms.title, shop.arms.impressions, shop.arms.clicks)))


def test_parts_make_the_change_and_a_logged_title_is_its_own_neighbour() -> None:
    shop, model = fitted("en")
    item, titles = shop.arms.items[3], logged(shop, 3)
    found = explain(model, item, titles.titles[0], titles)
    product = np.prod([1 + part.change for part in found.parts])
    assert product == pytest.approx(1 + found.change, rel=0.05)  # small parts are left out, odds are not quite rates
    assert found.nearest[0].title == titles.titles[0]
    assert found.nearest[0].similarity == 1.0
    assert found.nearest[0].clicks == titles.clicks[0]
    assert found.low < found.p_click < found.high
    assert found.p_click == pytest.approx(model.predict([item], [titles.titles[0]]).p_click[0])
    assert not found.out_of_distribution
    assert found.outside == ()
    assert found.known_item


@pytest.mark.parametrize(("locale", "word"), [("en", "zorgle"), ("zh", "饕餮")])
def test_what_is_wrong_with_a_title_is_named(locale: str, word: str) -> None:
    shop, model = fitted(locale)
    item, titles = shop.arms.items[5], logged(shop, 5)
    found = explain(model, item, f"{word} {titles.titles[0]}", titles)
    assert found.unsupported == (word,)
    assert found.unknown == (word,)
    assert found.out_of_distribution
    assert "count: words never seen in titles" in {reason.feature for reason in found.outside}
    assert found.parts[0].topic == "unlike any logged title"
    assert found.change < -0.3


def test_a_wrong_claim_is_unsupported_but_known() -> None:
    shop, model = fitted("en")
    item = next(i for i in shop.arms.items if i.fields["color"] == ("red",))
    title = f"{item.fields['brand'][0]} black {item.fields['category'][0]}"
    found = explain(model, item, title, logged(shop, shop.arms.items.index(item)))
    assert found.unsupported == ("black",)
    assert found.unknown == ()
    claims = next(part for part in found.parts if part.topic == "claims the item does not support")
    assert claims.change < -0.2


def test_an_item_without_logs_is_compared_with_the_average() -> None:
    _, model = fitted("en")
    stranger = Item("new", {"brand": ("Velt",), "color": ("red",), "category": ("lamps",)})
    found = explain(model, stranger, "Velt red lamps")
    assert found.compared_with == "the average logged title"
    assert not found.known_item
    assert found.nearest == ()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.text(max_size=60))
def test_any_text_is_explained(title: str) -> None:
    shop, model = fitted("zh")
    found = explain(model, shop.arms.items[0], title, logged(shop, 0))
    numbers = [found.p_click, found.low, found.high, found.reward, found.change, found.support]
    numbers += [value for part in found.parts for value in (part.change, part.low, part.high) if value is not None]
    assert np.isfinite(numbers).all()
    assert found.to_dict()["out_of_distribution"] == (found.support < 0.5)
