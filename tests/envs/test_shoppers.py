"""The taste of shoppers: each effect has the direction and the form the module says it has."""

from dataclasses import replace

import numpy as np
import pytest

from envs.catalog import CategorySpec, load_locale
from envs.lexicon import Mention, Reading
from envs.market import Market
from envs.shoppers import CLICK_CEILING, click_effect, click_probability, conversion_effect, draw_taste, kept_share
from reward.items import Item

TASTE = draw_taste(load_locale("en"), 3)["Headphones"]
PLAIN = Reading(
    n_words=5,
    width=round(TASTE.sweet_width),
    content_width=round(TASTE.sweet_width),
    mentions=(Mention("type", "Gaming Headset", 0),),
    names_product=True,
    promo=0,
    fillers=0,
    repeats=0,
    wrong_claims=0,
    gibberish=0,
    unstated=(),
    shouting=0,
    symbols=0,
)


def with_battery(offset: int) -> Reading:
    return replace(PLAIN, mentions=(*PLAIN.mentions, Mention("battery", "30 Hours", offset)))


def test_a_mention_is_worth_less_the_later_it_comes() -> None:
    gains = np.array([click_effect(with_battery(offset), TASTE) - click_effect(PLAIN, TASTE) for offset in (0, 20, 40)])
    weight = TASTE.salience["battery"] * TASTE.value_factor["battery", "30 Hours"]
    np.testing.assert_allclose(gains, weight * np.exp(-np.array([0, 20, 40]) / TASTE.decay_width), rtol=1e-9)
    assert weight > 0


def test_length_has_a_sweet_spot() -> None:
    effects = [click_effect(replace(PLAIN, width=width, content_width=width), TASTE) for width in range(5, 200)]
    best = int(np.argmax(effects)) + 5
    assert best == pytest.approx(TASTE.sweet_width, abs=1)
    assert (np.diff(effects)[: best - 6] >= 0).all()
    assert (np.diff(effects)[best - 4 :] <= 0).all()


def test_the_sweet_spot_differs_by_locale() -> None:
    for seed in range(20):
        en, zh = ([t.sweet_width for t in draw_taste(load_locale(loc), seed).values()] for loc in ("en", "zh"))
        assert np.mean(zh) < 0.95 * np.mean(en)


def test_promises_win_clicks_until_two_and_lose_conversions() -> None:
    clicks = [click_effect(replace(PLAIN, promo=n), TASTE) for n in range(5)]
    assert clicks[0] < clicks[1] < clicks[2] > clicks[3] > clicks[4]
    conversions = [conversion_effect(replace(PLAIN, promo=n), TASTE) for n in range(5)]
    assert (np.diff(conversions) < 0).all()


@pytest.mark.parametrize(
    ("field", "least"),
    [("wrong_claims", 0.5), ("gibberish", 0.5), ("repeats", 0.2), ("shouting", 0.1), ("symbols", 0.05)],
)
def test_faults_cost_clicks(field: str, least: float) -> None:
    effects = [click_effect(replace(PLAIN, **{field: n}), TASTE) for n in range(4)]
    assert (np.diff(effects) < -least).all()


def test_padding_with_function_words_gains_nothing(market: Market) -> None:
    filler = {"en": " for the new", "zh": "适合全新的"}[market.locale]
    for item in market.items[:40]:
        short = item.fields["type"][0]
        values = [market.true_value(item, short + n * filler) for n in range(1, 8)]
        assert max(values) <= market.true_value(item, short)
        assert values[-1] < 0.9 * market.true_value(item, short)


def test_a_title_must_name_the_product() -> None:
    assert click_effect(replace(PLAIN, names_product=False), TASTE) < click_effect(PLAIN, TASTE) - 1.0


def test_wrong_claims_cost_conversions_too() -> None:
    assert conversion_effect(replace(PLAIN, wrong_claims=1), TASTE) < conversion_effect(PLAIN, TASTE) - 0.3


