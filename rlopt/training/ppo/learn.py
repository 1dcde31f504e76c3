"""One PPO run: settings in, improved policy out. What trl's trainer needs is put together here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from datasets import Dataset
from peft import PeftModel, get_peft_model
from transformers import PreTrainedModel, TrainerCallback

from reward.items import Item
from rlopt.policy.title_policy import TitlePolicy
from rlopt.training.callbacks import quiet
from rlopt.training.checkpoints import MarkComplete, train
from rlopt.training.order import training_order
from rlopt.training.rewards import TitleRewards
from rlopt.training.sft import lora

from .trainer import PPOArguments, PPOTrainer


@dataclass(frozen=True)
class PpoSettings:
    """What `improve` needs to know; `rlopt.config.PpoConfig` documents the fields it shares with it.

    Parameters
    ----------
    micro_batch_size
        Titles that go through the model at once in an update; gradients accumulate over the rest.
    train_trunk
        True gives the critic a trunk of its own, False a head on the frozen reference.
    lora_rank
        Rank of LoRA adapters, merged into the weights at the end; None trains all weights.
    """

    steps: int
    batch_size: int
    micro_batch_size: int
    generations: int
    learning_rate: float
    kl_coef: float
    kl_target: float | None
    gamma: float
    gae_lambda: float
    clip: float
    entropy_coef: float
    epochs: int
    critic_learning_rate: float
    critic_epochs: int
    critic_warmup: int
    train_trunk: bool
    lora_rank: int | None
    temperature: float
    save_every: int
    seed: int
    report_to: tuple[str, ...] = ()


def improve(
    policy: TitlePolicy,
    reference_folder: Path,
    items: Sequence[Item],
    rewards: TitleRewards,
    settings: PpoSettings,
    checkpoints: Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> TitlePolicy:
    """``policy`` after PPO against ``rewards`` on ``items``.

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
    """
    model: PreTrainedModel | PeftModel = policy.model
    model.config._name_or_path = str(reference_folder)
    if settings.lora_rank is not None:
        torch.manual_seed(settings.seed)  # the adapters start at random
        model = get_peft_model(model, lora(settings.lora_rank))
    trainer = PPOTrainer(
        model=model,
        reward_funcs=rewards.functions(),
        args=_arguments(settings, policy, checkpoints),
        train_dataset=_prompts(policy, items, settings),
        processing_class=policy.tokenizer,
        callbacks=[*callbacks, MarkComplete()],
        score_so_far=rewards.so_far,
    )
    quiet(trainer)
    return TitlePolicy(train(trainer, checkpoints), policy.tokenizer, policy.renderer, policy.max_title_tokens)


def _prompts(policy: TitlePolicy, items: Sequence[Item], settings: PpoSettings) -> Dataset:
    """Prompts in the order they are used; ``item_index`` says whose they are."""
    rows = Dataset.from_dict(
        {"prompt": [policy.renderer.prompt(item) for item in items], "item_index": list(range(len(items)))}
    )
    rollouts = -(-settings.steps // settings.epochs)
    prompts_a_rollout = settings.batch_size // settings.generations
    return rows.select(training_order(len(items), rollouts, prompts_a_rollout, settings.seed))


def _arguments(settings: PpoSettings, policy: TitlePolicy, checkpoints: Path) -> PPOArguments:
    on_gpu = torch.cuda.is_available()
    return PPOArguments(
        output_dir=str(checkpoints),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.micro_batch_size,
        gradient_accumulation_steps=max(1, settings.batch_size // settings.micro_batch_size),
        num_generations=settings.generations,
        num_iterations=settings.epochs,
        max_completion_length=policy.max_title_tokens,
        temperature=settings.temperature,
        top_k=0,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        beta=1.0,  # any positive number: trl then keeps the reference; the penalty is kl_coef
        epsilon=settings.clip,
        entropy_coef=settings.entropy_coef,
        kl_coef=settings.kl_coef,
        kl_target=settings.kl_target,
        gamma=settings.gamma,
        gae_lambda=settings.gae_lambda,
        critic_train_trunk=settings.train_trunk,
        critic_learning_rate=settings.critic_learning_rate,
        critic_epochs=settings.critic_epochs,
        critic_warmup_steps=settings.critic_warmup,
        shuffle_dataset=False,
        seed=settings.seed,
        logging_steps=1,
        save_steps=settings.save_every,
        save_total_limit=2,
        report_to=list(settings.report_to) or "none",
        disable_tqdm=True,
        disable_dropout=True,
        bf16=on_gpu,
        gradient_checkpointing=on_gpu,
        dataloader_pin_memory=on_gpu,
    )
