"""Supervised fine-tuning through trl's SFTTrainer: the model learns to write the titles that people wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel, TrainerCallback
from trl import SFTConfig as SFTArguments
from trl import SFTTrainer

from reward.items import Item
from rlopt.policy.title_policy import TitlePolicy

from .callbacks import quiet
from .checkpoints import MarkComplete, train
from .order import training_order


@dataclass(frozen=True)
class SftSettings:
    """What `fine_tune` needs to know.

    Parameters
    ----------
    steps
        Optimiser steps.
    batch_size
        Titles a step.
    micro_batch_size
        Titles that go through the model at once; gradients accumulate over the rest.
    learning_rate
        Peak rate; 5 % warm-up, then a cosine to zero.
    lora_rank
        Rank of LoRA adapters on all linear layers, merged into the weights at the end; None trains all weights.
    save_every
        Steps between checkpoints.
    report_to
        Trackers beside the JSON lines.
    """

    steps: int
    batch_size: int
    micro_batch_size: int
    learning_rate: float
    lora_rank: int | None
    save_every: int
    seed: int
    report_to: tuple[str, ...] = ()


def fine_tune(
    policy: TitlePolicy,
    pairs: Sequence[tuple[Item, str]],
    settings: SftSettings,
    checkpoints: Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> TitlePolicy:
    """``policy`` after learning ``pairs`` of item and title; loss on the title alone.

    A run that was interrupted goes on from the newest whole checkpoint in ``checkpoints`` and ends with the same
    weights as one that was not.
    """
    model = _with_lora(policy.model, settings) if settings.lora_rank is not None else policy.model
    trainer = SFTTrainer(
        model=model,
        args=_arguments(settings, checkpoints),
        train_dataset=_in_order(tokenised(policy, pairs), settings),
        processing_class=policy.tokenizer,
        callbacks=[*callbacks, MarkComplete()],
    )
    quiet(trainer)
    return TitlePolicy(train(trainer, checkpoints), policy.tokenizer, policy.renderer, policy.max_title_tokens)


def tokenised(policy: TitlePolicy, pairs: Sequence[tuple[Item, str]]) -> Dataset:
    """One row a pair: input_ids of prompt and title, labels with the prompt left out (-100)."""
    prompts = policy.prompt_ids([item for item, _ in pairs])
    targets = [policy.target_ids(item, title) for item, title in pairs]
    return Dataset.from_dict(
        {
            "input_ids": [[*prompt, *target] for prompt, target in zip(prompts, targets, strict=True)],
            "labels": [[-100] * len(prompt) + target for prompt, target in zip(prompts, targets, strict=True)],
        }
    )


def _in_order(rows: Dataset, settings: SftSettings) -> Dataset:
    lengths = [len(ids) for ids in rows["input_ids"]]
    return rows.select(training_order(len(rows), settings.steps, settings.batch_size, settings.seed, lengths))


def lora(rank: int) -> LoraConfig:
    """LoRA on every linear layer (Hu et al. 2021), scaled so that the rank does not change the step size."""
    return LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")


def _with_lora(model: PreTrainedModel, settings: SftSettings) -> PeftModel:
    torch.manual_seed(settings.seed)  # the adapters start at random
    return get_peft_model(model, lora(settings.lora_rank or 0))


def _arguments(settings: SftSettings, checkpoints: Path) -> SFTArguments:
    return SFTArguments(
        output_dir=str(checkpoints),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.micro_batch_size,
        gradient_accumulation_steps=max(1, settings.batch_size // settings.micro_batch_size),
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, settings.steps // 20),
        weight_decay=0.01,
        train_sampling_strategy="sequential",
        seed=settings.seed,
        logging_steps=1,
        save_steps=settings.save_every,
        save_total_limit=2,
        report_to=list(settings.report_to) or "none",
        disable_tqdm=True,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        bf16=torch.cuda.is_available(),
        gradient_checkpointing=torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
    )
