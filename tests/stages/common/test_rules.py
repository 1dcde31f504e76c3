"""The rules of a run: what its items' fields can bear out, whoever writes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reward.features.facts import FactsError
from reward.items import Item
from rlopt.config import RulesConfig
from rlopt.policy.constraints import kinds
from rlopt.stages.common.rules import constraints_for, rules_inputs
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


def test_promises_need_more_than_titles_that_make_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms = make_arms(30)
    loud = replace(arms, title=np.array([f"{title} free shipping" for title in arms.title], dtype=object))
    assert kinds(constraints_for(loud, RulesConfig()).check(ITEM, "new red shirt free shipping")) == ["promise"]
    assert constraints_for(loud, RulesConfig(promises=())).check(ITEM, "new red shirt free shipping") == []
    own = constraints_for(loud, RulesConfig(promises=("new red",)))
    assert [v.detail for v in own.check(ITEM, "new red shirt free shipping")] == ["new red"]
    facts = tmp_path / "facts.yaml"
    facts.write_text("facts: [{say: ships free, where: {colour: red, weight: '> 3'}}, {say: free delivery}]")
    rules = RulesConfig(facts=str(facts))
    assert constraints_for(loud, rules).check(ITEM, "new red shirt free shipping") == []
    assert "names fields that no train item has" in capsys.readouterr().err
    assert rules.files() == [str(facts)]


def test_what_a_training_stands_on_follows_the_facts(tmp_path: Path) -> None:
    facts = tmp_path / "facts.yaml"
    found = []
    for text in ("never: [a]", "never: [b]"):
        facts.write_text(text)
        found.append(rules_inputs(RulesConfig(facts=str(facts))))
    assert found[0] != found[1]
    assert rules_inputs(RulesConfig()) == {}


def test_a_missing_facts_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(FactsError, match="Cannot read the facts file"):
        constraints_for(make_arms(30), RulesConfig(facts=str(tmp_path / "none.yaml")))
