"""Prefix tuning's part of a training: where the prefix starts, and what was learned."""

from collections.abc import Sequence
from typing import Any

import torch
from peft import PeftModel
from transformers import DynamicCache

from rlopt.policy.prefix import Prefix


def start_from_text(model: PeftModel, ids: Sequence[int]) -> None:
    """Start the prefix as the keys and values of a text: from random ones a short training learns little.

    Parameters
    ----------
    ids
        Tokens of the text, at least one; repeated until they fill the prefix.
    """
    length = int(model.active_peft_config.num_virtual_tokens)
    tokens = (list(ids) * -(-length // len(ids)))[-length:]
    base: Any = model.get_base_model()
    cache: Any = DynamicCache(config=base.config)
    training = base.training
    base.eval()
    with torch.no_grad():
        base(input_ids=torch.tensor([tokens], device=base.device), past_key_values=cache, use_cache=True)
        both = torch.stack([x[0] for layer in cache.layers for x in (layer.keys, layer.values)])
        encoder: Any = model.prompt_encoder[model.active_adapter]
        encoder.embedding.weight.copy_(both.permute(2, 0, 1, 3).reshape(length, -1))
    base.train(training)


def learned_prefix(model: object) -> Prefix | None:
    """The prefix of a trained model, None where it has none."""
    if not isinstance(model, PeftModel) or not model.active_peft_config.is_prompt_learning:
        return None
    return Prefix(model.get_prompt_embedding_to_save(model.active_adapter), model.active_peft_config)