def test_click_probability_stays_below_its_ceiling() -> None:
    p = click_probability(np.array([-40.0, 0.0, 40.0]))
    assert 0 < p[0] < p[1] == CLICK_CEILING / 2 < p[2] <= CLICK_CEILING < 1


def test_whole_titles_in_both_languages(market: Market) -> None:
    """The single effects hold for texts: a clean title beats every spoiled version of itself."""
    spec = load_locale(market.locale)
    joint, red = (" ", "Zebra") if market.locale == "en" else ("", "斑马")
    for item in market.items[:60]:
        kind, brand = item.fields["type"][0], item.fields["brand"][0]
        clean = brand + joint + kind
        spoiled = {
            "gibberish": clean + joint + red,
            "no product": brand,
            "repeats": joint.join([clean, kind, kind]),
            "wrong claim": clean + joint + _not_of(item, spec.by_name[item.fields["category"][0]]),
            "empty": "",
            "symbols": clean + "！！！???",
        }
        value = market.true_value(item, clean)
        for name, title in spoiled.items():
            assert market.true_value(item, title) < value, (name, title)
        empty = next(phrase for phrase in spec.promo if phrase not in spec.promises)
        plain, loud = market.conversion_probability([item, item], [clean, f"{clean} {empty}"])
        assert loud < plain


def test_a_kept_promise_sells_and_a_broken_one_comes_back(market: Market) -> None:
    """Both win clicks; one that no field of the item bears out loses more sales than it wins clicks."""
    spec = load_locale(market.locale)
    seen = set()
    for item in market.items:
        clean = f"{item.fields['brand'][0]} {item.fields['type'][0]}"
        for phrase in spec.promises:
            title = f"{clean} {phrase}"
            kept = phrase in spec.kept_promises(item)
            assert market.broken_promises(item, title) == (() if kept else (phrase,))
            click, sale = market.click_and_conversion([item, item], [clean, title])
            reading = market.reading(item, title)
            assert kept_share(reading) == (1.0 if kept else 0.85)
            assert (sale[1] > sale[0]) if kept else (sale[1] < 0.7 * sale[0])
            assert click[1] > 0.9 * click[0]
            seen.add((phrase, kept))
    assert {phrase for phrase, kept in seen if kept} == spec.promises - set(spec.unkeepable)
    assert {phrase for phrase, kept in seen if not kept} == spec.promises


def test_several_broken_promises_bring_back_more() -> None:
    shares = [kept_share(replace(PLAIN, broken=("a",) * n)) for n in range(6)]
    np.testing.assert_allclose(shares, [1, 0.85, 0.85**2, 0.85**3, 0.85**3, 0.85**3])
    effects = [conversion_effect(replace(PLAIN, promo=n, broken=("a",) * n), TASTE) for n in range(4)]
    np.testing.assert_allclose(np.diff(effects), -0.35)
    kept = [conversion_effect(replace(PLAIN, promo=n, kept=n), TASTE) for n in range(3)]
    np.testing.assert_allclose(np.diff(kept), 0.12)


def test_tastes_scatter_around_the_catalogue() -> None:
    """Over many shops the mean salience is the catalogue's (less the clutter of a mention): nothing to hard-code."""
    spec = load_locale("en")
    drawn = [draw_taste(spec, seed)["Kettles"].salience for seed in range(60)]
    material = np.array([salience["material"] for salience in drawn])
    mean = next(a.salience for a in spec.by_name["Kettles"].attributes if a.name == "material")
    assert material.mean() == pytest.approx(mean - 0.05, abs=0.06)
    assert material.std() > 0.03
    order = {max(salience, key=salience.__getitem__) for salience in drawn}
    assert len(order) >= 2  # not even the most salient attribute is always the same


def _not_of(item: Item, category: CategorySpec) -> str:
    own = {value for values in item.fields.values() for value in values}
    return next(value for value in category.attributes[0].values if value not in own)
