"""Words that titles may use for any item, and those that need an item that says so."""

from dataclasses import replace

import pytest

from envs.market import Market
from reward.features.lexicon import Lexicon, mostly_unstated
from reward.items import Item

COLOURS = ("Red", "Blue", "Green", "Off White")
ITEMS = [
    Item(
        str(i),
        {
            "color": (COLOURS[i % 4],),
            "type": ("Wrap Dress",),
            "brand": (("Marelle", "Ivy Lane")[i % 2],),
            "capacity": (f"{20 + i % 3} L",) if i % 2 else ("15 Inch",),
        },
    )
    for i in range(40)
]
PAIRS = [(item, f"new {item.fields['color'][0]} dress with {item.fields['capacity'][0]}") for item in ITEMS]
LEXICON = Lexicon.learn(PAIRS)


@pytest.mark.parametrize(
    ("title", "claims"),
    [
        ("NEW red dress", ()),
        ("new blue dress", (("value", "blue"),)),
        ("Ivy Lane dress", (("brand", "ivy lane"),)),
        ("Marelle off white dress", (("value", "off white"),)),
        ("red dress 15 inch", ()),
        ("red dress 15 l", (("unit", "15 l"),)),
        ("red dress 99 inch", (("number", "99"),)),
        ("red dress 15% new", (("number", "15%"),)),
        ("red dress １５ ％", (("number", "15%"),)),
        ("red dress 15﹪", (("number", "15%"),)),
        ("red dress qwrtz", (("word", "qwrtz"),)),
        ("", ()),
        ("(.*)+[ <b> %s \\", (("word", "b"), ("word", "s"))),
    ],
)
def test_each_claim_is_named_by_its_kind(title: str, claims: tuple[tuple[str, str], ...]) -> None:
    assert tuple((claim.kind, claim.text) for claim in LEXICON.unstated(ITEMS[0], title)) == claims


def test_what_an_item_says_with_invisible_characters_is_said() -> None:
    item = Item("x", {"color": ("r\u200ded\u200f",), "brand": ("\u202eIvy\u2060 Lane",)})
    assert LEXICON.unstated(item, "new red Ivy Lane dress with") == LEXICON.unstated(item, "new dress with")


def test_a_chinese_value_is_a_claim_although_the_item_says_its_characters_apart() -> None:
    shop = [Item(str(i), {"颜色": (("白色", "黑色")[i % 2],), "图案": ("雪白花纹",)}) for i in range(20)]
    lexicon = Lexicon.learn([(item, f"新款{item.fields['颜色'][0]}裙子") for item in shop])
    assert lexicon.unstated_words(shop[1], "新款白色裙子") == ("白色",)
    assert lexicon.unstated_words(shop[1], "新款黑色裙子") == ()


def test_a_number_needs_its_own_unit_although_another_item_has_this_size() -> None:
    shop = [Item(str(i), {"weight": ("500 g",), "volume": ("20 ml",)}) for i in range(9)]
    shop += [Item(f"m{i}", {"volume": ("500 ml",)}) for i in range(9)]
    lexicon = Lexicon.learn([(item, f"bottle {item.fields['volume'][0]}") for item in shop])
    assert lexicon.unstated_words(shop[0], "bottle 500 ml") == ("500 ml",)
    assert lexicon.unstated_words(shop[0], "bottle 20 ml 500 g") == ()
    assert lexicon.unstated_words(shop[9], "bottle 500 ml") == ()


