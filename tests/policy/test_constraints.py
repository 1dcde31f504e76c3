"""Constraints: what counts as the item's own words, and every rule by itself."""

import pytest

from reward.features.lexicon import Lexicon
from reward.features.phraselist import PhraseList
from reward.items import Item
from rlopt.policy.constraints import Constraints, duplicate_key, kinds

COLOURS = ("red", "blue", "green", "white")
ITEMS = [Item(str(i), {"color": (COLOURS[i % 4],), "type": ("dress",), "price": ("19.99",)}) for i in range(40)]
PAIRS = [(item, f"new {item.fields['color'][0]} dress with love") for item in ITEMS]
LEXICON = Lexicon.learn(PAIRS)
ZH = [Item(str(i), {"颜色": (("红色", "蓝色")[i % 2],), "类型": ("连衣裙",)}) for i in range(40)]


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("", "empty"),
        ("| - !", "empty"),
        (" \u200b ", "empty"),
        ("new " * 60 + "dress", "too_long"),
        ("new new new dress", "repeated"),
        ("新款新款新款 dress", "repeated"),
        ("new dress \ufffd", "unreadable"),
        ("new dress cheap", "banned"),
        ("blue dress", "unsupported"),
        ("best red dress", "superlative"),
        ("new red", "required"),
        ("new red dress with love " + "x" * 40, "too_long"),
        ("red dress with love new red dress with love", "too_long"),
        ("NEW DRESS WITH LOVE", "capitals"),
        ("new red dress!!!", "punctuation"),
        ("new red dress | | with love", "punctuation"),
        ("* + * + ~ / dress ^ & %", "punctuation"),
    ],
)
def test_each_rule_names_its_kind(title: str, kind: str) -> None:
    constraints = Constraints(
        LEXICON,
        banned=PhraseList(("cheap",)),
        superlatives=PhraseList(("best",)),
        required=("dress",),
        max_chars=60,
        max_words=8,
        formatting=True,
    )
    assert kind in {violation.kind for violation in constraints.check(ITEMS[0], title)}


def test_a_good_title_breaks_no_rule() -> None:
    assert Constraints(LEXICON).check(ITEMS[0], "new red dress with love") == []


def test_chinese_characters_count_two_columns() -> None:
    assert Constraints(max_width=10).check(ZH[0], "红色连衣裙") == []
    assert [v.kind for v in Constraints(max_width=9).check(ZH[0], "红色连衣裙")] == ["too_long"]


def test_what_the_item_says_itself_is_no_superlative_and_no_shouting() -> None:
    item = Item("1", {"brand": ("BEST WESTERN LUX",), "type": ("hotel",)})
    rules = Constraints(superlatives=PhraseList(("best",)), formatting=True)
    assert rules.check(item, "BEST WESTERN LUX hotel") == []


def test_a_superlative_must_stand_in_the_item_as_it_does_in_the_title() -> None:
    law = Constraints(superlatives=PhraseList(("best", "最新"), ("最新款",)))
    assert kinds(law.check(Item("1", {"brand": ("Bestway",)}), "best pool")) == ["superlative"]
    assert kinds(law.check(Item("1", {"卖点": ("最新款",)}), "最新连衣裙")) == ["superlative"]
    assert law.check(Item("1", {"卖点": ("最新",)}), "最新连衣裙") == []


@pytest.mark.parametrize("title", ["<b>red</b> dress", "red dress' OR 1=1 --", "(.*)+$ dress"])
def test_hostile_titles_are_checked_like_any_other(title: str) -> None:
    kinds(Constraints(LEXICON, formatting=True, superlatives=PhraseList.superlatives()).check(ITEMS[0], title))


def test_the_same_words_in_another_order_are_a_near_duplicate() -> None:
    assert duplicate_key("Red Dress, new") == duplicate_key("NEW red dress!")
    assert duplicate_key("红色 连衣裙") == duplicate_key("连衣裙，红色")
    assert duplicate_key("red dress") != duplicate_key("red red dress")
