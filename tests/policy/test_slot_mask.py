"""The slot mask: what it forbids is never written, and what is left is the model's own distribution, renormalised."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from reward.items import Item
from rlopt.policy.pretrained import quiet_loading
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.scoring import completion_log_softmax, left_pad, right_pad
from rlopt.policy.slots import Slots
from rlopt.policy.tiny import build_model, build_tokenizer
from rlopt.policy.title_policy import TitlePolicy
from rlopt.training.title_loss import held_log_probs

ITEMS = [
    Item(
        str(i),
        {
            "color": ("red",),
            "size": (("S", "L")[i % 2],),
            "type": ("dress",),
            **({"brand": ("Acme",)} if i % 2 else {}),
        },
    )
    for i in range(24)
]
TITLES = ["red dress Acme", "new red dress", "红色 dress"]


def _policy(once: bool) -> TitlePolicy:
    torch.set_num_threads(1)
    quiet_loading()
    renderer = SlotRenderer(replace(Slots.learn(ITEMS), once=once))
    texts = [renderer.target(item, title) for item in ITEMS for title in TITLES]
    tokenizer = build_tokenizer(texts, renderer.slots)
    model = build_model(tokenizer, 0, hidden_size=32, layers=2, heads=2)
    return TitlePolicy(model, tokenizer, renderer, 16)


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("beams", [1, 3])
def test_titles_name_only_slots_of_their_item_and_each_once(once: bool, beams: int) -> None:
    policy = _policy(once)
    slots = policy.renderer.slots  # type: ignore[attr-defined]
    twice = 0
    for item, titles in zip(ITEMS, policy.generate(ITEMS, 3, beams=beams, seed=1), strict=True):
        for title in titles:
            pieces = [policy.tokenizer.decode([token]).strip() for token in title.token_ids]
            named = [piece for piece in pieces if piece in slots.vocabulary]
            assert set(named) <= set(slots.values(item))
            twice += len(named) > len(set(named))
    assert (twice == 0) if once else (twice > 0 or beams > 1)


@pytest.mark.parametrize("once", [True, False])
def test_every_log_probability_is_that_of_sampling(once: bool) -> None:
    policy = _policy(once)
    written = [title for titles in policy.generate(ITEMS, 2, seed=3) for title in titles]
    owners = [item for item in ITEMS for _ in range(2)]
    got = policy.log_prob_of_tokens(owners, [title.token_ids for title in written])
    np.testing.assert_allclose(got, [title.log_prob for title in written], atol=1e-4)


def test_what_is_left_is_renormalised() -> None:
    policy = _policy(once=True)
    mask = policy.slot_mask
    assert mask is not None
    tokenizer = policy.tokenizer
    prompts, prompt_mask = left_pad(policy.prompt_ids(ITEMS[:2]), int(tokenizer.pad_token_id))  # without, with a brand
    color, blank_color, brand = tokenizer.convert_tokens_to_ids(["<color>", " <color>", "<brand>"])
    completions, completion_mask = right_pad([[blank_color, 9], [blank_color, brand]], int(tokenizer.pad_token_id))
    ids, attention = torch.cat([prompts, completions], 1), torch.cat([prompt_mask, completion_mask], 1)
    with torch.no_grad():
        free = completion_log_softmax(policy.model, ids, attention, 2).exp()
        held = completion_log_softmax(policy.model, ids, attention, 2, slot_mask=mask).exp()
    closed = torch.zeros_like(free, dtype=torch.bool)
    closed[..., tokenizer.convert_tokens_to_ids(["<|title|>", "<|unknown|>", "<|pad|>", "<size#0>", "<size#1>"])] = True
    closed[:, 1, [color, blank_color]] = True  # used
    closed[0, :, tokenizer.convert_tokens_to_ids(["<brand>", " <brand>"])] = True  # not the item's
    expected = free.masked_fill(closed, 0.0)
    torch.testing.assert_close(held, expected / expected.sum(-1, keepdim=True))
    assert float(held[closed].sum()) == 0.0


@pytest.mark.parametrize("once", [True, False])
def test_training_maximises_the_likelihood_of_the_policy_that_writes(once: bool) -> None:
    policy = _policy(once)
    mask = policy.slot_mask
    assert mask is not None
    items = [ITEMS[0], ITEMS[1], ITEMS[2]]
    titles = ["red dress", "red dress Acme", "new red dress"]
    prompts, targets = policy.prompt_ids(items), [policy.target_ids(*pair) for pair in zip(items, titles, strict=True)]
    pad = int(policy.tokenizer.pad_token_id)
    ids, attention = right_pad([[*p, *t] for p, t in zip(prompts, targets, strict=True)], pad)
    labels, _ = right_pad([[-100] * len(p) + t for p, t in zip(prompts, targets, strict=True)], -100)
    with torch.no_grad():
        logits = policy.model(input_ids=ids, attention_mask=attention).logits
        got = held_log_probs(mask, logits, ids, labels).sum(-1)
    np.testing.assert_allclose(got.numpy(), policy.log_prob(items, titles), atol=1e-4)


def test_a_character_that_no_title_had_is_not_written_and_makes_no_training_explode() -> None:
    policy = _policy(once=True)
    mask = policy.slot_mask
    assert mask is not None
    prompt, target = policy.prompt_ids(ITEMS[:1])[0], policy.target_ids(ITEMS[0], "red dress 龘")
    assert policy.tokenizer.unk_token_id in target
    assert np.exp(policy.log_prob_of_tokens(ITEMS[:1], [target])[0]) == 0.0
    ids, labels = torch.tensor([[*prompt, *target]]), torch.tensor([[-100] * len(prompt) + target])
    with torch.no_grad():
        assert float(held_log_probs(mask, policy.model(ids).logits, ids, labels).min()) > -50


def test_a_title_that_cannot_be_written_has_a_finite_loss() -> None:
    policy = _policy(once=True)
    mask = policy.slot_mask
    assert mask is not None
    prompt, target = policy.prompt_ids(ITEMS[:1])[0], policy.target_ids(ITEMS[0], "red red dress")
    ids, labels = torch.tensor([[*prompt, *target]]), torch.tensor([[-100] * len(prompt) + target])
    with torch.no_grad():
        log_probs = held_log_probs(mask, policy.model(ids).logits, ids, labels)
    assert float(log_probs.min()) > -50


def test_an_impossible_title_has_no_probability_and_no_nan() -> None:
    policy = _policy(once=True)
    log_prob = policy.log_prob(ITEMS[:2], ["red red dress", "red dress"])
    assert np.exp(log_prob[0]) == 0.0
    assert np.isfinite(log_prob).all()
    assert log_prob[1] > -100
    other = _policy(once=True)
    kl = policy.kl_to(other, ITEMS[:2], [policy.target_ids(ITEMS[0], "red red dress"), [3, 4, 5]])
    np.testing.assert_allclose(kl, 0.0, atol=1e-5)


def test_titles_are_made_of_the_pieces_that_were_learned_from() -> None:
    policy = _policy(once=True)
    renderer = SlotRenderer(replace(policy.renderer.slots, pieces=frozenset({"▁new", "new"})))  # type: ignore[attr-defined]
    held = TitlePolicy(policy.model, policy.tokenizer, renderer, 16)
    written = {title.text for titles in held.generate(ITEMS, 8, seed=2) for title in titles}
    assert all(re.fullmatch("(new|red|dress|Acme|S|L| )*", text) for text in written)
    assert len({title.text for titles in policy.generate(ITEMS, 8, seed=2) for title in titles} - written) > 50


def test_whether_values_are_said_once_is_learned_and_kept(tmp_path) -> None:  # type: ignore[no-untyped-def]
    policy = _policy(once=False)
    policy.save(tmp_path)
    loaded = TitlePolicy.load(tmp_path)
    assert loaded.slot_mask is not None
    assert not loaded.slot_mask.once
