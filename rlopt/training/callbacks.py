"""What every training has in common: metrics as JSON lines, a progress bar, checkpoints one can trust."""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from rlopt.files import JsonlWriter
from rlopt.progress import Bar

COMPLETE = "COMPLETE"


class JsonLines(TrainerCallback):
    """Writes each step's numbers to a JSON-lines file and shows the most telling ones beside the bar.

    Parameters
    ----------
    writer
        Where the lines go.
    bar
        Moves one a step.
    shown
        Metric name -> short label for the bar.
    """

    def __init__(self, writer: JsonlWriter, bar: Bar, shown: Mapping[str, str]) -> None:
        self.writer, self.bar, self.shown = writer, bar, shown

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """One line a step; the summary that transformers logs at the end is no step."""
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        numbers = {k: v for k, v in logs.items() if isinstance(v, (int, float)) and math.isfinite(v)}
        self.writer.write({"step": state.global_step, **numbers})
        self.bar.set(state.global_step, **{label: numbers[k] for k, label in self.shown.items() if k in numbers})


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


def quiet(trainer: Any) -> None:
    """Take away the callbacks that print to stdout, which belongs to the command's result."""
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
