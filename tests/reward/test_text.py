"""Cleaning of text, character by character."""

import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from reward.text import clean

INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}
ODD = st.sampled_from(" \t\n\u3000\xa0\u2028\u200b\u202e\ufeff\x00")


@given(st.text(st.one_of(st.characters(), ODD)))
def test_nothing_invisible_stays_and_white_space_is_one_blank(text: str) -> None:
    folded = re.sub(r"\s+", " ", text)
    assert clean(text) == "".join(c for c in folded if unicodedata.category(c) not in INVISIBLE).strip()
