"""Ensembles: the averaged distribution is the members' mean, with and without a cache; rankings are by all members."""

from pathlib import Path

import numpy as np
import pytest
import torch

from reward.items import Item
from rlopt.errors import PolicyError
from rlopt.policy.ensemble import CANDIDATES, Ranked, ensemble
from rlopt.policy.prompt import SlotRenderer, TextRenderer
from rlopt.policy.slots import Slots
from rlopt.policy.tiny import build_model, build_tokenizer
from rlopt.policy.title_policy import TitlePolicy

ITEMS = [Item(str(i), {"color": (("red", "blue")[i % 2],), "type": ("dress",)}) for i in range(9)]
TITLES = [f"{item.fields['color'][0]} dress new" for item in ITEMS]
FOLDERS = ("one", "two", "three")


def member(seed: int, layers: int = 2, more: tuple[str, ...] = ()) -> TitlePolicy:
    """A policy with random weights, sharp enough that members disagree."""
    renderer = SlotRenderer(Slots.learn(ITEMS))
    texts = [renderer.target(i, t) for i, t in zip(ITEMS, TITLES, strict=True)]
    tokenizer = build_tokenizer([*texts, *more], renderer.slots)
    model = build_model(tokenizer, seed, hidden_size=32, layers=layers, heads=2)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(8)
    return TitlePolicy(model, tokenizer, renderer, 8)


@pytest.fixture(scope="module")
def members() -> list[TitlePolicy]:
    torch.set_num_threads(1)
    return [member(0), member(1), member(2, layers=3)]  # members of other depth share the cache too


@pytest.fixture(scope="module")
def mixture(members: list[TitlePolicy]) -> TitlePolicy:
    return ensemble(members, FOLDERS, "tokens")


def probabilities(policy: TitlePolicy, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return policy.model(torch.tensor([ids])).logits[0].softmax(-1)


def never_written(policy: TitlePolicy) -> list[int]:
    kinds = policy.renderer.slots.prompt_vocabulary
    return policy.tokenizer.convert_tokens_to_ids(["<|title|>", "<|unknown|>", "<|pad|>", *kinds])


def spellings(policy: TitlePolicy, token: int) -> list[int]:
    """The tokens that spell the same slot as ``token``; none where it is no slot."""
    slot = str(policy.tokenizer.convert_ids_to_tokens(token)).strip()
    known = slot in policy.renderer.slots.vocabulary
    return policy.tokenizer.convert_tokens_to_ids([slot, " " + slot]) if known else []


def test_next_token_probabilities_are_the_mean_of_the_members(members: list[TitlePolicy], mixture: TitlePolicy) -> None:
    ids = mixture.prompt_ids(ITEMS[:1])[0] + mixture.target_ids(ITEMS[0], TITLES[0])
    each = [probabilities(one, ids) for one in members]
    assert (each[0] - each[1]).abs().max() > 0.1
    torch.testing.assert_close(probabilities(mixture, ids), sum(each) / 3, atol=1e-6, rtol=1e-4)


def test_what_it_writes_has_the_probability_it_says(members: list[TitlePolicy], mixture: TitlePolicy) -> None:
    """Sampling goes through the cache, titles leave their batch at different times, and the sums by hand agree."""
    for item, titles in zip(ITEMS, mixture.generate(ITEMS, 4, seed=0), strict=True):
        prompt = mixture.prompt_ids([item])[0]
        for title in titles:
            each = [probabilities(one, [*prompt, *title.token_ids]) for one in members]
            by_hand, used = 0.0, never_written(mixture)
            for k, token in enumerate(title.token_ids):
                mean = sum(each)[len(prompt) - 1 + k] / 3
                mean[used] = 0.0  # a slot is written once
                by_hand += float((mean[token] / mean.sum()).log())
                used += spellings(mixture, token)
            assert title.log_prob == pytest.approx(by_hand, abs=1e-3)


def test_samples_follow_the_mean(members: list[TitlePolicy], mixture: TitlePolicy) -> None:
    n = 1000
    (titles,) = mixture.generate(ITEMS[:1], n, seed=0, batch_size=n)
    first = np.bincount([title.token_ids[0] for title in titles], minlength=len(mixture.tokenizer)) / n
    prompt = mixture.prompt_ids(ITEMS[:1])[0]
    expected = (sum(probabilities(one, prompt)[-1] for one in members) / 3).numpy()
    expected[never_written(mixture)] = 0.0
    expected /= expected.sum()
    assert (np.abs(first - expected) < 4.5 * np.sqrt(expected * (1 - expected) / n) + 1e-9).all()


def test_beams_of_a_mixture_of_one_are_the_members_own(members: list[TitlePolicy]) -> None:
    alone = ensemble(members[:1], FOLDERS[:1], "tokens").generate(ITEMS, 2, beams=3)
    assert [[t.text for t in titles] for titles in alone] == [
        [t.text for t in titles] for titles in members[0].generate(ITEMS, 2, beams=3)
    ]


def test_beams_are_likelier_than_samples(mixture: TitlePolicy) -> None:
    best = [titles[0].log_prob for titles in mixture.generate(ITEMS, 1, beams=4)]
    sampled = [np.mean([t.log_prob for t in titles]) for titles in mixture.generate(ITEMS, 8, seed=1)]
    assert np.mean(best) > np.mean(sampled)


def test_ranked_titles_are_the_candidates_that_all_find_likeliest(members: list[TitlePolicy]) -> None:
    ranked = ensemble(members, FOLDERS, "titles")
    assert isinstance(ranked, Ranked)
    kept = ranked.generate(ITEMS, 2, seed=3)
    candidates = members[0].generate(ITEMS, 2 * CANDIDATES, seed=3)
    for item, best, titles in zip(ITEMS, kept, candidates, strict=True):
        texts = sorted({title.text for title in titles})
        score = np.mean([one.log_prob([item] * len(texts), texts) for one in members], axis=0)
        found = [score[texts.index(title.text)] for title in best]
        np.testing.assert_allclose(found[: len(texts)], sorted(score, reverse=True)[:2], atol=1e-4)


def test_members_that_read_other_tokens_are_refused(members: list[TitlePolicy], tmp_path: Path) -> None:
    other = member(0, more=("vastly other words", "vastly other words"))
    with pytest.raises(PolicyError, match="two has other tokens than one"):
        ensemble([members[0], other], FOLDERS[:2], "tokens")
    text = TitlePolicy(members[1].model, members[1].tokenizer, TextRenderer(), 8)
    with pytest.raises(PolicyError, match="two has other prompts than one"):
        ensemble([members[0], text], FOLDERS[:2], "tokens")
    assert len(ensemble([members[0], other], FOLDERS[:2], "titles").generate(ITEMS, 1)) == len(ITEMS)
