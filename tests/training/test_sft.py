"""Supervised training: the loss falls on titles alone, interruption changes nothing, LoRA is merged."""

from pathlib import Path

import numpy as np
import pytest
import torch
from toy import ITEMS, PAIRS, fresh_policy
from transformers import TrainerCallback

from rlopt.config import SftConfig
from rlopt.policy.title_policy import TitlePolicy
from rlopt.training.adapters import adapter_config
from rlopt.training.arguments import TrainSettings
from rlopt.training.freezing import freeze, set_dropout
from rlopt.training.sft import fine_tune, tokenised

LOGGED = {title for _, title in PAIRS}


class Log(TrainerCallback):
    def __init__(self) -> None:
        self.rows: list[dict] = []

    def on_log(self, args, state, control, logs=None, **_):
        self.rows.append(dict(logs))


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
        "adapters": None,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": (),
    }
    return TrainSettings(**{**values, **changes})  # type: ignore[arg-type]


def weights(policy: TitlePolicy) -> dict[str, torch.Tensor]:
    """All that was learned; a prefix is beside the model."""
    prefix = {} if policy.prefix is None else {"prefix": policy.prefix.embeddings}
    return {**policy.model.state_dict(), **prefix}


@pytest.mark.parametrize("learn", ["full", "head", "lora", "adalora", "prefix"])
def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path, learn: str) -> None:
    def run(folder: str, callbacks: tuple[TrainerCallback, ...] = ()) -> dict[str, torch.Tensor]:
        policy = fresh_policy()
        freeze(policy.model, learn, 1)
        set_dropout(policy.model, 0.1)
        chosen = settings(adapters=adapter_config(learn, 4, 6, dropout=0.1, prefix_length=6))
        recipe = SftConfig(early_stopping=2, optimizer="sgd" if learn == "head" else "adamw", schedule="constant")
        counts = np.linspace(0.5, 1.5, len(PAIRS) - 9)
        return weights(
            fine_tune(
                policy, PAIRS[9:], chosen, tmp_path / folder, callbacks,
                recipe=recipe, held_out=PAIRS[:9], weights=counts if learn == "lora" else None,
            )
        )  # fmt: skip

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("broken", (StopAt(5),))
    resumed = run("broken")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_best_checkpoint_is_kept_and_training_stops_after_it(tmp_path: Path) -> None:
    policy, log = fresh_policy(), Log()
    chosen = settings(steps=60, learning_rate=0.05, save_every=5)
    # what is held out contradicts what is learned: sooner or later its loss rises
    held_out = [(item, f"Acme {item.fields['color'][0]}") for item in ITEMS[:12]]
    recipe = SftConfig(early_stopping=2, schedule="constant")
    trained = fine_tune(policy, PAIRS, chosen, tmp_path, [log], recipe=recipe, held_out=held_out)
    losses = [row["eval_loss"] for row in log.rows if "eval_loss" in row]
    assert len(losses) == losses.index(min(losses)) + 3 < 12
    tokens = [len(trained.target_ids(*pair)) for pair in held_out]
    kept = -trained.log_prob([item for item, _ in held_out], [title for _, title in held_out]).sum() / sum(tokens)
    assert kept == pytest.approx(min(losses), rel=1e-3)


def test_a_weight_of_two_is_the_title_twice(tmp_path: Path) -> None:
    """One step of plain SGD moves the weights by the gradient, and that of a sum is the sum of gradients."""

    def step(pairs: list, counts: list[float] | None, folder: str) -> dict[str, torch.Tensor]:
        chosen = settings(steps=1, batch_size=len(pairs), micro_batch_size=len(pairs), learning_rate=0.1)
        recipe = SftConfig(optimizer="sgd", weight_decay=0.0)
        array = None if counts is None else np.array(counts)
        return weights(fine_tune(fresh_policy(), pairs, chosen, tmp_path / folder, recipe=recipe, weights=array))

    a, b = PAIRS[0], PAIRS[3]
    assert len(fresh_policy().target_ids(*a)) == len(fresh_policy().target_ids(*b))
    weighted = step([a, b], [4 / 3, 2 / 3], "weighted")
    repeated = step([a, a, b], None, "repeated")
    for name in weighted:
        torch.testing.assert_close(weighted[name], repeated[name], atol=1e-6, rtol=1e-5)


def test_small_micro_batches_give_the_same_training(tmp_path: Path) -> None:
    large = fine_tune(fresh_policy(), PAIRS, settings(), tmp_path / "large").model.state_dict()
    small = fine_tune(fresh_policy(), PAIRS, settings(micro_batch_size=4), tmp_path / "small").model.state_dict()
    for name in large:
        torch.testing.assert_close(large[name], small[name], atol=5e-3, rtol=1e-2)
