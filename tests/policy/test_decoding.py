"""Decoding: the likeliest title is transformers' own, shrinking batches change nothing, rules hold while writing."""

import numpy as np
import pytest
import torch

from reward.features.phraselist import PhraseList
from reward.items import Item
from reward.text import display_width
from rlopt.errors import ConfigError, PolicyError
from rlopt.policy import decoding
from rlopt.policy.constraints import Constraints
from rlopt.policy.decoding import RowStream, _shared_tokens, sample
from rlopt.policy.drafts import Draft, DraftStream, uniform_numbers
from rlopt.policy.pretrained import quiet_loading
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.rules_while_writing import RulesWhileWriting
from rlopt.policy.scoring import completion_log_softmax, left_pad
from rlopt.policy.slots import Slots
from rlopt.policy.tiny import build_model, build_tokenizer
from rlopt.policy.title_policy import TitlePolicy

ITEMS = [
    Item(str(i), {"color": (("red", "blue", "深蓝色")[i % 3],), "type": ("dress",), "brand": ("Acme",) * (i % 2)})
    for i in range(24)
]
TITLES = [f"{item.fields['color'][0]} dress wonderful cheap love 包邮 best" for item in ITEMS]


@pytest.fixture(scope="module")
def policy() -> TitlePolicy:
    torch.set_num_threads(1)
    quiet_loading()
    renderer = SlotRenderer(Slots.learn(ITEMS))
    texts = [renderer.target(i, t) for i, t in zip(ITEMS, TITLES, strict=True)]
    tokenizer = build_tokenizer(texts, renderer.slots)
    return TitlePolicy(build_model(tokenizer, 0, hidden_size=32, layers=2, heads=2), tokenizer, renderer, 12)


def test_greedy_titles_are_those_of_transformers(policy: TitlePolicy) -> None:
    prompts = policy.prompt_ids(ITEMS)
    eos, pad = int(policy.tokenizer.eos_token_id), int(policy.tokenizer.pad_token_id)
    stream = RowStream(0, len(prompts))
    got = sample(policy.model, prompts, max_new_tokens=12, eos_id=eos, pad_id=pad, stream=stream, temperature=0.0)
    ids, mask = left_pad(prompts, pad)
    with torch.no_grad():
        reference = policy.model.generate(
            input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=12, eos_token_id=eos, pad_token_id=pad
        )
    for one, row in zip(got, reference[:, ids.shape[1] :].tolist(), strict=True):
        assert one.ids == row[: row.index(eos) + 1] if eos in row else row


def test_a_row_gets_the_same_numbers_whoever_computes_it() -> None:
    whole = RowStream(3, 6)
    parts = [RowStream(3, 6, first) for first in (0, 3)]
    steps = [(whole.next(torch.arange(6)), torch.cat([part.next(torch.arange(3)) for part in parts])) for _ in range(4)]
    assert all(torch.equal(one, both) for one, both in steps)
    assert len({float(x) for one, _ in steps for x in one}) == 24


def test_a_finished_row_takes_no_number_from_the_others() -> None:
    all_rows, some = RowStream(0, 4), RowStream(0, 4)
    all_rows.next(torch.arange(4)), some.next(torch.arange(4))
    torch.testing.assert_close(some.next(torch.tensor([1, 3])), all_rows.next(torch.arange(4))[[1, 3]])


def test_tokens_are_drawn_as_often_as_they_are_likely(policy: TitlePolicy) -> None:
    n = 4000
    prompt = policy.prompt_ids(ITEMS[:1])
    eos, pad = int(policy.tokenizer.eos_token_id), int(policy.tokenizer.pad_token_id)
    stream = RowStream(1, n)
    drawn = sample(policy.model, prompt * n, max_new_tokens=1, eos_id=eos, pad_id=pad, stream=stream, temperature=1.3)
    with torch.no_grad():
        p = (policy.model(torch.tensor(prompt)).logits[0, -1] / 1.3).softmax(-1).numpy()
    seen = np.bincount([title.ids[0] for title in drawn], minlength=len(p)) / n
    assert np.abs(seen - p).max() < 4.5 * np.sqrt(p.max() / n)
    np.testing.assert_allclose([np.exp(title.log_probs[0]) for title in drawn], p[[t.ids[0] for t in drawn]], rtol=1e-4)


