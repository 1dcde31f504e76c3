"""One run of PPO, or of a rival: settings in, improved policy out. What trl's trainers need is put together here."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, RLOOConfig

from reward.items import Item
from rlopt.errors import PolicyError
from rlopt.policy.title_policy import TitlePolicy
from rlopt.training.adapters import AllocateRanks
from rlopt.training.arguments import TrainSettings, shared_arguments
from rlopt.training.callbacks import quiet
from rlopt.training.checkpoints import MarkComplete, train
from rlopt.training.early_stopping import EarlyStopping
from rlopt.training.example_order import training_order
from rlopt.training.rewards import MONITOR, TitleRewards

from .grpo_rloo import TitleGRPOTrainer, TitleRLOOTrainer
from .kl import kl_controller
from .trainer import PPOArguments, PPOTrainer

Algorithm = Literal["ppo", "grpo", "rloo"]


@dataclass(frozen=True, kw_only=True)
class PpoSettings(TrainSettings):
    """What `improve` needs to know; `rlopt.config.PpoConfig` documents the fields it shares with it.

    Parameters
    ----------
    train_trunk
        True gives the critic a trunk of its own, False a head on the frozen reference.
    vllm
        Who writes the rollouts: "off" transformers, else vLLM in this process ("colocate") or on a "server".
    """

    algorithm: Algorithm = "ppo"
    generations: int
    kl_coef: float
    kl_target: float | None
    gamma: float
    gae_lambda: float
    clip: float
    value_clip: float | None = None
    entropy_coef: float
    whiten: bool = True
    epochs: int
    minibatches: int = 1
    critic_learning_rate: float
    critic_epochs: int
    critic_warmup: int
    train_trunk: bool
    temperature: float
    vllm: Literal["off", "colocate", "server"] = "off"

    @property
    def updates_a_rollout(self) -> int:
        """Updates that learn from one batch of rollouts."""
        return self.epochs * self.minibatches


def improve(
    policy: TitlePolicy,
    reference_folder: Path,
    items: Sequence[Item],
    rewards: TitleRewards,
    settings: PpoSettings,
    checkpoints: Path,
    callbacks: Sequence[TrainerCallback] = (),
    stopping: EarlyStopping | None = None,
) -> TitlePolicy:
    """``policy`` after learning from ``rewards`` on ``items``.

    Parameters
    ----------
    policy
        The SFT policy; it is trained in place.
    reference_folder
        Where the SFT policy is saved: trl loads the frozen reference from there.
    items
        What to write titles for; the ``item_index`` that reward functions get points into it.
    checkpoints
        An interrupted run goes on from the newest whole checkpoint here, and ends with the same weights as an
        uninterrupted one.
    stopping
        Ends the training past the monitor's peak; the policy returned is then that of the peak.

    Raises
    ------
    PolicyError
        When a step cannot be shared out as the settings ask, something asked for is not installed, or the training
        breaks down.
    """
    if settings.vllm != "off" and policy.slot_mask is not None:
        raise PolicyError(
            f"--vllm {settings.vllm} is for pretrained models (--model): the tiny policy writes slots under a mask "
            "that vLLM does not know. Leave --vllm out."
        )
    policy.model.config._name_or_path = str(reference_folder)
    functions = rewards.functions()
    parts: dict[str, Any] = {
        "model": policy.model,
        "reward_funcs": functions,
        "args": _arguments(settings, policy, checkpoints, [float(f.__name__ != MONITOR) for f in functions]),
        "train_dataset": _prompts(policy, items, settings),
        "processing_class": policy.tokenizer,
        "callbacks": [*callbacks, *([stopping] if stopping else []), AllocateRanks(), MarkComplete()],
        "peft_config": settings.adapters,  # trl wraps the model, and takes it without its adapters as the reference
    }
    trainer: Any
    if settings.algorithm == "ppo":
        trainer = PPOTrainer(**parts, score_so_far=rewards.so_far)
    else:
        trainer = {"grpo": TitleGRPOTrainer, "rloo": TitleRLOOTrainer}[settings.algorithm](**parts)
        trainer.kl_controller = kl_controller(settings.kl_coef, settings.kl_target)
    trainer.slot_mask = policy.slot_mask
    prompts = [policy.renderer.prompt(item) for item in items]
    trainer.prompt_ids = dict(zip(prompts, policy.prompt_ids(items), strict=True))
    quiet(trainer)
    return TitlePolicy(
        train(trainer, checkpoints, stopping), policy.tokenizer, policy.renderer, policy.max_title_tokens
    )


def _prompts(policy: TitlePolicy, items: Sequence[Item], settings: PpoSettings) -> Dataset:
    """Prompts in the order they are used; ``item_index`` says whose they are."""
    rows = Dataset.from_dict(
        {"prompt": [policy.renderer.prompt(item) for item in items], "item_index": list(range(len(items)))}
    )
    rollouts = -(-settings.steps // settings.updates_a_rollout)
    prompts_a_rollout = settings.minibatches * settings.batch_size // settings.generations
    return rows.select(training_order(len(items), rollouts, prompts_a_rollout, settings.seed))


def _arguments(settings: PpoSettings, policy: TitlePolicy, checkpoints: Path, weights: list[float]) -> Any:
    """Arguments of the trainer of ``settings.algorithm``; ``weights`` of the reward functions."""
    _check(settings)
    shared = shared_arguments(settings, checkpoints, multiple=settings.updates_a_rollout)
    values: dict[str, Any] = {
        **shared,
        "num_generations": settings.generations,
        "num_iterations": settings.epochs,
        "steps_per_generation": settings.minibatches * shared["gradient_accumulation_steps"],
        "max_completion_length": policy.max_title_tokens,
        "temperature": settings.temperature,
        "top_k": 0,
        "lr_scheduler_type": "linear",
        "max_grad_norm": 1.0,
        "epsilon": settings.clip,
        "shuffle_dataset": False,
        "disable_dropout": True,
        "reward_weights": weights,
        "use_vllm": settings.vllm != "off",
        "vllm_mode": "colocate" if settings.vllm == "off" else settings.vllm,
    }
    if settings.algorithm == "grpo":
        return GRPOConfig(**values, beta=settings.kl_coef, entropy_coef=settings.entropy_coef)
    if settings.algorithm == "rloo":
        return RLOOConfig(**values, beta=settings.kl_coef)
    return PPOArguments(
        **values,
        beta=1.0,  # any positive number: trl then keeps the reference; the penalty is kl_coef
        entropy_coef=settings.entropy_coef,
        kl_coef=settings.kl_coef,
        kl_target=settings.kl_target,
        gamma=settings.gamma,
        gae_lambda=settings.gae_lambda,
        whiten_advantages=settings.whiten,
        value_clip=settings.value_clip,
        critic_train_trunk=settings.train_trunk,
        critic_learning_rate=settings.critic_learning_rate,
        critic_epochs=settings.critic_epochs,
        critic_warmup_steps=settings.critic_warmup,
    )


def _check(settings: PpoSettings) -> None:
    if settings.batch_size % settings.generations:
        raise PolicyError(
            f"A batch of {settings.batch_size} titles cannot hold whole groups of {settings.generations} titles an "
            "item. Set --batch-size to a multiple of --generations."
        )
    if settings.algorithm == "ppo" and settings.generations == 1 and settings.minibatches * settings.batch_size % 2:
        raise PolicyError(
            f"A rollout must hold an even number of titles. Got {settings.minibatches} batches of "
            f"{settings.batch_size}. Set an even --batch-size."
        )
    if settings.algorithm != "ppo" and settings.generations < 2:
        raise PolicyError(
            f"{settings.algorithm.upper()} compares titles of one item with each other and needs at least 2 of them. "
            f"Got --generations {settings.generations}."
        )
    if settings.vllm != "off" and importlib.util.find_spec("vllm") is None:
        raise PolicyError(
            f"--vllm {settings.vllm} needs the package vllm, which is not installed: pip install vllm (on a machine "
            "with a GPU), or leave --vllm out."
        )
