"""Settings of ``export``: smaller and merged copies of a policy."""

from typing import ClassVar, Literal

from rlopt.algorithms import DEFAULT

from .base import StageConfig, setting
from .writing import WHICH_POLICY


class ExportConfig(StageConfig):
    """``export``: one way to a smaller policy, or an average of several, and how it is measured."""

    section: ClassVar[str] = "export"

    policy: str = setting(DEFAULT.name, WHICH_POLICY, metavar="NAME", min_length=1)
    quantize: Literal["int8", "nf4"] | None = setting(
        None, "Weights in 8 bits (extra [int8]), or in 4 for GPUs (extra [nf4])."
    )
    prune: float | None = setting(None, "Take out this share of the neurons of each MLP.", metavar="SHARE", gt=0, lt=1)
    distill_into: Literal["tiny"] | None = setting(
        None, "Train a tiny model on titles that the policy writes for the train items."
    )
    average: tuple[str, ...] = setting((), "Folder of a policy to average with.", metavar="FOLDER")
    titles: int = setting(8, "Titles an item the policy writes, to distil or to recover with.", ge=1)
    epochs: float = setting(4.0, "Passes of the tiny model over these titles.", gt=0)
    recover: float = setting(
        0.0,
        "Passes of a pruned model over them, at a tenth of the learning rate; for large shares.",
        metavar="EPOCHS",
        ge=0,
    )
    batch_size: int = setting(32, "Titles a step.", ge=1)
    learning_rate: float | None = setting(
        None, "Peak learning rate.", none="2e-3 for a tiny model, 1e-4 for a pretrained one", gt=0
    )
    items: int = setting(200, "Train items to measure on; the export does not learn from them.", ge=1)
    samples: int = setting(4, "Titles an item to measure with.", ge=1)
