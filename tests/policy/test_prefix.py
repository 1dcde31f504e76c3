"""A learned prefix: the policy reads it as peft does, with padding, a cache and beams; its folder can be moved."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel, PrefixTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from reward.items import Item
from rlopt.errors import PolicyError
from rlopt.policy.prefix import Prefix
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.slots import Slots
from rlopt.policy.tiny import build_tokenizer
from rlopt.policy.title_policy import TitlePolicy

ITEMS = [Item(str(i), {"color": (("red", "blue")[i % 2],), "type": ("lamp",) * (i % 3)}) for i in range(9)]
TITLES = [f"{item.fields['color'][0]} lamp number {item.item_id}" for item in ITEMS]


@pytest.fixture
def policy() -> TitlePolicy:
    """Random weights, four heads that share two keys, and a random prefix of five virtual tokens."""
    renderer = SlotRenderer(Slots.learn(ITEMS))
    tokenizer = build_tokenizer(
        [renderer.target(item, t) for item, t in zip(ITEMS, TITLES, strict=True)], renderer.slots
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, initializer_range=0.3,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
        )
    ).eval()  # fmt: skip
    adapted = get_peft_model(model, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5))
    prefix = Prefix(adapted.get_prompt_embedding_to_save("default"), adapted.active_peft_config)
    return TitlePolicy(model, tokenizer, renderer, 10, prefix)


def saved(policy: TitlePolicy, folder: Path) -> Path:
    folder.mkdir()
    policy.save(folder)
    return folder


def by_peft(folder: Path, policy: TitlePolicy, item: Item, title: str) -> float:
    """Log-probability of the title by peft's own model, one row without padding."""
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder / "base"), folder).eval()
    prompt, target = policy.prompt_ids([item])[0], policy.target_ids(item, title)
    ids = torch.tensor([prompt + target])
    with torch.no_grad():
        logs = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].log_softmax(-1)
    return sum(float(logs[len(prompt) - 1 + k, token]) for k, token in enumerate(target))


def test_log_probs_are_pefts_whatever_the_padding(policy: TitlePolicy, tmp_path: Path) -> None:
    folder = saved(policy, tmp_path / "sft")
    policy.slot_mask = None  # peft knows none
    expected = [by_peft(folder, policy, item, title) for item, title in zip(ITEMS, TITLES, strict=True)]
    np.testing.assert_allclose(policy.log_prob(ITEMS, TITLES), expected, atol=1e-4)


def test_sampled_and_beam_titles_are_the_policys_own(policy: TitlePolicy) -> None:
    for written in (policy.generate(ITEMS, 1, seed=3), policy.generate(ITEMS, 1, beams=3)):
        ids = [titles[0].token_ids for titles in written]
        again = policy.log_prob_of_tokens(ITEMS, ids)
        np.testing.assert_allclose([titles[0].log_prob for titles in written], again, atol=1e-4)
    greedy = policy.generate(ITEMS, 1, temperature=0.0)
    alone = [policy.generate([item], 1, temperature=0.0)[0] for item in ITEMS]
    assert [g[0].token_ids for g in greedy] == [a[0].token_ids for a in alone]


def test_a_moved_folder_writes_the_same_titles(policy: TitlePolicy, tmp_path: Path) -> None:
    shutil.move(saved(policy, tmp_path / "sft"), tmp_path / "elsewhere")
    again = TitlePolicy.load(tmp_path / "elsewhere").generate(ITEMS, 2, seed=1)
    expected = policy.generate(ITEMS, 2, seed=1)
    assert [[t.token_ids for t in titles] for titles in again] == [[t.token_ids for t in titles] for titles in expected]


def test_the_folder_never_passes_for_the_plain_model(policy: TitlePolicy, tmp_path: Path) -> None:
    folder = saved(policy, tmp_path / "sft")
    assert not (folder / "config.json").exists()
    with pytest.raises((OSError, ValueError)):
        AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("damage", ["weights", "other", "base"])
def test_a_damaged_folder_is_one_clear_error(policy: TitlePolicy, tmp_path: Path, damage: str) -> None:
    folder = saved(policy, tmp_path / "sft")
    if damage == "weights":
        (folder / "adapter_model.safetensors").write_bytes(b"x")
    elif damage == "other":
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2}))
    else:
        shutil.rmtree(folder / "base")
    with pytest.raises(PolicyError) as error:
        TitlePolicy.load(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
