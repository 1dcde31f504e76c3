"""Titles that count differently in the loss."""

from typing import Any

import torch
from trl import SFTTrainer

WEIGHT = "weight"


class _Collator:
    """Another collator that also stacks the weights."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = self.inner(examples)
        if WEIGHT in examples[0]:
            batch[WEIGHT] = torch.tensor([example[WEIGHT] for example in examples])
        return batch


class WeightedTrainer(SFTTrainer):  # type: ignore[misc]  # trl is Any to mypy
    """SFTTrainer whose loss is the sum over tokens of weight times negative log-likelihood, over the tokens' number.

    With weights of mean one the loss keeps its scale. Held-out titles carry no weight and count alike.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.data_collator: Any = _Collator(self.data_collator)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if WEIGHT not in self._signature_columns:
            self._signature_columns.append(WEIGHT)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """As SFTTrainer's for the plain negative log-likelihood, weighted."""
        if WEIGHT not in inputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        weight = inputs.pop(WEIGHT)
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        n_tokens = outputs.label_mask.sum() if num_items_in_batch is None else num_items_in_batch
        loss = -(weight.unsqueeze(1) * outputs.log_probs).sum() / n_tokens
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # averaged over processes again with the gradients
        return (loss, outputs) if return_outputs else loss
