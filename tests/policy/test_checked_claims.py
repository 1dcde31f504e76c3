"""Selection of the claims to check, from those that people's own titles keep to."""

import pytest

from reward.features.lexicon import KINDS, Kind
from reward.items import Item
from rlopt.policy.checked_claims import MAX_BROKEN_SHARE, checked_claims

COLOURS = ("red", "blue", "green", "black", "white")
Pairs = list[tuple[Item, str]]


def shop(of_a_hundred: dict[str, int]) -> Pairs:
    """A hundred titles, so many of which end in a claim of a kind that their item does not state."""
    pairs = []
    for i in range(100):
        color, brand = COLOURS[i % 5], ("Acme", "Bolt")[i % 2]
        item = Item(f"{i}", {"color": (color,), "brand": (brand,), "size": (f"{i + 100} cm",)})
        said = {
            "number": f"{7000 + i}",
            "unit": f"{i + 100} kg",
            "brand": ("Bolt", "Acme")[i % 2],
            "value": COLOURS[(i + 1) % 5],
            "word": f"qu{'abcdefghij'[i // 10]}{'abcdefghij'[i % 10]}x",
        }
        wrong = [said[kind] for kind, number in of_a_hundred.items() if i < number]
        pairs.append((item, " ".join([color, "lamp by", brand, *wrong])))
    pairs.append((Item("kg", {"weight": ("3 kg",)}), "lamp"))
    return pairs


def held(pairs: Pairs, kinds: tuple[Kind, ...] | None = None) -> set[str]:
    lexicon = checked_claims(pairs, kinds)
    return set(lexicon.kinds) if lexicon else set()


def test_titles_that_keep_to_their_items_are_held_to_all_of_it() -> None:
    assert held(shop({})) == set(KINDS)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "promise"])
def test_a_kind_is_held_to_as_long_as_people_mostly_keep_to_it(kind: Kind) -> None:
    limit = round(100 * MAX_BROKEN_SHARE)
    assert held(shop({kind: limit})) == set(KINDS)
    assert held(shop({kind: limit + 2})) == set(KINDS) - {kind}


def test_a_kind_that_is_not_held_to_hides_no_other_one() -> None:
    lexicon = checked_claims(shop({"word": 90}))
    assert lexicon is not None
    item = Item("new", {"color": ("red",), "size": ("5 cm",)})
    assert lexicon.unstated_words(item, "red curious lamp 6 cm by Acme") == ("6", "Acme".lower())


@pytest.mark.parametrize("promise", ["free shipping", "买一送一"])
def test_a_promise_is_held_to_however_many_titles_make_it(promise: str) -> None:
    pairs = [(item, f"{title} {promise}") for item, title in shop({})]
    assert held(pairs) == set(KINDS)
    lexicon = checked_claims(pairs)
    assert lexicon is not None
    assert all(lexicon.unstated_words(item, title) == (promise,) for item, title in pairs)
    assert held(pairs, ("word",)) == {"word"}


def test_the_user_has_the_last_word() -> None:
    assert held(shop({"word": 90}), ("word", "number")) == {"word", "number"}
    assert checked_claims(shop({}), ()) is None
