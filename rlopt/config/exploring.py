"""Settings of ``explore``."""

from typing import ClassVar

from .base import StageConfig, setting


class ExploreConfig(StageConfig):
    """``explore``: which titles to show next, and how often."""

    section: ClassVar[str] = "explore"

    budget: float | None = setting(
        None, "Impressions to explore with, over all items.", none="no bound", metavar="N", gt=0
    )
    loss: float = setting(
        0.01, "Most clicks that exploring is expected to cost, as a share of all items' clicks.", ge=0, le=1
    )
    span: float = setting(1.0, "How long you explore, in lengths of the run's logs.", metavar="LENGTHS", gt=0, le=100)
    afterwards: float = setting(
        3.0,
        "How long the title found best is then shown, in lengths of the run's logs: the longer, the more exploring is "
        "worth.",
        metavar="LENGTHS",
        ge=0,
        le=1000,
    )
    batches: int = setting(10, "How often you re-plan in that time (--continue).", metavar="N", ge=1, le=1000)
    floor: float = setting(0.005, "Least probability of a title that is explored.", gt=0, le=0.5)
    stop: float = setting(
        0.005, "An item is decided when the expected loss of its best title is below this share.", ge=0, lt=1
    )
    half_life: float | None = setting(
        None, "Batches after which results count half.", none="they do not age", metavar="BATCHES", gt=0
    )