def test_a_value_of_the_item_may_follow_any_of_its_numbers() -> None:
    shop = [Item(str(i), {"年份": ("2022秋季",), "重量": ("3千克",)}) for i in range(9)]
    apart = Item("a", {"年份": ("2021",), "季节": ("秋季",), "编号": ("5",), "重量": ("3千克",)})
    lexicon = Lexicon.learn([(item, "新款2022秋季") for item in [*shop, apart]])
    assert {"秋", "千"} <= lexicon.units
    assert lexicon.unstated_words(apart, "新款2021秋季") == ()
    assert lexicon.unstated_words(Item("b", {"年份": ("2021年秋季",)}), "新款2021秋季") == ()
    assert lexicon.unstated_words(apart, "新款5千克") == ("5 千",)
    pack = Item("p", {"type": ("hiking pack",), "volume": ("5 L",), "颜色": ("红色背包",), "数量": ("3件",)})
    sizes = [Item("q", {"count": ("2 pack",), "颜色": ("4色",)}), *shop]
    lexicon = Lexicon.learn([(item, "hiking") for item in [*sizes, pack]])
    for false in ("5 pack", "3 色", "5 件"):
        assert lexicon.unstated_words(pack, f"hiking {false}") == (false,)


def test_numbers_need_support_also_where_values_do_not() -> None:
    shop = [Item(str(i), {"size": ((f"{250 + i % 2 * 250} ml"),), "colour": ("off white",)}) for i in range(20)]
    lexicon = replace(
        Lexicon.learn([(item, f"bottle {item.fields['size'][0]} off white") for item in shop]),
        kinds=frozenset({"number", "unit"}),
    )
    plain = Item("x", {"size": ("250 ml",)})
    assert lexicon.unstated_words(plain, "bottle 500 ml off white") == ("500",)
    assert lexicon.unstated_words(plain, "bottle 250 ml off white") == ()


def test_a_count_in_words_is_the_count_in_digits() -> None:
    shop = [Item(str(i), {"数量": (f"{2 + i % 2}件",), "颜色": ("白色",)}) for i in range(20)]
    lexicon = Lexicon.learn([(item, f"套装{'二三'[i % 2]}件套") for i, item in enumerate(shop)])
    assert lexicon.unstated_words(shop[0], "套装三件套") == ("3件",)
    assert lexicon.unstated_words(shop[0], "套装二件套") == ()
    assert lexicon.unstated_words(shop[1], "套装三件套") == ()


def test_nothing_is_read_across_fields() -> None:
    shop = [Item(str(i), {"材质": ("纯棉",), "数量": ("3件",)}) for i in range(9)]
    lexicon = Lexicon.learn([(item, "纯棉3件") for item in shop])
    apart = Item("x", {"风格": ("清纯",), "材质": ("棉麻",), "型号": ("3",), "包装": ("件套",)})
    assert set(lexicon.unstated_words(apart, "纯棉3件")) == {"纯棉", "3件"}


def test_a_value_that_titles_use_for_any_item_is_no_claim() -> None:
    shop = [Item(str(i), {"condition": ("New Arrival",) if i % 10 == 0 else ("Used Once",)}) for i in range(40)]
    lexicon = Lexicon.learn([(item, "New Arrival lamp") for item in shop])
    assert lexicon.unstated(shop[1], "new arrival lamp") == ()


def test_generic_words_are_counted_by_item() -> None:
    of_items = [({"new", "red"}, {"red"})] * 3 + [({"red"}, set())]
    assert mostly_unstated(of_items, 3) == {"new"}
    assert mostly_unstated(of_items, 4) == frozenset()


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_it_finds_the_wrong_claims_of_the_simulated_shop(locale: str) -> None:
    """Every title with another item's value, by the simulator's own reading, is caught; sound titles mostly pass."""
    market = Market(400, locale, 1)
    pairs = [(item, title) for item in market.items[:300] for title, _ in market.logging_policy(item)]
    lexicon = Lexicon.learn(pairs)
    wrong = sound = caught = passed = 0
    for item in market.items[300:]:
        for title, _ in market.logging_policy(item):
            found = lexicon.unstated(item, title)
            if market.reading(item, title).wrong_claims:
                wrong, caught = wrong + 1, caught + bool(found)
            elif not market.unstated_words(item, title) and "1" not in title:
                sound, passed = sound + 1, passed + (not found)
    assert wrong >= 3
    assert caught == wrong
    assert passed >= 0.97 * sound
