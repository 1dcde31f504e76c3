"""Slots: a value becomes its field's token and comes back exactly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward.items import Item
from reward.text import clean
from rlopt.policy.slots import Slots, slot_coverage


def shop(fields: dict[str, tuple[str, ...]], n: int = 20) -> tuple[Slots, Item]:
    items = [Item(str(i), fields) for i in range(n)]
    return Slots.learn(items), items[0]


def test_a_value_becomes_its_field_and_comes_back() -> None:
    slots, item = shop({"brand": ("Acme",), "color": ("red",)})
    text = slots.delexicalise(item, "Acme dress, red")
    assert text == "<brand> dress, <color>"
    assert slots.fill(item, text) == "Acme dress, red"


def test_chinese_values_need_no_blanks() -> None:
    slots, item = shop({"品牌": ("耐克",), "颜色": ("红色",)})
    assert slots.delexicalise(item, "耐克新款红色跑鞋") == "<品牌>新款<颜色>跑鞋"
    assert slots.fill(item, "<品牌>新款<颜色>跑鞋") == "耐克新款红色跑鞋"


@pytest.mark.parametrize(
    ("value", "title"),
    [
        ("red", "dressing reddish"),
        ("5", "15 ml"),
        ("ml", "5ml"),
        ("Nike", "Nikes"),
        ("3", "1.3 kg"),
        ("кот", "который"),
    ],
)
def test_a_value_inside_a_longer_word_is_no_mention(value: str, title: str) -> None:
    slots, item = shop({"f": (value,)})
    assert slots.delexicalise(item, title) == title


def test_a_latin_word_ends_at_a_chinese_character() -> None:
    slots, item = shop({"brand": ("Nike",)})
    assert slots.delexicalise(item, "Nike鞋") == "<brand>鞋"


def test_the_longer_value_wins() -> None:
    slots, item = shop({"color": ("red",), "name": ("red wine",)})
    assert slots.delexicalise(item, "red wine glass red") == "<name> glass <color>"


def test_any_case_is_a_mention() -> None:
    slots, item = shop({"color": ("red",)})
    assert slots.fill(item, slots.delexicalise(item, "RED dress")) == "red dress"


def test_values_of_one_field_have_slots_of_their_own() -> None:
    slots, item = shop({"feature": ("light", "warm")})
    assert slots.delexicalise(item, "warm light") == "<feature_2> <feature>"


def test_a_slot_the_item_lacks_yields_nothing() -> None:
    items = [Item(str(i), {"color": ("red",), "brand": ("Acme",)}) for i in range(20)]
    slots = Slots.learn(items)
    assert slots.fill(Item("x", {"color": ("blue",)}), "<brand> <color> dress") == "blue dress"


def test_values_do_not_run_into_latin_words() -> None:
    slots, item = shop({"brand": ("Acme",), "color": ("red",), "容量": ("5升",), "功率": ("12瓦",)})
    assert slots.fill(item, "made of<color><brand>s, new<color>") == "made of red Acme s, new red"
    assert slots.fill(item, "<brand>裙<color>/<容量><功率>") == "Acme裙red/5升12瓦"


def test_text_in_angle_brackets_that_is_no_slot_stays() -> None:
    slots, item = shop({"color": ("red",)})
    assert slots.fill(item, "<b> <color>") == "<b> red"


def test_a_value_that_looks_like_a_slot_is_not_used() -> None:
    slots, item = shop({"color": ("<color>",), "brand": ("Acme",)})
    assert slots.values(item) == {"<brand>": "Acme"}


def test_rare_and_long_fields_are_no_slots() -> None:
    items = [Item(str(i), {"color": ("red",), "text": ("x" * 200,)}) for i in range(999)]
    items.append(Item("rare", {"odd": ("value",)}))
    assert Slots.learn(items).vocabulary == ("<color>",)


def test_fields_that_differ_only_in_unsafe_characters_keep_apart() -> None:
    slots, item = shop({"a b": ("one",), "a<b": ("two",)})
    assert len(set(slots.vocabulary)) == 2
    assert slots.fill(item, slots.delexicalise(item, "two one")) == "two one"


def test_saved_slots_come_back_equal() -> None:
    items = [Item(str(i), {"brand": (("Acme", "Bolt")[i % 2],), "feature": ("light", "warm")}) for i in range(20)]
    slots = Slots.learn(items)
    assert slots.kinds
    assert Slots.from_dict(slots.to_dict()) == slots


def test_the_prompt_spells_out_the_kind_of_item_only() -> None:
    items = [Item(str(i), {"category": (("lamp", "bag")[i % 2],), "sku": (f"n{i}",)}) for i in range(100)]
    slots = Slots.learn(items)
    assert slots.describe(items[0]) == "<category><category#1><sku>"
    assert slots.describe(items[1]) == "<category><category#0><sku>"
    assert slots.describe(Item("new", {"category": ("sofa",)})) == "<category>"
    assert slots.prompt_vocabulary == ("<category#0>", "<category#1>")


def test_where_a_title_is_shown_is_told_where_it_differs_and_never_said() -> None:
    fields = [{"locale": (("en", "zh")[i % 2],), "surface": ("app",), "color": ("red",)} for i in range(20)]
    items = [Item(str(i), each) for i, each in enumerate(fields)]
    slots = Slots.learn(items)
    assert slots.describe(items[1]) == "<locale#1><color>"
    assert slots.delexicalise(items[1], "red zh app") == "<color> zh app"
    assert Slots.from_dict(slots.to_dict()) == slots
    assert Slots.learn(items[::2]).describe(items[0]) == "<color>"


def test_no_field_passes_for_the_kind_of_another() -> None:
    items = [Item(str(i), {"category": (("lamp", "bag")[i % 2],), "category#1": (f"n{i}",)}) for i in range(100)]
    slots = Slots.learn(items)
    assert not set(slots.vocabulary) & set(slots.prompt_vocabulary)
    assert slots.fill(items[0], "<category#1>") == "<category#1>"


def test_coverage_is_the_share_of_the_text_that_values_spell() -> None:
    slots, item = shop({"color": ("red",)})
    assert slot_coverage(slots, [(item, "red 123456789")]) == 0.25
    assert slot_coverage(slots, [(item, "RED!"), (item, "dress")]) == 0.5
    assert slot_coverage(slots, []) == 0.0


words = st.sampled_from(["red", "Acme", "红色", "10 cm", "dress", "|", "sale", "红", "<color>x", "100%"])


@settings(max_examples=200, deadline=None)
@given(st.lists(words, max_size=8))
def test_filling_undoes_delexicalising(parts: list[str]) -> None:
    slots, item = shop({"color": ("red",), "brand": ("Acme",), "颜色": ("红色",), "size": ("10 cm",)})
    title = clean(" ".join(part for part in parts if "<" not in part))
    assert slots.fill(item, slots.delexicalise(item, title)) == title
