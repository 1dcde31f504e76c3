"""Result of a training by ``rlopt sft``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reward.plain import JsonObject, Plain
from rlopt.policy.sound_targets import Pairs
from rlopt.stages.common.trainings import LAST_STEPS


@dataclass(frozen=True)
class SftResult(Plain):
    """Outcome of the supervised training.

    Parameters
    ----------
    parameters, learned
        Weights of the policy, and how many of them (or of its adapters) were trained.
    titles, items
        Number of titles and items it learned from.
    steps
        Steps it took; ``kept_step`` is the one whose weights were kept.
    loss, held_out_loss
        Mean over the last steps, and on held-out titles at ``kept_step``; None without any.
    """

    folder: Path
    parameters: int
    learned: int
    titles: int
    items: int
    steps: int
    kept_step: int
    loss: float | None
    held_out_loss: float | None

    @classmethod
    def measured(
        cls, folder: Path, parameters: int, learned: int, pairs: Pairs, rows: Sequence[JsonObject]
    ) -> "SftResult":
        """The result of a training on ``pairs``: its figures from ``rows``, the metrics of its steps."""
        steps = max((row["step"] for row in rows), default=0)
        looks = [(row["eval_loss"], row["step"]) for row in rows if "eval_loss" in row]
        best = min(looks) if looks else None
        kept = best[1] if best else steps
        losses = [row["loss"] for row in rows if "loss" in row and row["step"] <= kept][-LAST_STEPS:]
        return cls(
            folder,
            parameters,
            learned,
            len(pairs),
            len({item.item_id for item, _ in pairs}),
            steps,
            kept,
            float(np.mean(losses)) if losses else None,
            best[0] if best else None,
        )
