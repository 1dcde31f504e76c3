"""GRPO and RLOO on the rewards, prompts, reference and KL target of PPO: trl's own trainers, its real rivals.

Both take a title's baseline from the other titles written for the same item instead of from a critic (Shao et al.
2024, "DeepSeekMath"; Ahmadian et al. 2024, "Back to Basics"). What is theirs, loss and advantages, stays trl's.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from trl import GRPOTrainer, RLOOTrainer

from rlopt.training.rollouts import TitleRollouts

from .held import HeldToReference
from .losses import k3


class _Rival(HeldToReference, TitleRollouts):
    """What both have of PPO: rollouts that can be repeated, the KL in nats a title, and a controller of it.

    ``beta``, trl's coefficient of the KL, is what the controller says after each update. A trainer that began with 0
    has no reference, knows no KL, and stays there.
    """

    beta: float
    _kl_of_update: tuple[float, ...] = ()

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        self.beta = self.kl_controller.coefficient

    def _record_kl(self, kl: float) -> None:
        """Take in the mean KL of titles of all processes."""
        self._metrics["train"]["objective/kl"].append(kl)
        self._kl_of_update = (*self._kl_of_update, kl)

    def _end_window(self) -> None:
        """After each update a step of the controller."""
        super()._end_window()
        seen, self._kl_of_update = self._kl_of_update, ()
        if seen:
            self._metrics["train"]["objective/kl_coef"].append(self.beta)
            rows = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps
            self.kl_controller.update(float(np.mean(seen)), rows * self.accelerator.num_processes)
            self.beta = self.kl_controller.coefficient


class TitleGRPOTrainer(_Rival, GRPOTrainer):  # type: ignore[misc]  # trl is Any to mypy
    """trl's GRPOTrainer."""

    _tag_names = ("rlopt", "grpo")

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> tuple[list[list[int]], Any]:
        if self._samples_itself:
            return self._write(prompt_ids)[0], None
        written: tuple[list[list[int]], Any] = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        return written

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """Trl's loss; its KL (k3, a mean over tokens) times the tokens a title is the KL of a title."""
        loss: Tensor = super()._compute_loss(model, inputs)
        if self._metrics["train"]["kl"]:
            length = self._metrics["train"]["completions/mean_length"][-1]
            self._record_kl(self._metrics["train"]["kl"][-1] * length)
        return loss


class TitleRLOOTrainer(_Rival, RLOOTrainer):  # type: ignore[misc]
    """trl's RLOOTrainer."""

    _tag_names = ("rlopt", "rloo")
    _rollout_log_probs: tuple[Tensor, ...] | list[Tensor] = ()

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> list[list[int]]:
        if self._samples_itself:
            return self._write(prompt_ids)[0]
        written: list[list[int]] = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        return written

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Any, Tensor | None]:
        """Keeps what trl computes for a rollout (policy first, then reference): its own KL may be negative."""
        result = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if not torch.is_grad_enabled():
            self._rollout_log_probs = [*self._rollout_log_probs, result[0]][-2:]
        return result

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        """Trl's rollout, and its KL as a number that is never negative."""
        self._rollout_log_probs = []
        batch: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if len(self._rollout_log_probs) == 2:
            per_title = (k3(*self._rollout_log_probs) * batch["completion_mask"]).sum(-1)
            self._record_kl(self.accelerator.gather(per_title).mean().item())
        return batch
