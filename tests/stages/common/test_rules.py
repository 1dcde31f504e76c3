"""The rules of a run: what its items' fields can bear out, whoever writes."""

from dataclasses import replace

import numpy as np
import pytest

from reward.items import Item
from rlopt.config import RulesConfig
from rlopt.policy.constraints import kinds
from rlopt.stages.common.rules import constraints_for
from tests.stages.menu import make_arms

ITEM = Item("new", {"colour": ("red",), "kind": ("shirt", "i0001")})


def test_titles_are_held_to_what_logged_ones_keep_to(capsys: pytest.CaptureFixture[str]) -> None:
    rules = constraints_for(make_arms(30), RulesConfig())
    assert rules.check(ITEM, "new red shirt i0001") == []
    for title in ("new red shirt 77", "new blue shirt", "new red shirt magnificent"):
        assert kinds(rules.check(ITEM, title)) == ["unsupported"]
    assert "Not checked" not in capsys.readouterr().err


def test_free_words_of_people_are_allowed_and_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    arms = make_arms(30)
    letters = "abcdefghijklmnopqrstuvwxyz"
    free = [f"{title} q{letters[k % 26]}{letters[k // 26]}z" for k, title in enumerate(arms.title)]
    rules = constraints_for(replace(arms, title=np.array(free, dtype=object)), RulesConfig())
    assert rules.check(ITEM, "new red shirt magnificent") == []
    assert kinds(rules.check(ITEM, "new blue shirt 77")) == ["unsupported"]
    assert capsys.readouterr().err.rstrip().endswith("word")


def test_the_preset_has_the_last_word() -> None:
    arms = make_arms(30)
    assert constraints_for(arms, RulesConfig(support=())).check(ITEM, "new blue shirt 77") == []
    only = constraints_for(arms, RulesConfig(support=("number",)))
    assert only.check(ITEM, "new blue shirt") == []
    assert kinds(only.check(ITEM, "red shirt 77")) == ["unsupported"]
