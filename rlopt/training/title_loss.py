"""The loss of supervised training: titles may count differently, and slots that cannot be written are no choice."""

from typing import Any

import torch
from torch import Tensor
from trl import SFTTrainer

from rlopt.policy.slot_mask import SlotMask
from rlopt.training.batches import Batch

WEIGHT = "weight"
NO_LABEL = -100


class _Collator:
    """Another collator that also stacks the weights."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, examples: list[Batch]) -> Batch:
        batch: Batch = self.inner(examples)
        if WEIGHT in examples[0]:
            batch[WEIGHT] = torch.tensor([example[WEIGHT] for example in examples])
        return batch


class TitleSFTTrainer(SFTTrainer):  # type: ignore[misc]  # trl is Any to mypy
    """SFTTrainer whose loss is the sum over tokens of weight times negative log-likelihood, over the tokens' number.

    With weights of mean one the loss keeps its scale. Held-out titles are unweighted. With a
    ``slot_mask`` the likelihood is that of the policy which writes under it: the model need not learn what the mask
    forbids, and what remains in its place is learned as it will be drawn.
    """

    def __init__(self, *args: Any, slot_mask: SlotMask | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.slot_mask = slot_mask
        self.data_collator: Any = _Collator(self.data_collator)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if WEIGHT not in self._signature_columns:
            self._signature_columns.append(WEIGHT)

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Compute the loss, SFTTrainer's own for the plain negative log-likelihood."""
        if WEIGHT not in inputs and self.slot_mask is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        weight = inputs.pop(WEIGHT, None)
        if self.slot_mask is None:
            outputs = model(**inputs, use_cache=False, fused_lm_head=True)
            log_probs, n_tokens = outputs.log_probs, outputs.label_mask.sum()
        else:
            labels = inputs.pop("labels")
            outputs = model(**inputs, use_cache=False)
            log_probs = held_log_probs(self.slot_mask, outputs.logits, inputs["input_ids"], labels)
            n_tokens = (labels != NO_LABEL).sum()
        if weight is not None:
            log_probs = weight.unsqueeze(1) * log_probs
        loss = -log_probs.sum() / (n_tokens if num_items_in_batch is None else num_items_in_batch)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # averaged over processes again with the gradients
        return (loss, outputs) if return_outputs else loss


def held_log_probs(slot_mask: SlotMask, logits: Tensor, input_ids: Tensor, labels: Tensor) -> Tensor:
    """Log-probability in nats of each labelled token under the mask, (B, L - 1), 0 where there is no label.

    Parameters
    ----------
    logits
        Shape (B, L, V), or longer on the left by virtual tokens.
    input_ids, labels
        Prompt, then title, padded on the right, (B, L); ``labels`` are `NO_LABEL` but for the title.
    """
    logits = logits[:, -input_ids.shape[1] : -1].float()
    targets = input_ids[:, 1:]
    held = slot_mask.mask_training(logits, input_ids, labels != NO_LABEL)
    log_probs = torch.log_softmax(held, dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return log_probs * (labels[:, 1:] != NO_LABEL)
