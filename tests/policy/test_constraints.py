"""Constraints: what counts as the item's own words, and every rule by itself."""

import pytest

from reward.items import Item
from rlopt.policy.constraints import Constraints, Lexicon

COLOURS = ("red", "blue", "green", "white")
ITEMS = [Item(str(i), {"color": (COLOURS[i % 4],), "type": ("dress",), "price": ("19.99",)}) for i in range(40)]
PAIRS = [(item, f"new {item.fields['color'][0]} dress with love") for item in ITEMS]
LEXICON = Lexicon.learn(PAIRS)
ZH = [Item(str(i), {"颜色": (("红色", "蓝色")[i % 2],), "类型": ("连衣裙",)}) for i in range(40)]
LEXICON_ZH = Lexicon.learn([(item, f"新款{item.fields['颜色'][0]}连衣裙包邮") for item in ZH])


def test_words_of_many_items_are_generic_and_claims_are_not() -> None:
    assert {"new", "with", "love"} <= LEXICON.generic
    assert not {"red", "blue", "dress"} & LEXICON.generic


@pytest.mark.parametrize(
    ("title", "unsupported"),
    [
        ("new red dress", ()),
        ("NEW Red DRESS", ()),
        ("new blue dress", ("blue",)),
        ("red dress qwrtz", ("qwrtz",)),
        ("red dress 19.99", ()),
        ("red dress 9.99", ("9.99",)),
        ("", ()),
    ],
)
def test_unsupported_words(title: str, unsupported: tuple[str, ...]) -> None:
    assert LEXICON.unsupported_words(ITEMS[0], title) == unsupported


def test_unsupported_words_in_chinese() -> None:
    assert LEXICON_ZH.unsupported_words(ZH[0], "新款红色连衣裙包邮") == ()
    assert LEXICON_ZH.unsupported_words(ZH[0], "新款蓝色连衣裙") == ("蓝",)


def test_a_wrong_claim_in_some_titles_does_not_make_a_word_generic() -> None:
    wrong = [(item, "red dress") for item in ITEMS[1:4]]
    assert "red" not in Lexicon.learn(PAIRS + wrong).generic


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("", "empty"),
        (" \u200b ", "empty"),
        ("new " * 60 + "dress", "too_long"),
        ("new new new dress", "repeated"),
        ("new dress cheap", "banned"),
        ("blue dress", "unsupported"),
    ],
)
def test_each_rule_names_its_kind(title: str, kind: str) -> None:
    constraints = Constraints(LEXICON, banned=frozenset({"cheap"}))
    assert kind in {violation.kind for violation in constraints.check(ITEMS[0], title)}


def test_a_good_title_breaks_no_rule() -> None:
    assert Constraints(LEXICON).check(ITEMS[0], "new red dress with love") == []


def test_chinese_characters_count_two_columns() -> None:
    assert Constraints(max_width=10).check(ZH[0], "红色连衣裙") == []
    assert [v.kind for v in Constraints(max_width=9).check(ZH[0], "红色连衣裙")] == ["too_long"]


def test_saved_lexicon_comes_back_equal() -> None:
    assert Lexicon.from_dict(LEXICON.to_dict()) == LEXICON
