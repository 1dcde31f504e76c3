"""Supervised training: the loss falls on titles alone, interruption changes nothing, LoRA is merged."""

from pathlib import Path

import pytest
import torch
from toy import ITEMS, PAIRS, fresh_policy
from transformers import TrainerCallback

from rlopt.policy.title_policy import TitlePolicy
from rlopt.training.adapters import adapter_config
from rlopt.training.arguments import TrainSettings
from rlopt.training.sft import fine_tune, tokenised

LOGGED = {title for _, title in PAIRS}


class StopAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def test_it_learns_to_write_the_logged_titles(sft_folder: Path) -> None:
    policy = TitlePolicy.load(sft_folder)
    written = [(item, titles[0]) for item, titles in zip(ITEMS, policy.generate(ITEMS, 1, seed=0), strict=True)]
    good = sum((item, title.text) in PAIRS for item, title in written)
    assert good >= 0.8 * len(written)
    assert all(title.finished for _, title in written)


def test_labels_are_the_title_alone() -> None:
    policy = fresh_policy()
    row = tokenised(policy, PAIRS[:1])[0]
    prompt = policy.prompt_ids([PAIRS[0][0]])[0]
    assert row["labels"][: len(prompt)] == [-100] * len(prompt)
    assert row["labels"][len(prompt) :] == row["input_ids"][len(prompt) :]
    assert row["input_ids"][-1] == policy.tokenizer.eos_token_id


def settings(**changes: object) -> TrainSettings:
    values: dict[str, object] = {
        "steps": 6,
        "batch_size": 16,
        "micro_batch_size": 16,
        "learning_rate": 1e-2,
        "save_every": 2,
        "seed": 0,
    }
    return TrainSettings(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["none", "lora"])
def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path, kind: str) -> None:
    chosen = settings(adapters=adapter_config(kind, 4, 6))
    whole = fine_tune(fresh_policy(), PAIRS, chosen, tmp_path / "whole").model.state_dict()
    with pytest.raises(KeyboardInterrupt):
        fine_tune(fresh_policy(), PAIRS, chosen, tmp_path / "broken", [StopAt(5)])
    resumed = fine_tune(fresh_policy(), PAIRS, chosen, tmp_path / "broken").model.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_small_micro_batches_give_the_same_training(tmp_path: Path) -> None:
    large = fine_tune(fresh_policy(), PAIRS, settings(), tmp_path / "large").model.state_dict()
    small = fine_tune(fresh_policy(), PAIRS, settings(micro_batch_size=4), tmp_path / "small").model.state_dict()
    for name in large:
        torch.testing.assert_close(large[name], small[name], atol=5e-3, rtol=1e-2)