def test_nothing_outside_the_nucleus_is_drawn(policy: TitlePolicy) -> None:
    prompt = policy.prompt_ids(ITEMS[:1])
    with torch.no_grad():
        ids = torch.tensor([[*prompt[0], 0]])
        p = completion_log_softmax(policy.model, ids, torch.ones_like(ids), 1, slot_mask=policy.slot_mask)
        p = p[0, 0].exp().numpy()
    order = np.argsort(-p)
    nucleus = set(order[: int(np.searchsorted(np.cumsum(p[order]), 0.3)) + 1].tolist())
    (titles,) = policy.generate(ITEMS[:1], 400, top_p=0.3, seed=0)
    assert {title.token_ids[0] for title in titles} == nucleus


RULES = Constraints(
    max_width=18,
    banned=PhraseList(("cheap", "(.*)+", "包邮", "acme")),
    superlatives=PhraseList(("best",)),
    max_repeats=1,
)


@pytest.mark.parametrize("beams", [1, 4])
def test_rules_hold_while_a_title_is_written(policy: TitlePolicy, beams: int) -> None:
    free = [t for titles in policy.generate(ITEMS, 4, seed=1, beams=beams) for t in titles]
    held = [t for titles in policy.generate(ITEMS, 4, seed=1, beams=beams, constraints=RULES) for t in titles]
    owners = [item for item in ITEMS for _ in range(4)]
    assert any(RULES.check(item, title.text) for item, title in zip(owners, free, strict=True))
    for item, title in zip(owners, held, strict=True):
        assert RULES.check(item, title.text) == [] or not title.finished, title.text
        assert display_width(title.text) <= 18
        assert title.text


@pytest.mark.parametrize("max_chars", [10, 14, 18])
def test_a_title_that_is_long_enough_ends_with_a_whole_word(policy: TitlePolicy, max_chars: int) -> None:
    tokens = policy.target_ids(ITEMS[0], "red dress wonderfull love")
    rules = RulesWhileWriting(Constraints(max_chars=max_chars), policy.renderer, policy.tokenizer)
    ruling = rules.ruling(ITEMS[0], tokens, "red dress wonderfull love")
    assert ruling is not None
    text = policy.renderer.title(ITEMS[0], str(policy.tokenizer.decode(tokens[: ruling.keep])))
    assert (ruling.kind, text) == ("too_long", "red dress")


def test_no_title_is_longer_than_allowed(policy: TitlePolicy) -> None:
    held = [t for titles in policy.generate(ITEMS, 8, seed=2, constraints=Constraints(max_chars=9)) for t in titles]
    assert any("too_long" in title.stopped_by for title in held)
    assert all(len(title.text) <= 9 for title in held)


def test_the_log_prob_of_a_held_title_is_the_policys_own(policy: TitlePolicy) -> None:
    held = [t for titles in policy.generate(ITEMS, 4, seed=3, constraints=RULES, temperature=0.7) for t in titles]
    owners = [item for item in ITEMS for _ in range(4)]
    again = policy.log_prob_of_tokens(owners, [title.token_ids for title in held], temperature=0.7)
    np.testing.assert_allclose([title.log_prob for title in held], again, atol=1e-4)
    assert any(title.stopped_by for title in held)


def test_the_best_beam_is_at_least_as_likely_as_the_greedy_title(policy: TitlePolicy) -> None:
    beam = [titles[0].log_prob / len(titles[0].token_ids) for titles in policy.generate(ITEMS, 1, beams=6)]
    greedy = [titles[0].log_prob / len(titles[0].token_ids) for titles in policy.generate(ITEMS, 1, temperature=0.0)]
    assert np.mean(beam) >= np.mean(greedy) - 1e-6


