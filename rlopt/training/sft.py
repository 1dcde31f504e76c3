"""Supervised fine-tuning through trl's SFTTrainer: the model learns to write the titles that people wrote."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import (
    EarlyStoppingCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from trl import SFTConfig as SFTArguments

from reward.arrays import FloatArray
from reward.items import Item
from rlopt.config import SftConfig
from rlopt.policy.title_policy import TitlePolicy

from .adapters import AllocateRanks, with_adapters
from .arguments import TrainSettings, shared_arguments
from .callbacks import quiet
from .checkpoints import MarkComplete, train
from .example_order import training_order
from .prefixes import learned_prefix, start_from_text
from .title_loss import NO_LABEL, WEIGHT, TitleSFTTrainer

Pairs = Sequence[tuple[Item, str]]
SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
OPTIMIZERS = {"adamw": "adamw_torch_fused", "sgd": "sgd"}


class CountLearning(TrainerCallback):
    """Counts the weights that learn, once training begins."""

    def __init__(self) -> None:
        self.count = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        """Adapters are in place by now."""
        self.count = sum(p.numel() for p in model.parameters() if p.requires_grad)


def fine_tune(
    policy: TitlePolicy,
    pairs: Pairs,
    settings: TrainSettings,
    checkpoints: Path,
    callbacks: Sequence[TrainerCallback] = (),
    *,
    recipe: SftConfig | None = None,
    held_out: Pairs = (),
    weights: FloatArray | None = None,
) -> TitlePolicy:
    """``policy`` after learning ``pairs`` of item and title; loss on the title alone.

    Weights that do not learn must not require gradients (`rlopt.training.freezing`). A run that was interrupted goes
    on from the newest whole checkpoint in ``checkpoints`` and ends with the same weights as one that was not.

    Parameters
    ----------
    recipe
        Optimizer, schedule, weight decay and early stopping are taken from it.
    held_out
        Titles that are not learned; their loss is logged at each checkpoint (``eval_loss``).
    weights
        Weight of each of ``pairs`` in the loss, shape (n,); None: equal weights.
    """
    recipe = recipe or SftConfig()
    rows = tokenised(policy, pairs)
    if weights is not None:
        rows = rows.add_column(WEIGHT, [float(weight) for weight in weights])
    model: Any = policy.model
    if settings.adapters is not None:
        set_seed(settings.seed)  # fresh adapters are random
        model = with_adapters(policy.model, settings.adapters)
        if settings.adapters.is_prompt_learning:
            start_from_text(model, rows[0]["input_ids"])
    trainer = TitleSFTTrainer(
        slot_mask=policy.slot_mask,
        model=model,
        args=_arguments(settings, recipe, checkpoints, bool(held_out)),
        train_dataset=_in_order(rows, settings),
        eval_dataset=tokenised(policy, held_out) if held_out else None,
        processing_class=policy.tokenizer,
        callbacks=[*callbacks, *_stopping(recipe, bool(held_out)), AllocateRanks(), MarkComplete()],
    )
    quiet(trainer)
    trained = train(trainer, checkpoints)
    return TitlePolicy(
        trained,
        policy.tokenizer,
        policy.renderer,
        policy.max_title_tokens,
        learned_prefix(trainer.accelerator.unwrap_model(trainer.model)),
    )


def tokenised(policy: TitlePolicy, pairs: Pairs) -> Dataset:
    """One row a pair: input_ids of prompt and title, labels with the prompt left out (-100)."""
    prompts = policy.prompt_ids([item for item, _ in pairs])
    targets = [policy.target_ids(item, title) for item, title in pairs]
    return Dataset.from_dict(
        {
            "input_ids": [[*prompt, *target] for prompt, target in zip(prompts, targets, strict=True)],
            "labels": [[NO_LABEL] * len(prompt) + target for prompt, target in zip(prompts, targets, strict=True)],
        }
    )


def _in_order(rows: Dataset, settings: TrainSettings) -> Dataset:
    lengths = [len(ids) for ids in rows["input_ids"]]
    return rows.select(training_order(len(rows), settings.steps, settings.batch_size, settings.seed, lengths))


def _stopping(recipe: SftConfig, watched: bool) -> list[TrainerCallback]:
    return [EarlyStoppingCallback(recipe.early_stopping)] if recipe.early_stopping is not None and watched else []


def _arguments(settings: TrainSettings, recipe: SftConfig, checkpoints: Path, watched: bool) -> SFTArguments:
    values = {
        **shared_arguments(settings, checkpoints),
        "optim": OPTIMIZERS[recipe.optimizer],
        "lr_scheduler_type": SCHEDULES[recipe.schedule],
        "warmup_steps": max(1, settings.steps // 20),
        "weight_decay": recipe.weight_decay,
        "train_sampling_strategy": "sequential",
        "max_length": None,
        "dataset_kwargs": {"skip_prepare_dataset": True},
    }
    if watched:
        values |= {
            "eval_strategy": "steps",
            "eval_steps": settings.save_every,
            "per_device_eval_batch_size": values["per_device_train_batch_size"],
            "load_best_model_at_end": True,
            "metric_for_best_model": "eval_loss",
        }
    return SFTArguments(**values)
