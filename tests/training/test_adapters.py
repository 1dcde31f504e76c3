"""Adapters: they learn, resume exactly, end merged into a folder any library loads; wrong ones are refused."""

from pathlib import Path

import pytest
import torch
from test_ppo_learns import StopAt, train, weights
from transformers import AutoModelForCausalLM

from rlopt.errors import PolicyError
from rlopt.training.adapters import adapter_config

STEPS = 6


def config(kind: str) -> object:
    if kind == "loha":
        return adapter_config("full", 4, STEPS, {"peft_type": "LOHA", "r": 4, "target_modules": ["q_proj", "v_proj"]})
    return adapter_config(kind, 4, STEPS)


@pytest.mark.parametrize("kind", ["lora", "adalora", "loha"])
def test_an_interrupted_run_ends_with_the_same_weights_that_load_anywhere(
    sft_folder: Path, tmp_path: Path, kind: str
) -> None:
    changes = {"adapters": config(kind), "learning_rate": 1e-2}
    trained = train(sft_folder, tmp_path / "whole", STEPS, **changes)
    whole = weights(trained)
    with pytest.raises(KeyboardInterrupt):
        train(sft_folder, tmp_path / "broken", STEPS, (StopAt(5),), **changes | {"adapters": config(kind)})
    resumed = weights(train(sft_folder, tmp_path / "broken", STEPS, **changes | {"adapters": config(kind)}))
    for name in whole:
        torch.testing.assert_close(whole[name], resumed[name], atol=1e-6, rtol=1e-5)

    folder = tmp_path / "ppo"
    folder.mkdir()
    trained.save(folder)
    before = AutoModelForCausalLM.from_pretrained(sft_folder).state_dict()
    after = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    assert set(before) == set(after)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_adalora_spends_the_rank_asked_for(sft_folder: Path, tmp_path: Path) -> None:
    from peft import AdaLoraConfig

    with pytest.raises(PolicyError, match=r"needs 3 steps at least\. Got 2"):
        adapter_config("adalora", 4, 2)
    made = adapter_config("adalora", 4, 100)
    assert isinstance(made, AdaLoraConfig)
    assert (made.target_r, made.init_r, made.total_step) == (4, 6, 100)
    assert made.tinit < 100 - made.tfinal


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"peft_type": "NOPE"}, "not a configuration of peft"),
        ({"r": 4}, "peft_type"),
        ({"peft_type": "LORA", "rank": 4}, "rank"),
        ({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}, "cannot be merged"),
    ],
)
def test_what_peft_does_not_know_or_cannot_merge_is_refused(own: dict, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        adapter_config("full", 4, 10, own)
