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
        None, "Store weights in 8 bits (extra [int8]), or in 4 for GPUs (extra [nf4])."
    )
    prune: float | None = setting(
        None, "Remove this share of the neurons of each MLP, such as 0.5.", metavar="SHARE", gt=0, lt=1
    )
    distill_into: Literal["tiny"] | None = setting(
        None, "Train a tiny model on titles that the policy writes for the train items."
    )
    average: tuple[str, ...] = setting(
        (),
        "Folder of a policy whose weights to average with; both must have started from the same model.",
        metavar="FOLDER",
    )
    titles: int = setting(
        8, "With --distill-into or --recover: titles per item that the policy writes to learn from.", ge=1
    )
    epochs: float = setting(4.0, "With --distill-into: passes of the tiny model over these titles.", gt=0)
    recover: float = setting(
        0.0,
        "With --prune: passes over such titles afterwards, at a tenth of the learning rate, if much was removed.",
        metavar="EPOCHS",
        ge=0,
    )
    batch_size: int = setting(32, "Titles per step; less memory with fewer.", ge=1)
    learning_rate: float | None = setting(
        None, "Peak learning rate.", none="2e-3 for a tiny model, 1e-4 for a pretrained one", gt=0
    )
    items: int = setting(
        200, "Train items on which to compare before and after; the export does not learn from them.", ge=1
    )
    samples: int = setting(4, "Titles per item for this comparison.", ge=1)
