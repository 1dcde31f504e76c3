"""Rollouts of all trainers here, on top of trl's: reproducible, less work on a CPU, and no broken steps.

`TitleRollouts` is mixed in before one of trl's trainers. The trl internals it leans on are read by
tests/training/test_trl_contract.py.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from trl.models import unwrap_model_for_generation

from rlopt.errors import PolicyError
from rlopt.policy.decoding import RowStream, sample
from rlopt.policy.scoring import score_tokens
from rlopt.policy.slot_mask import SlotMask
from rlopt.progress import note

MAX_SKIPPED_STEPS = 5


class TitleRollouts:
    """Mixin for trl's GRPOTrainer and RLOOTrainer; only what the module's docstring says differs from them.

    ``slot_mask`` of the policy holds in rollouts and in every log-probability. ``prompt_ids`` are its tokens of each
    prompt: trl would take a special token within an item's text for one.
    """

    slot_mask: SlotMask | None = None
    prompt_ids: Mapping[str, list[int]] = MappingProxyType({})
    keeps_distributions = False

    _rolled_out: Tensor | None = None
    _reference: Tensor | None = None
    _divergence: Tensor | None = None
    _reads: Any = None
    _read: Tensor | None = None
    _bad_window = False
    _skipped_in_a_row = 0

    # The trainer's own, declared for this mixin.
    args: Any
    accelerator: Any
    state: Any
    _metrics: Any

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """Trl's method: token ids, no images, nothing else."""
        return [list(self.prompt_ids[prompt]) for prompt in prompts], None, {}

    def _write(self, prompt_ids: list[list[int]]) -> tuple[list[list[int]], list[list[float]]]:
        """One completion a prompt, as `TitlePolicy.generate` writes it, and each token's log-probability in nats.

        Every process counts through the random numbers of all rows and takes its own, so that one process and several
        write the same titles from the same seed.
        """
        trainer: Any = self
        rows, device = len(prompt_ids), self.accelerator.device
        seed = int(np.random.SeedSequence([self.args.seed, self.state.global_step]).generate_state(1)[0])
        total, first = rows * self.accelerator.num_processes, rows * self.accelerator.process_index
        with unwrap_model_for_generation(
            trainer.model_wrapped,
            self.accelerator,
            gather_deepspeed3_params=self.args.ds3_gather_for_generation,
            gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
        ) as model:
            training = model.training
            written = sample(
                model,
                prompt_ids,
                max_new_tokens=self.args.max_completion_length,
                eos_id=int(trainer.processing_class.eos_token_id),
                pad_id=int(trainer.processing_class.pad_token_id),
                stream=RowStream(seed, total, first, device),
                temperature=trainer.temperature,
                slot_mask=self.slot_mask,
            )
            model.train(training)
        return [title.ids for title in written], [title.log_probs for title in written]

    @property
    def _samples_itself(self) -> bool:
        """True where trl would call plain ``generate``: not vLLM, no continuous batching."""
        trainer: Any = self
        return not trainer.use_vllm and not trainer.use_transformers_continuous_batching

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **forward: Any,
    ) -> tuple[Tensor, Any, Tensor | None]:
        """Trl's method, by `rlopt.policy.scoring`: with the policy's slots, and rows of similar length together.

        `_read` keeps the last reading of `_reads` in a rollout, and the distributions of the last scoring are in
        `_rolled_out`, and the divergence of an update's titles from `_reference` in `_divergence`.
        """
        if compute_aux_loss or any(value is not None for value in forward.values()):
            theirs: tuple[Tensor, Any, Tensor | None] = super()._get_per_token_logps_and_entropies(  # type: ignore[misc]
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size,
                compute_entropy,
                compute_aux_loss,
                **forward,
            )
            return theirs
        trainer: Any = self
        learning = torch.is_grad_enabled()
        scores = score_tokens(
            model,
            input_ids,
            attention_mask,
            logits_to_keep,
            temperature=trainer.temperature,
            slot_mask=self.slot_mask,
            entropies=compute_entropy,
            entropy_gradients=getattr(self.args, "entropy_coef", 0.0) != 0.0,
            states_of=None if learning else self._reads,
            log_softmax=not learning and self.keeps_distributions,
            reference=self._reference if learning else None,
            rows_at_once=None if input_ids.device.type == "cpu" else batch_size,
        )
        if scores.states is not None:
            self._read = scores.states
        if learning:
            self._divergence = scores.kl
        else:
            self._rolled_out = scores.log_softmax
        return scores.log_probs, scores.entropies, None

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Trl's step; one with a non-finite loss or gradient is skipped and logged.

        Several in a row end the training. All processes throw away the same steps.
        """
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)  # type: ignore[misc]
        gradients = (p.grad for p in model.parameters() if p.grad is not None)
        good = math.isfinite(float(loss)) and all(bool(torch.isfinite(g).all()) for g in gradients)
        bad = self.accelerator.reduce(torch.tensor(0.0 if good else 1.0, device=loss.device), reduction="sum")
        self._bad_window |= bool(bad > 0)
        if self._bad_window:
            model.zero_grad()
        if self.accelerator.sync_gradients:
            self._end_window()
        return torch.zeros_like(loss) if bad > 0 else loss

    def _end_window(self) -> None:
        """After the last micro-batch of a step: count it, and give up after several bad ones."""
        bad, self._bad_window = self._bad_window, False
        self._skipped_in_a_row = self._skipped_in_a_row + 1 if bad else 0
        self._metrics["train"]["skipped_steps"].append(float(bad))
        if bad and self.accelerator.is_main_process:
            note(f"Step {self.state.global_step + 1}: non-finite loss or gradient, skipped.")
        if self._skipped_in_a_row >= MAX_SKIPPED_STEPS:
            raise PolicyError(
                f"Training stopped: {MAX_SKIPPED_STEPS} steps in a row up to step {self.state.global_step + 1} had a "
                "non-finite loss or gradient. The last checkpoint is good; lower --learning-rate and run it again."
            )

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Checkpoints carry no card; the finished policy gets rlopt's."""
