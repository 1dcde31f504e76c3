"""Phrases that may harm people are found with their category, and left alone where the words mean something else."""

from pathlib import Path

import pytest

from reward.features.harm import HarmList
from reward.items import Item
from rlopt.config import RulesConfig
from rlopt.policy.constraints import Constraints


@pytest.mark.parametrize(
    ("title", "category"),
    [
        ("Miracle Cure Tea, No Side Effects", "health"),
        ("祖传秘方 养生茶 包治百病", "health"),
        ("Lamp So Easy a Woman Can Fit It", "gender"),
        ("女司机专用车贴", "gender"),
        ("Double your money: planner", "finance"),
        ("理财课 稳赚不赔", "finance"),
        ("Phone that even your grandma can use", "age"),
        ("死胖子专用大码T恤", "body"),
        ("Oriental Girl costume", "origin"),
        ("Retarded joke mug", "slur"),
    ],
)
def test_each_category_is_found_in_both_languages(title: str, category: str) -> None:
    found = HarmList.shipped().found(title)
    assert found
    assert {one.split(":")[0] for one in found} == {category}


@pytest.mark.parametrize(
    "title",
    [
        "Fire Retardant Curtain",
        "Flame Retarded Cable",
        "Ghetto Blaster Radio",
        "Cure Gel Lamp",
        "Red Women's Dress",
        "鬼子姜 新鲜",
        "男女同款 卫衣",
        "残废军人优待证套",
        "玉米棒子",
        "健康秤",
    ],
)
def test_other_meanings_are_left_alone(title: str) -> None:
    assert HarmList.shipped().found(title) == []


def test_what_the_item_states_is_no_excuse() -> None:
    rules = Constraints.of(RulesConfig())
    item = Item("1", {"claim": ("miracle cure",)})
    assert [v.detail for v in rules.check(item, "Green tea miracle cure")] == ["health: miracle cure"]
    assert rules.broken_for_good(item, "Miracle cure of") == "harmful"


def test_a_list_of_ones_own_replaces_them_and_names_the_category(tmp_path: Path) -> None:
    file = tmp_path / "rivals.txt"
    file.write_text("# ours\nAcme\n!Acme Street\n", encoding="utf-8")
    rules = Constraints.of(RulesConfig(harmful=(f"@{file}", "snake oil")))
    found = [v.detail for v in rules.check(Item("1"), "Acme snake oil, get rich quick, near Acme Street")]
    assert found == ["rivals: Acme, listed: snake oil"]
    assert rules.check(Item("1"), "Acme Street map") == []
    assert Constraints.of(RulesConfig(harmful=())).check(Item("1"), "Get rich quick") == []
