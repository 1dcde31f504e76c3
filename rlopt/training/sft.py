"""Supervised fine-tuning through trl's SFTTrainer: the model learns to write the titles that people wrote."""

from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset
from transformers import TrainerCallback
from trl import SFTConfig as SFTArguments
from trl import SFTTrainer

from reward.items import Item
from rlopt.policy.title_policy import TitlePolicy

from .adapters import AllocateRanks
from .arguments import TrainSettings, shared_arguments
from .callbacks import quiet
from .checkpoints import MarkComplete, train
from .order import training_order


def fine_tune(
    policy: TitlePolicy,
    pairs: Sequence[tuple[Item, str]],
    settings: TrainSettings,
    checkpoints: Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> TitlePolicy:
    """``policy`` after learning ``pairs`` of item and title; loss on the title alone.

    The learning rate warms up over 5 % of the steps, then falls to zero along a cosine. A run that was interrupted
    goes on from the newest whole checkpoint in ``checkpoints`` and ends with the same weights as one that was not.
    """
    trainer = SFTTrainer(
        model=policy.model,
        args=_arguments(settings, checkpoints),
        train_dataset=_in_order(tokenised(policy, pairs), settings),
        processing_class=policy.tokenizer,
        callbacks=[*callbacks, AllocateRanks(), MarkComplete()],
        peft_config=settings.adapters,
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


def _in_order(rows: Dataset, settings: TrainSettings) -> Dataset:
    lengths = [len(ids) for ids in rows["input_ids"]]
    return rows.select(training_order(len(rows), settings.steps, settings.batch_size, settings.seed, lengths))


def _arguments(settings: TrainSettings, checkpoints: Path) -> SFTArguments:
    return SFTArguments(
        **shared_arguments(settings, checkpoints),
        lr_scheduler_type="cosine",
        warmup_steps=max(1, settings.steps // 20),
        weight_decay=0.01,
        train_sampling_strategy="sequential",
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
