"""The trainer settings that all trainings share, written once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from rlopt import processes, threads
from rlopt.errors import PolicyError
from rlopt.training.trackers import check_trackers

MICRO_BATCH = 8  # titles that go through a large model at once


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of any training, those of the user and of the machine taken together; `train_settings` makes it.

    Parameters
    ----------
    steps
        Optimiser steps.
    batch_size
        Titles a step, over all processes.
    micro_batch_size
        Titles that go through the model at once in one process; gradients accumulate over the rest.
    learning_rate
        Peak rate.
    adapters
        PEFT's configuration, merged into the weights at the end; None trains all weights.
    save_every
        Steps between checkpoints.
    bf16
        Compute in bfloat16.
    gradient_checkpointing
        Compute activations again in the backward pass instead of keeping them: slower, less memory.
    report_to
        Trackers beside the JSON lines.
    """

    steps: int
    batch_size: int
    micro_batch_size: int
    learning_rate: float
    save_every: int
    seed: int
    adapters: Any
    bf16: bool
    gradient_checkpointing: bool
    report_to: tuple[str, ...]


def train_settings(
    model: PreTrainedModel,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    save_every: int,
    seed: int,
    adapters: Any = None,
    bf16: bool | None = None,
    gradient_checkpointing: bool | None = None,
    report_to: tuple[str, ...] = (),
) -> TrainSettings:
    """Settings for this ``model`` on this machine.

    Parameters
    ----------
    bf16
        None: on a GPU that can.
    gradient_checkpointing
        None: for large models on a GPU.
    """
    small = model.num_parameters() < threads.SMALL_MODEL
    if gradient_checkpointing is None:
        gradient_checkpointing = torch.cuda.is_available() and not small
    return TrainSettings(
        steps=steps,
        batch_size=batch_size,
        micro_batch_size=batch_size if small else MICRO_BATCH,
        learning_rate=learning_rate,
        save_every=save_every,
        seed=seed,
        adapters=adapters,
        bf16=_has_bf16() if bf16 is None else bf16,
        gradient_checkpointing=gradient_checkpointing,
        report_to=report_to,
    )


def shared_arguments(settings: TrainSettings, checkpoints: Path, multiple: int = 1) -> dict[str, Any]:
    """Arguments of transformers' trainer that do not depend on the method.

    Parameters
    ----------
    multiple
        Checkpoints are made after multiples of this many steps only (the passes over one rollout).

    Raises
    ------
    PolicyError
        If the batch cannot be shared out evenly, or a tracker is not installed.
    """
    micro, accumulation = share_out(settings.batch_size, settings.micro_batch_size, processes.count())
    return {
        "output_dir": str(checkpoints),
        "max_steps": settings.steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": accumulation,
        "learning_rate": settings.learning_rate,
        "seed": settings.seed,
        "logging_steps": 1,
        "save_steps": -(-settings.save_every // multiple) * multiple,
        "save_total_limit": 2,
        "report_to": check_trackers(settings.report_to) or "none",
        "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available() and processes.count() > 1,  # then the processes speak gloo
        "bf16": settings.bf16,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "ddp_find_unused_parameters": False,
    }


def share_out(batch_size: int, micro_batch_size: int, n_processes: int) -> tuple[int, int]:
    """(titles at once in a process, times a step), so that a step sees exactly ``batch_size`` titles.

    Raises
    ------
    PolicyError
        If the processes cannot get equal shares.
    """
    if batch_size % n_processes:
        raise PolicyError(
            f"A batch of {batch_size} titles cannot be shared evenly by {n_processes} processes. "
            f"Set --batch-size to a multiple of {n_processes}."
        )
    share = batch_size // n_processes
    micro = max(size for size in range(1, min(micro_batch_size, share) + 1) if share % size == 0)
    return micro, share // micro


def _has_bf16() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
