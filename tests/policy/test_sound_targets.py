"""Targets: the logged titles worth imitating."""

from dataclasses import replace

from reward.features.facts import Fact, Facts
from reward.features.selectors import Selector
from reward.items import Item
from rlopt.policy.checked_claims import checked_claims
from rlopt.policy.constraints import Constraints
from rlopt.policy.slots import Slots
from rlopt.policy.sound_targets import honest_pairs, says_values_once, sound_pairs

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


def test_promises_that_nothing_bears_out_are_not_imitated() -> None:
    slots = Slots.learn(ITEMS)
    loud = [(item, f"{title}, free shipping") for item, title in GOOD]
    true = [(replace(item, fields={**item.fields, "shipping": ("free",)}), title) for item, title in loud[:4]]
    assert sound_pairs(slots, [*GOOD, *loud[:30], *true]) == [*GOOD, *true]
    # where most titles promise, and shout besides, the promises still go
    shouting = [(item, f"{title}!!!") for item, title in GOOD]
    assert sound_pairs(slots, [*shouting, *loud, *loud]) == shouting


def test_a_shop_with_hardly_an_honest_title_learns_from_all() -> None:
    rules = Constraints(checked_claims(GOOD))
    loud = [(item, f"{title}, free shipping") for item, title in GOOD]
    assert honest_pairs([*loud, *GOOD[:9]], rules) == [*loud, *GOOD[:9]]
    assert honest_pairs([*loud, *GOOD[:10]], rules) == GOOD[:10]


def test_what_must_never_be_said_is_not_imitated() -> None:
    never = Facts(never=(Fact(("new",), Selector({})),))
    plain = [(item, title.removeprefix("new ")) for item, title in GOOD]
    assert honest_pairs([*GOOD, *plain], Constraints(facts=never)) == plain


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
