"""Cleaning, words and widths of text, character by character."""

import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from reward.text import clean, display_width, words

INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}
ODD = st.sampled_from(" \t\n\u3000\xa0\u2028\u200b\u202e\ufeff\x00")


@given(st.text(st.one_of(st.characters(), ODD)))
def test_nothing_invisible_stays_and_white_space_is_one_blank(text: str) -> None:
    folded = re.sub(r"\s+", " ", text)
    assert clean(text) == "".join(c for c in folded if unicodedata.category(c) not in INVISIBLE).strip()


@given(st.text(st.one_of(st.characters(max_codepoint=127), st.sampled_from("aZ9'.,-_ "))))
def test_words_and_widths_of_plain_text_are_those_it_has_beside_a_chinese_character(text: str) -> None:
    assert [*words(text), "鞋"] == words(text + " 鞋")
    assert display_width(text) + 2 == display_width(text + "鞋")
