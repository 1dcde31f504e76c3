"""PPOTrainer: PPO on top of trl's GRPOTrainer.

trl keeps what it does well: prompts, generation (transformers or vLLM), the reference model, PEFT, accelerate,
checkpoints. This subclass replaces the learning signal: scores become per-token rewards with a KL penalty, a critic
turns them into advantages (GAE), and the loss is PPO's clipped surrogate. Several processes give what one gives on
the same batch. It leans on these of trl's internals (tests/training/test_trl_contract.py reads them):
``_generate_single_turn``, ``_generate_and_score_completions``, ``_calculate_rewards``,
``_get_per_token_logps_and_entropies``, ``_compute_loss``, ``_metrics``, ``_save_checkpoint`` and
``_load_optimizer_and_scheduler``.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel
from trl import GRPOConfig, GRPOTrainer

from rlopt.policy.scoring import score_tokens
from rlopt.training.batches import Batch
from rlopt.training.rollouts import TitleRollouts

from .advantages import gae, token_rewards
from .critic import Critic, Passes, Rollout, Share, load_critic, save_critic
from .kl_to_reference import HeldToReference
from .losses import clipped_policy_loss, explained_variance, k3
from .masked import masked_mean, masked_sum, whiten
from .settings import Held, PpoSettings, ScoreSoFar

CRITIC_MINIBATCH = 32  # titles in one update of the critic


@dataclass
class PPOArguments(GRPOConfig):  # type: ignore[misc]
    """trl's GRPOConfig, for which PPO's own settings are only a note.

    ``num_generations`` may be 1: PPO takes its baseline from the critic, not from a group.
    """

    num_generations: int | None = field(default=1, metadata={"help": "Titles an item in a batch."})
    settings: dict[str, Any] | None = field(default=None, metadata={"help": "PPO's own, for trackers to show."})

    def __post_init__(self) -> None:
        """Let trl have the two generations a prompt it insists on; PPO has no groups and needs one."""
        generations = int(self.num_generations or 1)
        self.num_generations = max(generations, 2)
        super().__post_init__()
        self.num_generations = generations


class PPOTrainer(HeldToReference, TitleRollouts, GRPOTrainer):  # type: ignore[misc]  # trl is Any to mypy
    """PPO with a separate critic; see the module's docstring.

    ``score_so_far``, where given, scores unfinished titles for the critic; further parameters are GRPOTrainer's, with
    `arguments` for its ``args``. The KL penalty is in the per-token rewards, and with ``held`` there are two of them:

        r_t = [score at the end] - kl_coef log(pi / pi_sft) - kl_last_coef log(pi / pi_last)

    which is one penalty to a reference between the two, pi_sft^a pi_last^(1 - a) with a = kl_coef / (kl_coef +
    kl_last_coef). The controller of the KL goes by pi_sft and moves kl_coef alone.
    """

    args: PPOArguments
    ref_model: Any
    _tag_names = ("rlopt", "ppo")

    @staticmethod
    def arguments(settings: PpoSettings, shared: dict[str, Any]) -> PPOArguments:
        """Trl's arguments."""
        config = settings.config
        return PPOArguments(
            **shared,
            beta=1.0,  # any positive number: trl then keeps the reference
            entropy_coef=config.entropy_coef,
            settings=config.model_dump(mode="json"),
        )

    def __init__(
        self,
        settings: PpoSettings,
        score_so_far: ScoreSoFar | None = None,
        held: Held | None = None,
        **parts: Any,
    ) -> None:
        super().__init__(settings, **parts)
        self.held = held
        if held is not None and self.ref_model is None:
            self.ref_model = held.reference.to(self.accelerator.device).eval()
        self.config = settings.config
        self.score_so_far = score_so_far
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.args.seed)  # the same critic in every process
            self.critic = self._build_critic().to(self.accelerator.device)
        self.critic_optimizer = torch.optim.AdamW(
            [p for p in self.critic.parameters() if p.requires_grad], lr=self.config.critic_learning_rate
        )
        self._scores: Tensor | None = None

    def _build_critic(self) -> Critic:
        """A critic on a trunk of its own, begun at the reference's weights, or on what the reference reads."""
        policy = self.accelerator.unwrap_model(self.model)
        hidden_size = policy.config.get_text_config().hidden_size
        if self.config.critic == "own":
            return Critic(hidden_size, AutoModel.from_pretrained(policy.config._name_or_path, dtype=torch.float32))
        reference = policy.get_base_model() if self.ref_model is None else self.accelerator.unwrap_model(self.ref_model)
        self._reads = reference.base_model
        return Critic(hidden_size)

    # -- rollout -----------------------------------------------------------------------------------------------------

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> tuple[list[list[int]], Any]:
        """Trl's method; plain generation is ours, and knows the log-probability of each token that it drew."""
        if self._samples_itself:
            return self._write(prompt_ids)
        written: tuple[list[list[int]], Any] = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        return written

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Tensor:
        """Trl's scores of all processes, shape (B_all, functions), kept aside for `_generate_and_score_completions`."""
        scores: Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self._scores = (scores * self.reward_weights.to(scores.device)).nansum(dim=1)
        return scores

    def _generate_and_score_completions(self, inputs: Any) -> Batch:
        """One rollout: trl's completions and scores, then values, per-token rewards and advantages.

        Advantages are whitened, and the critic learns, over the titles of all processes.
        """
        batch: Batch = super()._generate_and_score_completions(inputs)
        if not self.model.training or self._scores is None:
            return batch
        input_ids, attention_mask, width = _joined(batch)
        mask = batch["completion_mask"]
        with torch.no_grad():
            states = self._all(self._states(input_ids, attention_mask, width))
            batch["old_per_token_logps"] = self._old_log_probs(batch, input_ids, attention_mask, width)
            so_far = self._all(self._scores_so_far(inputs, batch))
            values = self.critic(states, so_far)
        old, reference = (self._all(batch[f"{whose}_per_token_logps"]) for whose in ("old", "ref"))
        prompts = self._all(batch["prompt_ids"], left=True), self._all(batch["prompt_mask"], left=True)
        ids = torch.cat([prompts[0], self._all(batch["completion_ids"])], dim=1)
        everyones = self._all(mask)
        attention = torch.cat([prompts[1], everyones], dim=1)
        rewards = token_rewards(self._scores, (old - reference) * everyones, everyones, self.kl_controller.coefficient)
        if self.held is not None:
            last = self._all(self._log_probs_of(self.held.last, input_ids, attention_mask, width))
            from_last = (old - last) * everyones
            rewards = rewards - self.config.kl_last_coef * from_last
            self._metrics["train"]["objective/kl_last"].append(from_last.sum(-1).mean().item())
        advantages, returns = gae(rewards, values, everyones, self.config.gamma, self.config.gae_lambda)
        if self.config.whiten:
            advantages = whiten(advantages, everyones)
        first = self.accelerator.process_index * len(mask)
        batch["advantages"] = advantages[first : first + len(mask), :width]
        self._learn_critic(Rollout(ids, attention, states, so_far, values, returns, everyones))
        self._record_rollout(rewards, values, returns, everyones)
        return batch

    def _states(self, input_ids: Tensor, attention_mask: Tensor, width: int) -> Tensor:
        """Inputs of the critic, (B, T, H): with a shared trunk, the states that the reference has just computed."""
        if self._read is None:
            return self.critic.states(input_ids, attention_mask, width)
        # the last thing trl computes in a rollout are the reference's log-probabilities
        states, self._read = self._read.float(), None
        return states

    def _old_log_probs(self, batch: Batch, input_ids: Tensor, attention_mask: Tensor, width: int) -> Tensor:
        """Log-probability of each token under the policy that wrote it, (B, T).

        In full precision the sampler's own are as good as computed again; in half precision they differ from what
        the loss will compute, and the ratio of a first update must be 1.
        """
        log_probs: Tensor
        if "old_per_token_logps" in batch:
            log_probs = batch["old_per_token_logps"]
        elif self._samples_itself and self.accelerator.mixed_precision == "no":
            log_probs = batch["sampling_per_token_logps"]
        else:
            log_probs = self._recomputed(input_ids, attention_mask, width)
        return log_probs

    def _recomputed(self, input_ids: Tensor, attention_mask: Tensor, width: int) -> Tensor:
        log_probs: Tensor = self._get_per_token_logps_and_entropies(
            self.model, input_ids, attention_mask, width, batch_size=self.args.per_device_train_batch_size
        )[0]
        return log_probs

    def _log_probs_of(self, frozen: Any, input_ids: Tensor, attention_mask: Tensor, width: int) -> Tensor:
        """Log-probability of each token under a model that does not learn, (B, T)."""
        with torch.no_grad():
            return score_tokens(
                frozen.to(input_ids.device),
                input_ids,
                attention_mask,
                width,
                temperature=self.temperature,
                slot_mask=self.slot_mask,
                rows_at_once=None if input_ids.device.type == "cpu" else self.args.per_device_train_batch_size,
            ).log_probs

    def _all(self, tensor: Tensor, left: bool = False) -> Tensor:
        """The rows of all processes, (B_all, T), padded with zeros to the longest; ``left`` pads on that side."""
        gathered: Tensor = self.accelerator.gather(self.accelerator.pad_across_processes(tensor, dim=1, pad_first=left))
        return gathered

    def _scores_so_far(self, inputs: Any, batch: Batch) -> Tensor:
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
            group["lr"] = self.config.critic_learning_rate * (1.0 - 0.9 * progress)
        passes = Passes(self.config.critic_epochs, CRITIC_MINIBATCH, self.config.value_clip)
        share = Share(
            self.accelerator.process_index,
            self.accelerator.num_processes,
            lambda gradient: self.accelerator.reduce(gradient, reduction="sum"),
        )
        loss = self.critic.learn(self.critic_optimizer, rollout, passes, share)
        self._metrics["train"]["loss/value"].append(loss)

    def _record_rollout(self, rewards: Tensor, values: Tensor, returns: Tensor, mask: Tensor) -> None:
        """Metrics of all processes by the names trl's users know; `HeldToReference` adds the KL."""
        metrics = self._metrics["train"]
        metrics["objective/scores"].append(self._scores.mean().item() if self._scores is not None else 0.0)
        metrics["objective/rlhf_reward"].append(rewards.sum(-1).mean().item())
        metrics["val/explained_variance"].append(explained_variance(values, returns, mask))
        metrics["val/returns"].append(masked_mean(returns, mask).item())

    # -- update ------------------------------------------------------------------------------------------------------

    def _compute_loss(self, model: Any, inputs: Batch) -> Tensor:
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
        warming_up = self.state.global_step < self.settings.critic_warmup
        seen = {
            "loss/policy": loss.detach(),
            "policy/clip_ratio": clipped,
            "policy/entropy": entropies.detach(),
            "policy/approx_kl": k3(inputs["old_per_token_logps"], log_probs.detach()),
        }
        self._record_update(seen, mask, inputs["num_items_in_batch"] / self.args.steps_per_generation)
        return total * 0.0 if warming_up else total

    def _record_update(self, seen: dict[str, Tensor], mask: Tensor, tokens: Tensor) -> None:
        """Sums over the tokens of all processes, by a micro-batch's mean ``tokens``: trl's mean of them is exact."""
        sums = torch.stack([masked_sum(values, mask) for values in seen.values()])
        for name, total in zip(seen, self.accelerator.reduce(sums, reduction="sum").tolist(), strict=True):
            self._metrics["train"][name].append(total / max(float(tokens), 1.0))

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """The checkpoint, and the critic with its optimiser."""
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            save_critic(self.critic, self.critic_optimizer, self._checkpoint_folder(trial))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Inverse of `_save_checkpoint`; trl's counter of steps comes back with it."""
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            load_critic(self.critic, self.critic_optimizer, Path(checkpoint))


def _joined(batch: Batch) -> tuple[Tensor, Tensor, int]:
    """Prompt and completion as one (B, P + T) tensor, its mask, and T."""
    input_ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    attention_mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    return input_ids, attention_mask, int(batch["completion_ids"].shape[1])
