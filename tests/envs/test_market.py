"""The shop as a whole: what it promises about items, titles, propensities and the truth."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import writers
from envs.catalog import load_locale
from envs.errors import MarketError
from envs.market import Market
from reward.items import Item

SHOPS = {locale: Market(20, locale, seed=1) for locale in ("en", "zh")}


def test_an_item_is_the_same_in_a_shop_of_any_size() -> None:
    small, large = Market(5, "en", 7), Market(50, "en", 7)
    assert small.items == large.items[:5]
    assert [small.logging_policy(i) for i in small.items] == [large.logging_policy(i) for i in large.items[:5]]
    title = large.logging_policy(large.items[3])[0][0]
    assert small.true_value(small.items[3], title) == large.true_value(large.items[3], title)


def test_another_seed_is_another_shop() -> None:
    shops = [Market(50, "en", seed) for seed in (1, 2)]
    assert not {i.item_id for i in shops[0].items} & {i.item_id for i in shops[1].items}
    assert [dict(i.fields) for i in shops[0].items] != [dict(i.fields) for i in shops[1].items]
    weights = [shop._taste["Lamps"].salience for shop in shops]
    assert np.std([weights[0][name] - weights[1][name] for name in weights[0]]) > 0.01


def test_items_hold_typed_attributes_of_their_category(market: Market) -> None:
    spec = load_locale(market.locale)
    assert len({item.item_id for item in market.items}) == len(market.items)
    for item in market.items:
        category = spec.by_name[item.fields["category"][0]]
        allowed = {a.name: set(a.values) for a in category.attributes}
        allowed |= {"brand": set(category.brands), "type": set(category.types), "category": {category.name}}
        allowed["locale"] = {market.locale}
        allowed |= {service.name: set(service.values) for service in spec.services}
        assert float(item.fields["price"][0]) > 0
        for name, values in item.fields.items():
            assert name == "price" or set(values) <= allowed[name]
            assert len(set(values)) == len(values) <= 3
    assert {item.fields["category"][0] for item in market.items} == set(spec.by_name)
    services = {service.name for service in spec.services}
    coverage = np.mean([len(i.fields.keys() - services) - 5 for i in market.items]) / np.mean(
        [len(spec.by_name[i.fields["category"][0]].attributes) for i in market.items]
    )
    assert 0.6 < coverage < 0.95  # no item has everything, most have most
    for service in spec.services:
        share = np.mean([service.name in item.fields for item in market.items])
        assert share == pytest.approx(service.coverage, abs=4 * np.sqrt(0.25 / len(market.items)))


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_catalogues_have_enough_of_everything(locale: str) -> None:
    spec = load_locale(locale)
    assert 6 <= len(spec.categories) <= 8
    assert 15 <= len(spec.promo) <= 20
    for category in spec.categories:
        for values in (category.types, category.brands, *(a.values for a in category.attributes)):
            assert 8 <= len(values) <= 30
            assert len(set(values)) == len(values)


def test_logging_policy_shows_several_titles_with_known_chances(market: Market) -> None:
    counts = set()
    for item in market.items:
        policy = market.logging_policy(item)
        titles, chances = zip(*policy, strict=True)
        counts.add(len(titles))
        assert len(set(titles)) == len(titles)
        assert sum(chances) == pytest.approx(1.0, abs=1e-12)
        assert min(chances) >= 0.03
    assert counts == {3, 4, 5, 6, 7, 8}


def test_titles_run_from_very_short_to_very_long(market: Market) -> None:
    widths = [market.reading(i, title).width for i in market.items for title, _ in market.logging_policy(i)]
    low, middle, high = np.quantile(widths, [0.02, 0.5, 0.98])
    sweet = load_locale(market.locale).sweet_width
    assert low < 0.4 * sweet < 0.6 * sweet < middle < 1.4 * sweet < 1.6 * sweet < high


def test_a_few_logged_titles_claim_what_is_not_so(market: Market) -> None:
    readings = [market.reading(i, title) for i in market.items for title, _ in market.logging_policy(i)]
    assert 0.96 < np.mean([not reading.unstated for reading in readings]) < 0.995
    assert 0.005 < np.mean([reading.wrong_claims > 0 for reading in readings]) < 0.03
    assert 0.02 < np.mean([reading.repeats > 0 for reading in readings]) < 0.25


def test_sellers_who_make_no_mistakes_write_faithful_titles(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "WRONG_CLAIM_SHARE", 0.0)
    monkeypatch.setattr(writers, "TYPO_SHARE", 0.0)
    for item in market.items:
        for title in market.human_titles(item, 5):
            assert market.unstated_words(item, title) == ()


def test_base_rates(market: Market) -> None:
    pairs = [(item, title, chance) for item in market.items for title, chance in market.logging_policy(item)]
    items, titles, chances = zip(*pairs, strict=True)
    weights = np.array(chances) / len(market.items)
    clicks = market.click_probability(items, titles)
    assert weights @ clicks == pytest.approx(0.03, rel=0.25)
    rate = weights @ (clicks * market.conversion_probability(items, titles)) / (weights @ clicks)
    assert rate == pytest.approx(0.05, rel=0.3)


def test_items_matter_most_and_titles_leave_head_room(market: Market) -> None:
    """docs/architecture.md, section 5: about 85% of the noise-free variance of logit CTR lies between items."""
    within, means, best, average = [], [], [], []
    for item in market.items:
        titles, chances = zip(*market.logging_policy(item), strict=True)
        p = market.click_probability([item] * len(titles), titles)
        logit = np.log(p / (1 - p))
        within.append(float(logit.var(ddof=1)))
        means.append(float(logit.mean()))
        average.append(float(np.dot(chances, p)))
        human = market.human_titles(item, 64)
        best.append(float(market.click_probability([item] * 64, human).max()))
    share = np.mean(within) / (np.mean(within) + np.var(means))
    assert 0.08 < share < 0.25
    assert 0.25 < np.sum(best) / np.sum(average) - 1 < 0.5


def test_no_single_style_is_already_the_best(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """The head room is in choosing per item, not in one style for all."""
    items = market.items[:100]
    best = np.mean([market.click_probability([i] * 64, market.human_titles(i, 64)).max() for i in items])
    by_style = []
    for k in range(len(writers.STYLES)):
        monkeypatch.setattr(market._writer, "_style_edges", (np.arange(len(writers.STYLES)) >= k).astype(float))
        by_style.append(np.mean([market.click_probability([i] * 4, market.human_titles(i, 4)).mean() for i in items]))
    assert best > 1.1 * max(by_style)
    assert np.ptp(by_style) > 0.2 * max(by_style)  # and styles do differ


@given(text=st.text(max_size=300), locale=st.sampled_from(["en", "zh"]))
@settings(max_examples=300, deadline=None)
def test_any_text_has_a_value(text: str, locale: str) -> None:
    shop = SHOPS[locale]
    item = shop.items[0]
    value = shop.true_value(item, text)
    assert 0.0 < value < 1.0
    assert 0.0 < shop.conversion_probability([item], [text])[0] < 1.0
    assert all(isinstance(word, str) and word for word in shop.unstated_words(item, text))
    assert value == shop.true_value(item, text)


def test_very_long_and_strange_texts_have_a_value() -> None:
    for shop in SHOPS.values():
        for text in ("", " ", "a" * 100_000, "\ud800", "\x00", "🎉" * 500, "长" * 5_000, "1 " * 5_000):
            assert 0.0 < shop.true_value(shop.items[0], text) < 0.01


def test_one_title_has_the_value_it_has_among_many(market: Market) -> None:
    items = market.items[:20]
    titles = [market.logging_policy(item)[0][0] for item in items]
    assert market.true_value(items[3], titles[3]) == market.click_probability(items, titles)[3]


def test_save_and_load_give_the_same_shop(market: Market, tmp_path: Path) -> None:
    path = tmp_path / "shop.market.json"
    market.save(path)
    again = Market.load(path)
    assert again.items == market.items
    titles = [market.logging_policy(item)[0][0] for item in market.items]
    np.testing.assert_array_equal(
        again.click_probability(again.items, titles), market.click_probability(market.items, titles)
    )
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"is missing\. Run rlopt simulate again"),
        ("{", r"is damaged .*Run rlopt simulate again"),
        ("[]", r"is damaged .*Run rlopt simulate again"),
        ('{"version": 1}', r"is damaged .*Run rlopt simulate again"),
        ('{"version": 1, "locale": "en", "seed": 0, "n_items": 3}', "version 1"),
        ('{"version": 1, "locale": "en", "seed": "x", "n_items": 3}', r"is damaged .*Run rlopt simulate again"),
        ('{"version": 2, "locale": "fr", "seed": 0, "n_items": 3}', "locale must be one of en, zh"),
    ],
)
def test_loading_what_is_no_market(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "shop.market.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(MarketError, match=message):
        Market.load(path)


def test_bad_arguments() -> None:
    with pytest.raises(MarketError, match=r"n_items must be between 1 and 1,000,000\. Got 0"):
        Market(0)
    with pytest.raises(MarketError, match=r"locale must be one of en, zh. Got 'de'"):
        Market(1, "de")
    with pytest.raises(MarketError, match=r"seed must be between 0 and 4294967295\. Got -1"):
        Market(1, seed=-1)
    shop = SHOPS["en"]
    with pytest.raises(MarketError, match="item 'nobody' is not of this market"):
        shop.true_value(Item("nobody"), "Dress")
    with pytest.raises(MarketError, match=r"one length. Got 2 and 1"):
        shop.click_probability(shop.items[:2], ["Dress"])
