"""A trainer that is held to the SFT policy: it knows its KL to it, and a controller that acts on it.

The KL is the one of the reports (`rlopt.policy.scoring.token_kl`): divergences of whole distributions, summed along the
titles of an update. For that the reference's distributions stay beside a rollout until it is learned from: 4 bytes for
each token of the vocabulary at each place of its titles.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from rlopt.training.batches import Batch

from .kl import kl_controller
from .settings import PpoSettings

STATE_FILE = "kl.json"
REFERENCE = "ref_log_softmax"


class HeldToReference:
    """Mixin before `TitleRollouts`; the first argument of its trainers are the settings, of which it takes the penalty.

    Without a reference (``beta`` 0) the KL is not known and nothing is controlled.
    """

    _seen: Tensor | None = None  # of an update: nats, tokens, titles

    # Of the classes this is mixed in with.
    accelerator: Any
    beta: float
    keeps_distributions: bool
    _metrics: Any
    _rolled_out: Tensor | None
    _reference: Tensor | None
    _divergence: Tensor | None

    def __init__(self, settings: PpoSettings, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = settings
        self.kl_controller = kl_controller(settings.config.kl_coef, settings.config.kl_target)

    def _generate_and_score_completions(self, inputs: Any) -> Batch:
        """The rollout, and what the reference would have written in it: the last thing that trl computes there."""
        self.keeps_distributions = self.beta != 0.0
        batch: Batch = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        self.keeps_distributions = False
        batch[REFERENCE], self._rolled_out = self._rolled_out, None
        return batch

    def compute_loss(self, model: Any, inputs: Batch, *args: Any, **kwargs: Any) -> Tensor:
        """The trainer's loss; on the way the KL of the titles it learns from is counted."""
        self._reference = inputs.get(REFERENCE)
        loss: Tensor = super().compute_loss(model, inputs, *args, **kwargs)  # type: ignore[misc]
        divergence, self._reference, self._divergence = self._divergence, None, None
        if divergence is not None:
            mask = inputs["completion_mask"]
            sums = torch.stack([divergence.sum(), mask.sum(), mask.new_tensor(len(mask))]).double()
            self._seen = sums if self._seen is None else self._seen + sums
        return loss

    def _end_window(self) -> None:
        """After each update: its KL in nats per title and a token, over all processes, and a step of the controller."""
        super()._end_window()  # type: ignore[misc]
        seen, self._seen = self._seen, None
        if seen is None:
            return
        nats, tokens, titles = self.accelerator.reduce(seen, reduction="sum").tolist()
        metrics = self._metrics["train"]
        metrics["objective/kl"].append(nats / titles)
        metrics["objective/kl_per_token"].append(nats / max(tokens, 1.0))
        metrics["objective/kl_coef"].append(self.kl_controller.coefficient)
        self.kl_controller.update(nats / titles)

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