def test_more_titles_than_beams_are_refused(policy: TitlePolicy) -> None:
    with pytest.raises(PolicyError, match="at most 2 titles per item"):
        policy.generate(ITEMS, 3, beams=2)
    with pytest.raises(ConfigError, match=r"temprature is not a setting \(did you mean 'temperature'\?\)"):
        policy.generate(ITEMS, temprature=0.5)
    with pytest.raises(ConfigError, match=r"top_p must be less than or equal to 1\. Got 2"):
        policy.generate(ITEMS, top_p=2)


def test_a_title_does_not_depend_on_the_titles_beside_it(policy: TitlePolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "CALL_TOKENS", 0)  # what prompts have in common is read apart wherever it can
    prompts = policy.prompt_ids(ITEMS) * 2
    eos, pad = int(policy.tokenizer.eos_token_id), int(policy.tokenizer.pad_token_id)
    numbers = uniform_numbers(len(prompts), 12, seed=4)

    def written(rows: list[int]) -> list[tuple[list[int], list[float]]]:
        stream = DraftStream([Draft(0, prompts[row], numbers[row]) for row in rows], policy.model.device)
        part = [prompts[row] for row in rows]
        done = sample(policy.model, part, max_new_tokens=12, eos_id=eos, pad_id=pad, stream=stream)
        return [(one.ids, one.log_probs) for one in done]

    together = written(list(range(len(prompts))))
    alone = [written([row])[0] for row in range(len(prompts))]
    assert [ids for ids, _ in together] == [ids for ids, _ in alone]
    for (_, one), (_, other) in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert len({len(ids) for ids, _ in together}) > 3


def test_prompts_are_read_apart_where_that_is_less_work() -> None:
    alike = [(1, 2, 3, 4, 5, 6, 7, 8, i) for i in range(100)]
    assert _shared_tokens(alike) == 8
    assert _shared_tokens(alike[:2]) == 0  # one more call costs more
    assert _shared_tokens([(i, *row) for i, row in enumerate(alike)]) == 0
    assert _shared_tokens([*alike, (1, 2, 3)]) == 2  # no prompt is used up


def test_a_refused_token_leaves_the_others_as_likely_as_they_were(policy: TitlePolicy) -> None:
    n, item = 4000, ITEMS[0]
    prompt = torch.tensor([[*policy.prompt_ids([item])[0], 0]])
    with torch.no_grad():
        logs = completion_log_softmax(policy.model, prompt, torch.ones_like(prompt), 1, slot_mask=policy.slot_mask)
    p = logs[0, 0].exp().numpy()
    alone = [policy.renderer.title(item, str(policy.tokenizer.decode([token]))) for token in range(len(p))]
    words = [text.casefold() for text in alone if text.isalpha() and len(text) > 2]
    constraints = Constraints(banned=PhraseList(tuple(dict.fromkeys(words))[:8]), max_repeats=99)
    rules = RulesWhileWriting(constraints, policy.renderer, policy.tokenizer)
    refused = [bool(rules.broken(item, [token])) for token in range(len(p))]
    expected = np.where(refused, 0.0, p) / p[~np.array(refused)].sum()
    one_token = TitlePolicy(policy.model, policy.tokenizer, policy.renderer, 1)
    (titles,) = one_token.generate([item], n, constraints=constraints, seed=2)
    seen = np.bincount([title.token_ids[0] for title in titles], minlength=len(p)) / n
    assert sum(refused) > 4
    assert np.abs(seen - expected).max() < 4.5 * np.sqrt(expected.max() / n)


def test_a_phrase_inside_a_longer_word_is_no_violation(policy: TitlePolicy) -> None:
    ids = policy.target_ids(ITEMS[0], "red dress wonderful")
    rules = RulesWhileWriting(Constraints(banned=PhraseList(("wonder", "dress w"))), policy.renderer, policy.tokenizer)
    assert rules.ruling(ITEMS[0], ids, "red dress wonderful") is None
