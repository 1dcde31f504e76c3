"""Checkpoints one can trust: whole or not there, and the same weights whether a run was interrupted or not."""

import shutil
import warnings
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from .early_stopping import EarlyStopping

COMPLETE = "COMPLETE"


class MarkComplete(TrainerCallback):
    """Marks a checkpoint as whole once everything in it is written: a killed process leaves none with the mark."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Called by transformers after the checkpoint folder is written."""
        if state.is_world_process_zero:
            (Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}" / COMPLETE).touch()


def newest_checkpoint(folder: Path) -> Path | None:
    """The latest whole checkpoint in ``folder``, None without one; half-written ones are removed."""
    whole: list[tuple[int, Path]] = []
    for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        if (path / COMPLETE).exists():
            whole.append((int(path.name.rsplit("-", 1)[1]), path))
        else:
            shutil.rmtree(path, ignore_errors=True)
    return max(whole)[1] if whole else None


def step_of(checkpoint: Path | None) -> int:
    """Number of the step a checkpoint was made after; 0 for None."""
    return 0 if checkpoint is None else int(checkpoint.name.rsplit("-", 1)[1])


def train(trainer: Any, checkpoints: Path, stopping: EarlyStopping | None = None) -> PreTrainedModel:
    """Train from the newest whole checkpoint, or from the start; adapters are merged into the model returned.

    If ``stopping`` says that the monitor has fallen since its peak, the model is that of the peak's checkpoint.
    """
    resume = newest_checkpoint(checkpoints)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(pin_memory|gradient_checkpointing).*")
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    if stopping is not None and stopping.has_fallen:
        trainer._load_best_model()
    trainer.accelerator.wait_for_everyone()  # the first process removes the checkpoints
    trained = trainer.accelerator.unwrap_model(trainer.model)
    merged: PreTrainedModel = _merged(trained) if isinstance(trained, PeftModel) else trained
    # trl hangs its fused head on the instance as another ``forward``; without it the class's own serves again.
    merged.__dict__.pop("forward", None)
    return merged


def _merged(trained: Any) -> PreTrainedModel:
    """The model with its adapters merged; a prefix, which cannot be, is left to who asked for it."""
    prompt_learning = trained.active_peft_config.is_prompt_learning
    merged: PreTrainedModel = trained.get_base_model() if prompt_learning else trained.merge_and_unload()
    return merged
