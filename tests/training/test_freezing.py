"""Frozen weights stay as they were, to the bit; the others learn."""

from pathlib import Path

import pytest
import torch
from torch import nn
from toy import ITEMS, PAIRS, fresh_policy
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, OPTConfig, OPTForCausalLM

from rlopt.errors import PolicyError
from rlopt.policy.title_policy import TitlePolicy
from rlopt.training.adapters import adapter_config
from rlopt.training.arguments import train_settings
from rlopt.training.freezing import freeze, set_dropout
from rlopt.training.sft import CountLearning, fine_tune

STEPS = 4
LAST_BLOCK = {
    f"model.layers.1.{name}.weight"
    for name in (
        *(f"self_attn.{x}_proj" for x in "qkvo"),
        *(f"mlp.{x}_proj" for x in ("gate", "up", "down")),
        "input_layernorm",
        "post_attention_layernorm",
    )
}
LEARNS = {
    "head": {"lm_head.weight", "model.norm.weight"},
    "last-n": {"lm_head.weight", "model.norm.weight"} | LAST_BLOCK,
    "lora": {f"model.layers.{i}.{m}_proj.weight" for i in (0, 1) for m in (
        *(f"self_attn.{x}" for x in "qkvo"), *(f"mlp.{x}" for x in ("gate", "up", "down")))},
    "ia3": {f"model.layers.{i}.{m}_proj.weight" for i in (0, 1) for m in ("self_attn.k", "self_attn.v", "mlp.down")},
    "prefix": set(),
}  # fmt: skip


def train(learn: str, folder: Path) -> tuple[TitlePolicy, int]:
    policy, count = fresh_policy(), CountLearning()
    freeze(policy.model, learn, 1)
    adapters = adapter_config(learn, 4, STEPS, prefix_length=6)
    settings = train_settings(
        policy.model, steps=STEPS, batch_size=16, learning_rate=1e-2, save_every=2, seed=0, adapters=adapters
    )
    return fine_tune(policy, PAIRS, settings, folder, [count]), count.count


@pytest.mark.parametrize("learn", LEARNS)
def test_only_what_is_said_to_learn_changes(learn: str, tmp_path: Path) -> None:
    before = fresh_policy().model.state_dict()
    trained, count = train(learn, tmp_path)
    after = trained.model.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == LEARNS[learn]
    if learn in ("head", "last-n"):
        assert count == sum(after[name].numel() for name in LEARNS[learn])
    assert 0 < count < sum(p.numel() for p in trained.model.parameters())


def test_the_embeddings_of_a_tied_model_do_not_learn_with_its_output_layer(tmp_path: Path) -> None:
    policy, _ = train("head", tmp_path / "checkpoints")
    folder = tmp_path / "sft"
    folder.mkdir()
    policy.save(folder)
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    assert not torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)
    assert TitlePolicy.load(folder).generate(ITEMS[:3], 1, seed=0) == policy.generate(ITEMS[:3], 1, seed=0)


@pytest.mark.parametrize(
    ("model", "norm"),
    [
        (GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=8, n_head=2, vocab_size=10)), "transformer.ln_f.weight"),
        (
            OPTForCausalLM(OPTConfig(num_hidden_layers=2, hidden_size=8, ffn_dim=8, num_attention_heads=2,
                                     vocab_size=10, word_embed_proj_dim=8)),
            "model.decoder.final_layer_norm.weight",
        ),
    ],
)  # fmt: skip
def test_other_architectures_have_their_last_norm_found(model: nn.Module, norm: str) -> None:
    assert freeze(model, "head", 1)
    learning = {name for name, weights in model.named_parameters() if weights.requires_grad}
    assert learning == {norm, norm.replace("weight", "bias"), "lm_head.weight"}
    set_dropout(model, 0.25)
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} <= {0.25}


def test_more_blocks_than_there_are_is_one_clear_error() -> None:
    with pytest.raises(PolicyError, match=r"--last-n must be at most 2, the model's number of blocks\. Got 3"):
        freeze(fresh_policy().model, "last-n", 3)


def test_dropout_reaches_the_attention() -> None:
    model = fresh_policy().model
    ids = torch.tensor([[5, 6, 7, 8, 9, 10]])
    model.train()
    assert torch.equal(model(ids).logits, model(ids).logits)
    set_dropout(model, 0.5)
    assert not torch.equal(model(ids).logits, model(ids).logits)
    set_dropout(model, 0.0)
    assert torch.equal(model(ids).logits, model(ids).logits)
