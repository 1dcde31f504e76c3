"""Output of every training: metrics as JSON lines and a progress bar, and nothing on stdout."""

import math
from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from rlopt.files import JsonlWriter
from rlopt.progress import ProgressBar


class JsonLines(TrainerCallback):
    """Writes each step's numbers to a JSON-lines file and shows the most telling ones beside the bar.

    Parameters
    ----------
    writer
        Writer of the lines.
    bar
        Moves one a step.
    shown
        Metric name -> short label for the bar.
    """

    def __init__(self, writer: JsonlWriter, bar: ProgressBar, shown: Mapping[str, str]) -> None:
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


def quiet(trainer: Any) -> None:
    """Take away the callbacks that print to stdout, which belongs to the command's result."""
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
