"""Records one update of trl 1.12's PPOTrainer for test_trl_ppo.py.

trl removed that trainer afterwards, so this runs in an environment of its own and its numbers are kept:

    python -m venv /tmp/trl112 && /tmp/trl112/bin/pip install "trl==1.12.*" "torch==2.13.*"
    /tmp/trl112/bin/python tests/training/record_trl_ppo.py tests/training/data/trl_1_12_ppo.json

Policy, reference, value model and reward model are random two-layer Llamas over twelve tokens, in double precision;
two epochs, so that the second sees ratios other than one and both clips at work.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast
from trl.experimental.ppo import PPOConfig, PPOTrainer

BATCH, WIDTH, VOCABULARY = 8, 6, 12
SETTINGS = {"kl_coef": 0.07, "gamma": 0.97, "lam": 0.9, "cliprange": 0.1, "cliprange_value": 0.05, "vf_coef": 0.1}
ROLLOUT = ("responses", "padding_mask", "padding_mask_p1", "logprobs", "ref_logprobs", "values", "scores")
LEARNED = ("rewards", "advantages", "returns")
UPDATE = ("new_logprobs", "vpred", "pg_loss", "vf_loss")


def tokenizer() -> PreTrainedTokenizerFast:
    """Twelve words; 0 pads and 1 ends a sentence."""
    words = {word: index for index, word in enumerate(["<pad>", "<eos>", *"abcdefghij"])}
    base = Tokenizer(models.WordLevel(words, unk_token="a"))
    base.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=base, pad_token="<pad>", eos_token="<eos>")
    made.padding_side = "left"
    return made


def network(kind: Any, seed: int, **more: Any) -> Any:
    """A random model, far enough from uniform that KL and values are not tiny."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
        **more,
    )
    return kind(config).double()


def record(out: Path) -> None:
    """Run the update and write what the trainer had in its hands."""
    found: dict[str, Any] = {"settings": SETTINGS, "updates": []}
    backward, permutation = Accelerator.backward, np.random.permutation

    def plain(values: Any) -> Any:
        return values.tolist() if hasattr(values, "tolist") else values

    def at_each_epoch(n: int) -> Any:
        seen = sys._getframe(1).f_locals
        if "advantages" in seen and n == BATCH and "rollout" not in found:
            found["rollout"] = {name: plain(seen[name]) for name in (*ROLLOUT, *LEARNED)}
        return permutation(n)

    def at_each_update(self: Accelerator, loss: torch.Tensor, **more: Any) -> None:
        seen = sys._getframe(1).f_locals
        rows = {"rows": plain(seen["micro_batch_inds"])}
        found["updates"].append(rows | {name: plain(seen[name].detach()) for name in UPDATE})
        backward(self, loss, **more)

    np.random.permutation, Accelerator.backward = at_each_epoch, at_each_update
    words = tokenizer()
    with tempfile.TemporaryDirectory() as folder:
        arguments = PPOConfig(
            output_dir=folder,
            per_device_train_batch_size=BATCH // 2,
            gradient_accumulation_steps=2,
            num_mini_batches=2,
            num_ppo_epochs=2,
            total_episodes=BATCH,
            response_length=WIDTH,
            stop_token="eos",
            learning_rate=2e-2,
            local_rollout_forward_batch_size=BATCH,
            num_sample_generations=0,
            save_strategy="no",
            report_to="none",
            seed=11,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            **SETTINGS,
        )
        prompts = [[2 + (row + place) % 10 for place in range(3)] for row in range(BATCH)]
        PPOTrainer(
            args=arguments,
            processing_class=words,
            model=network(LlamaForCausalLM, 0),
            ref_model=network(LlamaForCausalLM, 1),
            reward_model=network(LlamaForSequenceClassification, 2, num_labels=1),
            value_model=network(LlamaForSequenceClassification, 4, num_labels=1),
            train_dataset=Dataset.from_dict({"input_ids": prompts}),
            eval_dataset=Dataset.from_dict({"input_ids": prompts}),
        ).train()
    out.write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]))
