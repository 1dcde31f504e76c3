"""Settings of ``export``: smaller and merged copies of a policy."""

from typing import ClassVar, Literal

from pydantic import Field

from .base import StageConfig


class ExportConfig(StageConfig):
    """``export``: one way to a smaller policy, or an average of several, and how it is measured."""

    section: ClassVar[str] = "export"

    policy: str = Field("ppo", min_length=1, description="The run's policy (ppo, sft, grpo, rloo), or a policy folder.")
    quantize: Literal["int8", "nf4"] | None = Field(
        None, description="Weights in 8 bits (package torchao), or in 4 for GPUs (package bitsandbytes)."
    )
    prune: float | None = Field(None, gt=0, lt=1, description="Share of the neurons of each MLP to take out.")
    distill_into: Literal["tiny"] | None = Field(
        None, description="A tiny model that learns the titles the policy writes for the train items."
    )
    average: tuple[str, ...] = Field(
        (), description="Folders of policies whose weights are averaged with the policy's."
    )
    titles: int = Field(8, ge=1, description="Titles an item the policy writes, to distil or to recover with.")
    epochs: float = Field(4.0, gt=0, description="Passes of the tiny model over these titles.")
    recover: float = Field(
        0.0, ge=0, description="Passes of a pruned model over them, at a tenth of the learning rate; for large shares."
    )
    batch_size: int = Field(32, ge=1, description="Titles a step.")
    learning_rate: float | None = Field(
        None, gt=0, description="Peak learning rate; none: 2e-3 for a tiny model, 1e-4 for a pretrained one."
    )
    items: int = Field(200, ge=1, description="Train items to measure on; the export does not learn from them.")
    samples: int = Field(4, ge=1, description="Titles an item to measure with.")
