"""Stops a training whose gain has become the reward model's own: a monitor on other items says so.

The optimised reward always rises. A second model, fitted on items that the first has not seen, rises with it as long
as titles get better, and falls when they only exploit what the first one gets wrong (Gao, Schulman and Hilton 2023,
"Scaling Laws for Reward Model Overoptimization"). It must never be the judge: what chooses the checkpoint would grade
itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from reward.plain import JsonObject
from rlopt import processes
from rlopt.progress import note

SHARE_OF_STEPS = 0.05
MIN_LOOKS = 5
CLEARLY = 3.0  # standard errors


@dataclass(frozen=True)
class Look:
    """Measurement of the monitor at one step: mean lift of the batch and its standard error."""

    step: int
    lift: float
    error: float


def smoothed(looks: Sequence[Look]) -> tuple[float, float]:
    """Mean of the looks and its standard error."""
    n = len(looks)
    return sum(look.lift for look in looks) / n, math.sqrt(sum(look.error**2 for look in looks)) / n


@dataclass
class EarlyStopping(TrainerCallback):
    """Remembers the checkpoint at which the monitor stood highest, and stops the training when it has clearly fallen.

    The monitor is smoothed over a window of `SHARE_OF_STEPS` of the training, at least `MIN_LOOKS` looks. "Clearly" is
    `CLEARLY` standard errors of the difference, at every look of a whole window.

    Parameters
    ----------
    steps
        Length of the training in steps.
    every
        Steps between two looks.
    n_titles
        Titles of one look.
    earlier
        Metrics of the steps before the checkpoint that training goes on from.
    """

    steps: int
    every: int
    n_titles: int
    earlier: Sequence[JsonObject] = ()
    looks: list[Look] = field(default_factory=list)
    best: tuple[int, float, float] | None = None
    below: int = 0

    def __post_init__(self) -> None:
        """The window in looks."""
        self.window = max(MIN_LOOKS, round(SHARE_OF_STEPS * self.steps / self.every))

    @property
    def has_fallen(self) -> bool:
        """True where the monitor now stands clearly below its best checkpoint."""
        if self.best is None or len(self.looks) < self.window or self.looks[-1].step <= self.best[0]:
            return False
        lift, error = smoothed(self.looks[-self.window :])
        _, peak, peak_error = self.best
        return peak - lift > CLEARLY * math.hypot(error, peak_error)

    @property
    def kept_step(self) -> int:
        """Step of the policy to keep: the peak's where the monitor has fallen, else the last one."""
        return self.best[0] if self.best is not None and self.has_fallen else self.steps

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """See again what was seen before an interruption."""
        for row in self.earlier:
            if row["step"] > state.global_step:
                break
            self._look(row)
            if row["step"] % int(args.save_steps) == 0:
                self._keep(row["step"], args, state)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Take in a look."""
        if not self._look({**(logs or {}), "step": state.global_step}):
            return
        if self.below >= self.window:
            control.should_training_stop = True
            if processes.is_first() and self.best is not None:
                note(
                    f"Step {state.global_step}: the monitor has fallen clearly below its peak: stopped. "
                    f"The policy of step {self.best[0]} is kept."
                )

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Mark this checkpoint if it is the best so far: transformers then keeps it."""
        self._keep(state.global_step, args, state)

    def _look(self, row: JsonObject) -> bool:
        """Take in a step's metrics; True where they hold a look of the monitor."""
        lift, std = row.get("monitor/lift"), row.get("monitor/std")
        if lift is None or std is None:
            return False
        self.looks.append(Look(row["step"], float(lift), float(std) / math.sqrt(self.n_titles)))
        self.below = self.below + 1 if self.has_fallen else 0
        return True

    def _keep(self, step: int, args: TrainingArguments, state: TrainerState) -> None:
        folder = Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{step}"
        if len(self.looks) < self.window or not folder.exists():
            return
        lift, error = smoothed(self.looks[-self.window :])
        if self.best is None or lift > self.best[1]:
            self.best = (step, lift, error)
            state.best_metric, state.best_model_checkpoint = lift, str(folder)
