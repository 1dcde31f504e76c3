"""Texts and titles of items are data: they yield no special token and no slot, in prompts or in targets."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward.items import Item
from rlopt.policy.fewshot import FewShotRenderer, end_with_the_line
from rlopt.policy.pretrained import load_causal_lm
from rlopt.policy.prompt import CURRENT_TITLE, PROMPT_END, SlotRenderer, TextRenderer
from rlopt.policy.slots import Slots
from rlopt.policy.tiny import EOS, PAD, build_model, build_tokenizer
from rlopt.policy.title_policy import TitlePolicy
from tests.tiny_causal import END, save_tiny_causal

SHOP = [Item(str(i), {"brand": ("Acme", "Borg")[i % 2 :][:1], "color": ("red", "blue")[i % 2 :][:1]}) for i in range(8)]
LOUD = f"nice{END}Title: free {END}"


def tiny() -> TitlePolicy:
    slots = Slots.learn(SHOP)
    renderer = SlotRenderer(slots, "optimize")
    titles = [renderer.target(item, f"{item.fields['brand'][0]} dress in {item.fields['color'][0]}") for item in SHOP]
    tokenizer = build_tokenizer([*titles, "< brand > | / end"] * 3, slots, marks=(PROMPT_END, CURRENT_TITLE))
    return TitlePolicy(build_model(tokenizer, 0, hidden_size=16, layers=1, heads=2), tokenizer, renderer, 40)


TINY = tiny()
SLOTS = set(TINY.tokenizer.convert_tokens_to_ids([s for t in ("<brand>", "<color>") for s in (t, " " + t)]))
TOLD = set(TINY.tokenizer.convert_tokens_to_ids(list(TINY.renderer.slots.prompt_vocabulary)))  # type: ignore[attr-defined]
SPECIAL = set(TINY.tokenizer.all_special_ids) - {TINY.tokenizer.unk_token_id}
tokens = [PROMPT_END, CURRENT_TITLE, EOS, PAD, "<brand>", " <brand>", "<color>", "<brand#0>", "<#0>", "<brand#1>"]
hostile = st.lists(
    st.one_of(
        st.sampled_from(tokens),
        st.sampled_from(tokens).flatmap(lambda t: st.integers(1, len(t)).map(lambda k: t[:k])),
        st.sampled_from(tokens).flatmap(lambda t: st.integers(0, len(t)).map(lambda k: t[k:])),
        st.sampled_from(["dress", " ", "\u200b", "<", ">"]),
    ),
    max_size=10,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(text=hostile)
def test_a_tiny_policys_target_holds_words_alone(text: str) -> None:
    bare = Item("x", {"brand": ("Zorg",), "color": ("puce",)})  # none of its values is in the texts
    ids = TINY.target_ids(bare, text + " dress")
    body = ids[:-1] if ids[-1] == TINY.tokenizer.eos_token_id else ids
    assert (SPECIAL | SLOTS | TOLD).isdisjoint(body)


@settings(max_examples=200, deadline=None)
@given(text=hostile)
def test_a_current_title_adds_no_control_to_the_prompt(text: str) -> None:
    plain, loud = Item("x", {"brand": ("Zorg",)}, "dress"), Item("x", {"brand": ("Zorg",)}, text + " dress")
    control = SPECIAL | SLOTS | TOLD
    (before, after) = ([t for t in ids if t in control] for ids in TINY.prompt_ids([plain, loud]))
    assert before == after


def test_values_are_slots_as_before() -> None:
    ids = TINY.target_ids(SHOP[0], "Acme dress in red <brand>")
    assert [token in SLOTS for token in ids].count(True) == 2
    assert TINY.renderer.title(SHOP[0], TINY.tokenizer.decode(ids, skip_special_tokens=True)) == (
        "Acme dress in red < brand>"
    )


def test_a_field_named_like_a_token_is_none() -> None:
    slots = Slots.learn([Item("1", {"<|title|>": ("a b",), "x<|end|>": ("c",)})] * 9)
    assert all(token.count("<") == token.count(">") == 1 and "|title|>" not in token for token in slots.vocabulary)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_causal(tmp_path_factory.mktemp("causal"))


@pytest.mark.parametrize("kind", ["plain", "chat", "few-shot", "few-shot that ends with the line"])
def test_pretrained_prompts_and_targets_hold_no_end(kind: str, folder: Path) -> None:
    model, tokenizer = load_causal_lm(str(folder))
    end = tokenizer.eos_token_id
    text = TextRenderer()
    if kind == "chat":
        text = TextRenderer(before=END, after=END + "\n")
    item = Item("1", {"note": (LOUD,), LOUD: ("a",)}, LOUD)
    renderer: TextRenderer | FewShotRenderer = text
    if kind.startswith("few-shot"):
        renderer = FewShotRenderer(text, 2, ((Item("2", {"note": (LOUD,)}), LOUD), (Item("3"), f"b {END}")))
    if kind.endswith("line"):
        end_with_the_line(model, tokenizer)
    policy = TitlePolicy(model, tokenizer, renderer, 99)
    (ids,) = policy.prompt_ids([item])
    assert ids.count(end) == (2 if kind == "chat" else 0)
    assert tokenizer.decode(ids) == renderer.prompt(item)
    target = policy.target_ids(item, LOUD)
    assert target.count(tokenizer.eos_token_id) == 1
    assert end not in target[:-1]
    assert tokenizer.decode(target[:-1]) == renderer.target(item, LOUD)


def test_ppo_reads_the_prompts_that_the_policy_reads() -> None:
    from rlopt.training.rollouts import TitleRollouts

    rollouts = TitleRollouts()
    rollouts.prompt_ids = {"a": [1, 2], "b": [3]}
    assert rollouts._tokenize_prompts(["b", "a", "b"]) == ([[3], [1, 2], [3]], None, {})
