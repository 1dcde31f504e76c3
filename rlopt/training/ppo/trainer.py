"""PPOTrainer: PPO on top of trl's GRPOTrainer.

trl keeps what it does well: prompts, generation (transformers or vLLM), the reference model, PEFT, accelerate,
checkpoints. This subclass replaces the learning signal: scores become per-token rewards with a KL penalty, a critic
turns them into advantages (GAE), and the loss is PPO's clipped surrogate. It leans on these of trl's internals
(tests/training/test_trl_contract.py reads them): ``_generate_and_score_completions``, ``_calculate_rewards``,
``_get_per_token_logps_and_entropies``, ``_compute_loss``, ``_metrics``, ``_save_checkpoint`` and
``_load_optimizer_and_scheduler``.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import AutoModel
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOConfig, GRPOTrainer

from rlopt.errors import PolicyError
from rlopt.policy.scoring import completion_log_softmax
from rlopt.progress import note

from .advantages import gae, token_rewards
from .critic import Critic, Passes, Rollout, load_critic, save_critic
from .kl import AdaptiveKL, FixedKL, KLController
from .losses import clipped_policy_loss, explained_variance, k3
from .masked import masked_mean, whiten

ScoreSoFar = Callable[[Sequence[int], Sequence[str]], npt.NDArray[np.float64]]
STATE_FILE = "ppo_state.json"
MAX_SKIPPED_STEPS = 5


@dataclass
class PPOArguments(GRPOConfig):  # type: ignore[misc]
    """trl's GRPOConfig with PPO's own settings.

    ``num_generations`` may be 1: PPO takes its baseline from the critic, not from a group.
    """

    num_generations: int | None = field(default=1, metadata={"help": "Titles an item in a batch."})
    kl_coef: float = field(default=0.1, metadata={"help": "Coefficient of the per-token KL penalty."})
    kl_target: float | None = field(default=None, metadata={"help": "KL in nats a title not to exceed; None: fixed."})
    kl_horizon: float = field(default=640.0, metadata={"help": "Titles over which the KL controller adapts."})
    gamma: float = field(default=1.0, metadata={"help": "Discount per token."})
    gae_lambda: float = field(default=0.95, metadata={"help": "Trace decay of GAE."})
    whiten_advantages: bool = field(default=True, metadata={"help": "Scale advantages to mean 0, variance 1."})
    critic_train_trunk: bool = field(default=True, metadata={"help": "Train a copy of the trunk, or a head only."})
    critic_learning_rate: float = field(default=5e-4, metadata={"help": "The critic's own learning rate."})
    critic_epochs: int = field(default=2, metadata={"help": "Passes of the critic over each rollout."})
    critic_minibatch: int = field(default=32, metadata={"help": "Titles in one critic update."})
    critic_warmup_steps: int = field(default=20, metadata={"help": "First steps in which only the critic learns."})
    value_clip: float | None = field(default=None, metadata={"help": "Clip range of the value loss; None: off."})

    def __post_init__(self) -> None:
        """Let trl have the two generations a prompt it insists on; PPO has no groups and needs one."""
        generations = int(self.num_generations or 1)
        self.num_generations = max(generations, 2)
        super().__post_init__()
        self.num_generations = generations


class PPOTrainer(GRPOTrainer):  # type: ignore[misc]  # trl is Any to mypy
    """PPO with a separate critic; see the module's docstring.

    Parameters are GRPOTrainer's; ``args`` is a `PPOArguments` with ``beta`` > 0, which makes trl keep the reference
    model. The KL penalty itself is `PPOArguments.kl_coef`, in the per-token rewards. ``score_so_far``, where given,
    scores unfinished titles for the critic.
    """

    args: PPOArguments
    _tag_names = ("rlopt", "ppo")

    def __init__(self, *args: Any, score_so_far: ScoreSoFar | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.score_so_far = score_so_far
        if self.beta == 0.0:
            raise ValueError("The beta parameter of PPOArguments must be > 0: it makes trl keep a reference model.")
        self.critic = self._build_critic().to(self.accelerator.device)
        self.critic_optimizer = torch.optim.AdamW(
            [p for p in self.critic.parameters() if p.requires_grad], lr=self.args.critic_learning_rate
        )
        self.kl_controller: KLController = (
            FixedKL(self.args.kl_coef)
            if self.args.kl_target is None
            else AdaptiveKL(self.args.kl_coef, self.args.kl_target, self.args.kl_horizon)
        )
        self._skipped_in_a_row = 0
        self._scores: Tensor | None = None

    def _build_critic(self) -> Critic:
        """A critic on a trunk of its own, begun at the reference's weights, or on the reference itself."""
        policy = self.accelerator.unwrap_model(self.model)
        hidden_size = policy.config.get_text_config().hidden_size
        if self.args.critic_train_trunk:
            trunk = AutoModel.from_pretrained(policy.config._name_or_path, dtype=torch.float32)
            return Critic(trunk, hidden_size, train_trunk=True)
        if self.ref_model is not None:
            return Critic(self.accelerator.unwrap_model(self.ref_model).base_model, hidden_size, train_trunk=False)
        return Critic(policy.get_base_model().base_model, hidden_size, False, while_reading=policy.disable_adapter)

    # -- rollout -----------------------------------------------------------------------------------------------------

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Tensor:
        """Trl's scores of all processes, shape (B_all, functions), kept aside for `_generate_and_score_completions`."""
        scores: Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        weighted = (scores * self.reward_weights.to(scores.device)).nansum(dim=1)
        here = self.accelerator.process_index
        self._scores = weighted[here * len(prompts) : (here + 1) * len(prompts)]
        return scores

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        """One rollout: trl's completions and scores, then values, per-token rewards and advantages."""
        batch: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if not self.model.training:
            return batch
        input_ids, attention_mask, width = _joined(batch)
        mask = batch["completion_mask"]
        with torch.no_grad():
            if "old_per_token_logps" not in batch:
                batch["old_per_token_logps"], _, _ = self._get_per_token_logps_and_entropies(
                    self.model, input_ids, attention_mask, width, batch_size=self.args.per_device_train_batch_size
                )
            so_far = self._scores_so_far(inputs, batch)
            states = self.critic.states(input_ids, attention_mask, width)
            values = self.critic(states, so_far)
        log_ratio = (batch["old_per_token_logps"] - batch["ref_per_token_logps"]) * mask
        scores = self._scores.to(values.device) if self._scores is not None else torch.zeros_like(values[:, 0])
        rewards = token_rewards(scores, log_ratio, mask, self.kl_controller.coefficient)
        advantages, returns = gae(rewards, values, mask, self.args.gamma, self.args.gae_lambda)
        batch["advantages"] = whiten(advantages, mask) if self.args.whiten_advantages else advantages
        self._learn_critic(Rollout(input_ids, attention_mask, states, so_far, values, returns, mask))
        self._record_rollout(batch, scores, rewards, values, returns)
        return batch

    def _scores_so_far(self, inputs: Any, batch: dict[str, Any]) -> Tensor:
        """Score of each title before each of its tokens, (B, T): 0 before the first and in the padding."""
        mask = batch["completion_mask"]
        scores = torch.zeros(mask.shape)
        if self.score_so_far is None:
            return scores.to(mask.device)
        ids = batch["completion_ids"].tolist()
        places = [(row, t) for row, length in enumerate(mask.sum(-1).tolist()) for t in range(1, length)]
        texts = self.processing_class.batch_decode([ids[row][:t] for row, t in places], skip_special_tokens=True)
        if places:
            found = self.score_so_far([inputs[row]["item_index"] for row, _ in places], texts)
            rows, columns = zip(*places, strict=True)
            scores[list(rows), list(columns)] = torch.as_tensor(found, dtype=torch.float32)
        return scores.to(mask.device)

    def _learn_critic(self, rollout: Rollout) -> None:
        progress = self.state.global_step / max(self.state.max_steps, 1)
        for group in self.critic_optimizer.param_groups:
            group["lr"] = self.args.critic_learning_rate * (1.0 - 0.9 * progress)
        passes = Passes(self.args.critic_epochs, self.args.critic_minibatch, self.args.value_clip)
        loss = self.critic.learn(self.critic_optimizer, rollout, passes)
        self._metrics["train"]["loss/value"].append(loss)

    def _record_rollout(
        self, batch: dict[str, Any], scores: Tensor, rewards: Tensor, values: Tensor, returns: Tensor
    ) -> None:
        """Metrics by the names trl's users know, and the step of the KL controller."""
        mask = batch["completion_mask"]
        per_token = k3(batch["old_per_token_logps"], batch["ref_per_token_logps"]) * mask
        kl_title = self.accelerator.gather(per_token.sum(-1)).mean().item()
        metrics = self._metrics["train"]
        metrics["objective/kl"].append(kl_title)
        metrics["objective/kl_per_token"].append(masked_mean(per_token, mask).item())
        metrics["objective/scores"].append(self.accelerator.gather(scores).mean().item())
        metrics["objective/rlhf_reward"].append(self.accelerator.gather(rewards.sum(-1)).mean().item())
        metrics["objective/kl_coef"].append(self.kl_controller.coefficient)
        metrics["val/explained_variance"].append(explained_variance(values, returns, mask))
        metrics["val/returns"].append(masked_mean(returns, mask).item())
        self.kl_controller.update(kl_title, len(scores) * self.accelerator.num_processes)

    # -- update ------------------------------------------------------------------------------------------------------

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
        """Trl's method; on a CPU only the completion goes through the language-model head.

        trl's fused head scores every position of prompt and completion where there is no Triton, several times the
        work for short titles.
        """
        if self.accelerator.device.type != "cpu" or compute_aux_loss or any(v is not None for v in forward.values()):
            result: tuple[Tensor, Any, Tensor | None] = super()._get_per_token_logps_and_entropies(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size,
                compute_entropy,
                compute_aux_loss,
                **forward,
            )
            return result
        logs = completion_log_softmax(model, input_ids, attention_mask, logits_to_keep, self.temperature)
        log_probs = logs.gather(-1, input_ids[:, -logits_to_keep:].unsqueeze(-1)).squeeze(-1)
        entropies = None
        if compute_entropy:
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.entropy_coef != 0.0):
                entropies = -(logs.exp() * logs).sum(-1)
        return log_probs, entropies, None

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """PPO's loss: clipped surrogate minus entropy bonus, a mean over the tokens of the whole batch.

        The normaliser is the number of tokens of the accumulated batch on all processes, so that 4 micro-batches of
        8 give the gradient of one batch of 32.
        """
        input_ids, attention_mask, width = _joined(inputs)
        mask = inputs["completion_mask"]
        log_probs, entropies, _ = self._get_per_token_logps_and_entropies(
            model, input_ids, attention_mask, width, compute_entropy=True
        )
        loss, clipped = clipped_policy_loss(
            log_probs, inputs["old_per_token_logps"], inputs["advantages"], self.args.epsilon
        )
        loss = loss - self.entropy_coef * entropies
        share = self.current_gradient_accumulation_steps / self.args.steps_per_generation
        tokens = inputs["num_items_in_batch"] / self.accelerator.num_processes * share
        total: Tensor = (loss * mask).sum() / tokens.clamp(min=1.0)
        warming_up = self.state.global_step < self.args.critic_warmup_steps
        self._record_update(log_probs, inputs["old_per_token_logps"], clipped, entropies, loss, mask)
        return total * 0.0 if warming_up else total

    def _record_update(
        self, log_probs: Tensor, old: Tensor, clipped: Tensor, entropies: Tensor, loss: Tensor, mask: Tensor
    ) -> None:
        metrics = self._metrics["train"]
        metrics["loss/policy"].append(masked_mean(loss.detach(), mask).item())
        metrics["policy/clip_ratio"].append(masked_mean(clipped, mask).item())
        metrics["policy/entropy"].append(masked_mean(entropies.detach(), mask).item())
        metrics["policy/approx_kl"].append(masked_mean(k3(old, log_probs.detach()), mask).item())

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Trl's step; a non-finite loss or gradient is thrown away and said, several in a row end the training."""
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        gradients = (p.grad for p in model.parameters() if p.grad is not None)
        if math.isfinite(float(loss)) and all(bool(torch.isfinite(g).all()) for g in gradients):
            self._skipped_in_a_row = 0
            return loss
        model.zero_grad()
        self._skipped_in_a_row += 1
        self._metrics["train"]["skipped_steps"].append(1.0)
        note(f"Step {self.state.global_step + 1}: non-finite loss or gradient, skipped.")
        if self._skipped_in_a_row >= MAX_SKIPPED_STEPS:
            raise PolicyError(
                f"PPO stopped: {MAX_SKIPPED_STEPS} steps in a row up to step {self.state.global_step + 1} had a "
                "non-finite loss or gradient. The last checkpoint is good; lower --learning-rate and run it again."
            )
        return torch.zeros_like(loss)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Checkpoints carry no card; the finished policy gets rlopt's."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Trl's checkpoint, the critic with its optimiser, and the KL controller."""
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            save_critic(self.critic, self.critic_optimizer, folder)
            (folder / STATE_FILE).write_text(json.dumps({"kl_coefficient": self.kl_controller.coefficient}))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Inverse of `_save_checkpoint`; trl's counter of steps comes back with it."""
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            load_critic(self.critic, self.critic_optimizer, Path(checkpoint))
            state = json.loads((Path(checkpoint) / STATE_FILE).read_text())
            self.kl_controller.coefficient = float(state["kl_coefficient"])


def _joined(batch: dict[str, Any]) -> tuple[Tensor, Tensor, int]:
    """Prompt and completion as one (B, P + T) tensor, its mask, and T."""
    input_ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    attention_mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    return input_ids, attention_mask, int(batch["completion_ids"].shape[1])
