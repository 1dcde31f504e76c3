"""Promises in the rules: a violation of their own, refused while titles are written, and what facts change."""

from dataclasses import replace
from pathlib import Path

import pytest

from reward.features.facts import Facts
from reward.items import Item
from rlopt.config import RulesConfig
from rlopt.policy.checked_claims import checked_claims
from rlopt.policy.constraints import Constraints
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.rules_while_writing import RulesWhileWriting
from rlopt.policy.slots import Slots
from rlopt.policy.tiny import build_model, build_tokenizer
from rlopt.policy.title_policy import TitlePolicy

SHOP = [Item(str(i), {"color": (c,), "price": ("50" if i % 2 else "9",)}) for i, c in enumerate(("red", "blue") * 6)]
SHOP = [
    replace(item, fields={**item.fields, **({"shipping": ("free",)} if i < 3 else {})}) for i, item in enumerate(SHOP)
]
PAIRS = [(item, f"{item.fields['color'][0]} dress, Free Shipping") for item in SHOP]
RULES = Constraints.of(RulesConfig(), checked_claims(PAIRS))


def test_a_promise_is_a_rule_of_its_own() -> None:
    (found,) = RULES.check(SHOP[4], "red dress, Free Shipping")
    assert (found.kind, found.detail) == ("promise", "free shipping")
    assert RULES.check(SHOP[0], "red dress, Free Shipping") == []
    kinds = [violation.kind for violation in RULES.check(SHOP[4], "red dress 77, Free Shipping")]
    assert kinds == ["promise", "unsupported"]


@pytest.mark.parametrize(
    ("beginning", "kind"),
    [("red dress, Free", None), ("red dress, Free Shipping", "promise"), ("红裙 包", None), ("红裙 包邮", "promise")],
)
def test_it_is_broken_for_good_once_it_is_said(beginning: str, kind: str | None) -> None:
    assert RULES.broken_for_good(SHOP[4], beginning) == kind


def test_claims_that_are_not_checked_let_promises_pass() -> None:
    assert (
        Constraints.of(RulesConfig(), checked_claims(PAIRS, ("number",))).check(SHOP[4], "dress, Free Shipping") == []
    )
    assert Constraints.of(RulesConfig()).broken_for_good(SHOP[4], "dress, Free Shipping") is None


def test_facts_bear_promises_out_and_forbid_words(tmp_path: Path) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text(
        "facts: [{say: ships free, where: {price: '>= 35'}}]\nnever: [{say: dress, where: {color: blue}}]\n"
    )
    facts = Facts.read(path)
    rules = Constraints.of(RulesConfig(facts=str(path)), checked_claims(PAIRS, facts=facts), facts)
    assert rules.check(SHOP[5], "blue skirt, Free Shipping") == [] or rules.check(SHOP[5], "blue, Free Shipping") == []
    assert [v.kind for v in rules.check(SHOP[4], "red dress, Free Shipping")] == ["promise"]
    assert [(v.kind, v.detail) for v in rules.check(SHOP[5], "blue dress")] == [("banned", "dress")]
    assert rules.broken_for_good(SHOP[5], "blue dress") == "banned"
    assert rules.dishonest(SHOP[5], "blue dress")
    assert not rules.dishonest(SHOP[5], "blue, Free Shipping")


def test_facts_may_say_what_law_wants_proved(tmp_path: Path) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text("facts: [{say: award winning, where: {color: red}}]")
    facts = Facts.read(path)
    rules = Constraints.of(RulesConfig(), None, facts)
    assert rules.check(SHOP[0], "award winning dress") == []
    assert [v.kind for v in rules.check(SHOP[1], "award winning dress")] == ["superlative"]


def policy() -> TitlePolicy:
    slots = Slots.learn(SHOP)
    renderer = SlotRenderer(slots)
    texts = [renderer.target(item, title) for item, title in PAIRS]
    tokenizer = build_tokenizer([*texts, "Free Shipping dress"] * 3, slots)
    return TitlePolicy(build_model(tokenizer, 0, hidden_size=16, layers=1, heads=2), tokenizer, renderer, 24)


def test_the_token_that_completes_a_promise_is_refused() -> None:
    writer = policy()
    guard = RulesWhileWriting(RULES, writer.renderer, writer.tokenizer)
    ids = writer.tokenizer("<color> dress, Free Shipping", add_special_tokens=False)["input_ids"]
    bad, good = SHOP[4], SHOP[0]
    text = writer.renderer.title(bad, writer.tokenizer.decode(ids))
    ruling = guard.ruling(bad, ids, text)
    assert ruling is not None
    assert (ruling.kind, ruling.keep) == ("promise", None)
    assert guard.broken(bad, ids[: ruling.place]) is None
    assert guard.broken(bad, ids[: ruling.place + 1]) == "promise"
    assert guard.ruling(good, ids, writer.renderer.title(good, writer.tokenizer.decode(ids))) is None


def test_under_the_rules_no_title_promises_too_much() -> None:
    writer = policy()
    titles = writer.generate(SHOP, 40, constraints=RULES, seed=1)
    written = [(item, title.text) for item, several in zip(SHOP, titles, strict=True) for title in several]
    assert not any(RULES.lexicon is not None and RULES.lexicon.broken_promises(*pair) for pair in written)
