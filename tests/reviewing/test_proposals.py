"""Word by word, and most worth reading first."""

import pytest

from rlopt.worddiff import diff
from tests.reviewing.shop import proposal


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (
            "Red cotton shirt",
            "Red silk shirt",
            [("same", "Red "), ("old", "cotton"), ("new", "silk"), ("same", " shirt")],
        ),
        ("Red shirt, sale", "Red shirt", [("same", "Red shirt"), ("old", ", sale")]),
        ("红色棉质连衣裙", "红色真丝连衣裙", [("same", "红色"), ("old", "棉质"), ("new", "真丝"), ("same", "连衣裙")]),
        ("", "USB-C 红", [("new", "USB-C 红")]),
        ("a b c", "x y z", [("old", "a b c"), ("new", "x y z")]),
    ],
)
def test_a_difference_is_told_in_whole_words_and_chinese_characters(
    old: str, new: str, found: list[tuple[str, str]]
) -> None:
    assert diff(old, new) == found


@pytest.mark.parametrize(("old", "new"), [("été — naïve!", "l'été, naïve?"), ("a  b", "a b"), ("क्षि 🧵🧶", "🧵 क्षि")])
def test_the_pieces_add_up_to_both_titles(old: str, new: str) -> None:
    pieces = diff(old, new)
    assert "".join(text for kind, text in pieces if kind != "old") == new
    assert "".join(text for kind, text in pieces if kind == "old")


def test_doubt_is_the_chance_that_something_is_wrong() -> None:
    sure = proposal(1, chance=0.9, support=1.0, relevance=0.5, fluency=None)
    assert sure.doubt == pytest.approx(1 - 0.9 * 0.5)
    assert proposal(1, kept=True).doubt == 0.0
    assert proposal(1, report="relevance: 0.03, below 0.21").doubt == 1.0
    assert proposal(1, title=None).doubt == 1.0
