"""TitlePolicy: probabilities that add up, sampling that is what it says, folders that load anywhere."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from reward.items import Item
from rlopt.errors import PolicyError
from rlopt.policy.pretrained import load_causal_lm, quiet_loading
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.scoring import left_pad, right_pad, score_tokens
from rlopt.policy.slots import Slots
from rlopt.policy.tiny import build_model, build_tokenizer
from rlopt.policy.title_policy import TitlePolicy

ITEMS = [
    Item(str(i), {"color": (("red", "blue")[i % 2],), "type": ("dress",), **({"brand": ("Acme",)} if i % 3 else {})})
    for i in range(12)
]
SLOTS = {"<color>", "<type>", "<brand>"}
TITLES = [f"{item.fields['color'][0]} dress new" for item in ITEMS]


@pytest.fixture(scope="module")
def policy() -> TitlePolicy:
    torch.set_num_threads(1)
    quiet_loading()
    renderer = SlotRenderer(Slots.learn(ITEMS))
    texts = [renderer.target(i, t) for i, t in zip(ITEMS, TITLES, strict=True)]
    tokenizer = build_tokenizer(texts, renderer.slots)
    return TitlePolicy(build_model(tokenizer, 0, hidden_size=32, layers=2, heads=2), tokenizer, renderer, 8)


def _next_log_probs(policy: TitlePolicy, item: Item, written: list[int]) -> np.ndarray:
    """The plain model's next-token distribution without what only prompts hold, and without the slots that the item
    lacks or ``written`` has used."""
    prompt = policy.prompt_ids([item])[0]
    with torch.no_grad():
        logits = policy.model(torch.tensor([prompt + written])).logits[0, -1].double().numpy()
    names = [policy.tokenizer.decode([token]).strip() for token in range(len(logits))]
    used = {names[token] for token in written}
    has = {f"<{field}>" for field in item.fields}
    never = {"<|title|>", "<|unknown|>", "<|pad|>", *policy.renderer.slots.prompt_vocabulary}  # type: ignore[attr-defined]
    closed = [name in never or (name in SLOTS and (name in used or name not in has)) for name in names]
    weights = np.where(closed, 0.0, np.exp(logits - logits.max()))
    with np.errstate(divide="ignore"):
        return np.log(weights / weights.sum())


def test_log_prob_is_the_sum_over_tokens_of_the_plain_model(policy: TitlePolicy) -> None:
    got = policy.log_prob(ITEMS, TITLES)
    for item, title, value in zip(ITEMS, TITLES, got, strict=True):
        target = policy.target_ids(item, title)
        expected = sum(_next_log_probs(policy, item, target[:k])[token] for k, token in enumerate(target))
        assert value == pytest.approx(expected, abs=1e-4)


def test_padding_changes_no_log_prob(policy: TitlePolicy) -> None:
    together = policy.log_prob(ITEMS, TITLES)
    alone = [float(policy.log_prob([item], [title])[0]) for item, title in zip(ITEMS, TITLES, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_generated_log_prob_is_the_policys_own(policy: TitlePolicy) -> None:
    written = [titles[0] for titles in policy.generate(ITEMS, 1, seed=3)]
    again = policy.log_prob_of_tokens(ITEMS, [title.token_ids for title in written])
    np.testing.assert_allclose([title.log_prob for title in written], again, atol=1e-4)


def test_samples_follow_the_distribution(policy: TitlePolicy) -> None:
    n = 2000
    (titles,) = policy.generate(ITEMS[:1], n, seed=0, batch_size=500)
    first = np.bincount([title.token_ids[0] for title in titles], minlength=len(policy.tokenizer)) / n
    expected = np.exp(_next_log_probs(policy, ITEMS[0], []))
    standard_error = np.sqrt(expected * (1 - expected) / n)
    assert (np.abs(first - expected) < 4.5 * standard_error + 1e-9).all()


def test_same_seed_same_titles_and_the_callers_random_state_is_left_alone(policy: TitlePolicy) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = policy.generate(ITEMS, 2, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert first == policy.generate(ITEMS, 2, seed=1)
    assert first != policy.generate(ITEMS, 2, seed=2)


def test_temperature_zero_takes_the_likeliest_token(policy: TitlePolicy) -> None:
    (a,), (b,) = (policy.generate(ITEMS[:1], 1, temperature=0.0, seed=seed)[0] for seed in (1, 2))
    assert a == b
    assert a.token_ids[0] == int(_next_log_probs(policy, ITEMS[0], []).argmax())


def test_titles_come_in_the_items_order(policy: TitlePolicy) -> None:
    written = policy.generate(ITEMS, 3, seed=0, batch_size=5)
    assert [len(titles) for titles in written] == [3] * len(ITEMS)
    assert policy.generate([], 3) == []


def test_kl_is_zero_to_itself_and_the_mean_log_ratio_otherwise(policy: TitlePolicy) -> None:
    other = TitlePolicy(
        build_model(policy.tokenizer, 1, hidden_size=32, layers=2, heads=2), policy.tokenizer, policy.renderer, 8
    )
    items = ITEMS[:1] * 1500
    ids = [titles[0].token_ids for titles in policy.generate(items, 1, seed=0)]
    assert policy.kl_to(policy, items[:20], ids[:20]).max() == pytest.approx(0.0, abs=1e-5)
    exact = policy.kl_to(other, items, ids)
    ratio = policy.log_prob_of_tokens(items, ids) - other.log_prob_of_tokens(items, ids)
    assert (exact >= 0).all()
    assert exact.mean() == pytest.approx(ratio.mean(), abs=4.5 * ratio.std() / np.sqrt(len(ratio)))
    assert exact.std() < ratio.std()


def test_saved_policy_writes_the_same_titles(policy: TitlePolicy, tmp_path: Path) -> None:
    policy.save(tmp_path)
    assert TitlePolicy.load(tmp_path).generate(ITEMS, 2, seed=1) == policy.generate(ITEMS, 2, seed=1)


@pytest.mark.parametrize("damage", ["policy.json", "config.json", "model.safetensors", "renderer", "truncated"])
def test_a_damaged_folder_is_one_clear_error(policy: TitlePolicy, tmp_path: Path, damage: str) -> None:
    policy.save(tmp_path)
    if damage == "renderer":
        (tmp_path / "policy.json").write_text(json.dumps({"renderer": {"kind": "poem"}, "max_title_tokens": 8}))
    elif damage == "truncated":
        (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:1000])
    else:
        (tmp_path / damage).unlink()
    with pytest.raises(PolicyError) as error:
        TitlePolicy.load(tmp_path)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_an_unknown_model_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PolicyError, match="no/such-model"):
        load_causal_lm("no/such-model")


@pytest.mark.parametrize("title", ["red dress new", "dress", "Acme red dress", "new, new | dress!"])
def test_tokens_spell_the_title(policy: TitlePolicy, title: str) -> None:
    ids = policy.target_ids(ITEMS[2], title)
    text = str(policy.tokenizer.decode(ids, skip_special_tokens=True))
    if policy.tokenizer.unk_token_id not in ids:
        assert policy.renderer.title(ITEMS[2], text) == title


def test_chinese_titles_round_trip_through_the_tokenizer() -> None:
    items = [Item(str(i), {"品牌": ("耐克",), "颜色": (("红色", "蓝色")[i % 2],)}) for i in range(10)]
    renderer = SlotRenderer(Slots.learn(items))
    title = "耐克新款红色跑鞋 100%正品"
    tokenizer = build_tokenizer([renderer.target(items[0], title)] * 3, renderer.slots)
    ids = tokenizer(renderer.target(items[0], title)).input_ids
    assert renderer.title(items[0], str(tokenizer.decode(ids, skip_special_tokens=True))) == title


def test_same_seed_builds_the_same_model(policy: TitlePolicy) -> None:
    first, second = (build_model(policy.tokenizer, 3, hidden_size=32, layers=1, heads=2) for _ in range(2))
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_padding_sides() -> None:
    ids, mask = left_pad([[1], [2, 3]], 0)
    assert ids.tolist() == [[0, 1], [2, 3]]
    assert mask.tolist() == [[0, 1], [1, 1]]
    ids, mask = right_pad([[1], [2, 3]], 0)
    assert ids.tolist() == [[1, 0], [2, 3]]
    assert mask.tolist() == [[1, 0], [1, 1]]


def test_temperature_divides_the_logits(policy: TitlePolicy) -> None:
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        logits = policy.model(ids).logits[0, 1:3]
        got = score_tokens(policy.model, ids, torch.ones_like(ids), 2, temperature=2.0).log_probs[0]
    expected = (logits / 2).log_softmax(-1)[[0, 1], [7, 8]]
    torch.testing.assert_close(got, expected)
