"""Targets: the logged titles worth imitating."""

from dataclasses import replace

from reward.items import Item
from rlopt.policy.slots import Slots
from rlopt.policy.sound_targets import says_values_once, sound_pairs

COLOURS = ("red", "blue", "green", "white")
ITEMS = [
    Item(
        str(i),
        {"color": (COLOURS[i % 4],), "type": ("dress",), **({"brand": ("Acme",)} if i % 2 else {"size": ("XL",)})},
    )
    for i in range(40)
]
GOOD = [(item, f"new {item.fields['color'][0]} dress") for item in ITEMS]


def test_only_sound_titles_are_imitated() -> None:
    slots = Slots.learn(ITEMS)
    bad = [
        (ITEMS[0], "new blue dress"),  # another item's colour
        (ITEMS[0], "red dress red"),  # a value twice
        (ITEMS[0], "NEW RED DRESS"),
        (ITEMS[0], "new red dress!!!"),
        (ITEMS[0], "new red dress 99"),
    ]
    assert sound_pairs(slots, [*GOOD, *bad]) == GOOD


def test_where_hardly_any_title_is_sound_all_are_kept() -> None:
    titles = [(item, f"{item.fields['color'][0]} dress!!!") for item in ITEMS]
    assert sound_pairs(Slots.learn(ITEMS), titles) == titles


def test_where_titles_say_values_twice_that_is_allowed() -> None:
    titles = [(item, f"{item.fields['color'][0]} dress, {item.fields['color'][0]}") for item in ITEMS]
    slots = Slots.learn(ITEMS)
    assert says_values_once(slots, GOOD)
    assert not says_values_once(slots, titles)
    assert sound_pairs(replace(slots, once=False), titles) == titles
    assert sound_pairs(slots, titles) == []
