"""A trainer that is held to the SFT policy: its KL controller goes on where a checkpoint left it."""

import json
from pathlib import Path
from typing import Any

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from .kl import KLController

STATE_FILE = "kl.json"


class HeldToReference:
    """Mixin for trainers with a ``kl_controller``."""

    kl_controller: KLController

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """The trainer's checkpoint, and the coefficient."""
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        trainer: Any = self
        if trainer.args.should_save:
            state = json.dumps({"kl_coefficient": self.kl_controller.coefficient})
            (self._checkpoint_folder(trial) / STATE_FILE).write_text(state)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Inverse of `_save_checkpoint`."""
        super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
        if checkpoint is not None:
            state = json.loads((Path(checkpoint) / STATE_FILE).read_text())
            self.kl_controller.coefficient = float(state["kl_coefficient"])

    def _checkpoint_folder(self, trial: Any) -> Path:
        trainer: Any = self
        return Path(trainer._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{trainer.state.global_step}"
