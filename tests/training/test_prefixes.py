"""A prefix that starts from a text is that text: reading on after it gives what reading all of it gives."""

import pytest
import torch
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from rlopt.training.adapters import adapter_config, with_adapters
from rlopt.training.prefixes import learned_prefix, start_from_text

SHAPE = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "head_dim": 8}


@pytest.mark.parametrize(
    "model",
    [
        Qwen3ForCausalLM(Qwen3Config(**SHAPE, num_attention_heads=4, num_key_value_heads=2)),
        GemmaForCausalLM(GemmaConfig(**SHAPE, num_attention_heads=4, num_key_value_heads=1)),
        GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2)),  # learned positions
    ],
)
def test_it_reads_on_where_the_text_ends(model: PreTrainedModel) -> None:
    model.eval()
    text, ids = [1, 2, 3, 4], torch.tensor([[7, 8, 9]])
    mask = torch.ones_like(ids)
    with torch.no_grad():
        whole = model(torch.tensor([[*text, 7, 8, 9]])).logits[:, len(text) :]
        adapted = with_adapters(model, adapter_config("prefix", 4, 1, prefix_length=len(text)))
        start_from_text(adapted, text)
        by_peft = adapted(input_ids=ids, attention_mask=mask).logits
        prefix = learned_prefix(adapted)
        assert prefix is not None
        plain = adapted.get_base_model()
        prefix.attach(plain)
        for logits in (by_peft, plain(input_ids=ids, attention_mask=mask).logits, plain(ids).logits):
            torch.testing.assert_close(logits, whole)
        padded = torch.tensor([[0, 0, 7, 8, 9]])
        held = torch.tensor([[0, 0, 1, 1, 1]])
        torch.testing.assert_close(plain(input_ids=padded, attention_mask=held).logits[:, 2:], whole)
