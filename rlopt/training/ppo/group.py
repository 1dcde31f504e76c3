"""GRPO and RLOO on the rewards, prompts and reference that PPO has: trl's own trainers, so that PPO has real rivals.

Both take a title's baseline from the other titles written for the same item instead of from a critic (Shao et al.
2024, "DeepSeekMath"; Ahmadian et al. 2024, "Back to Basics"). What is theirs, loss and advantages, stays trl's.
"""

from typing import Any

import torch
from torch import Tensor
from trl import GRPOTrainer, RLOOTrainer

from rlopt.training.rollouts import TitleRollouts

from .losses import k3


class TitleGRPOTrainer(TitleRollouts, GRPOTrainer):  # type: ignore[misc]  # trl is Any to mypy
    """trl's GRPOTrainer with rollouts that can be repeated; logs the KL in nats a title as PPO does."""

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
            self._metrics["train"]["objective/kl"].append(self._metrics["train"]["kl"][-1] * length)
        return loss


class TitleRLOOTrainer(TitleRollouts, RLOOTrainer):  # type: ignore[misc]
    """trl's RLOOTrainer with rollouts that can be repeated; logs the KL in nats a title as PPO does."""

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
            self._metrics["train"]["objective/kl"].append(self.accelerator.gather(per_title).mean().item())
        return batch
