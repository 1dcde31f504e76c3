"""Settings of ``explore``."""

from typing import ClassVar

from .base import StageConfig, setting


class ExploreConfig(StageConfig):
    """``explore``: which titles to show next, and how often."""

    section: ClassVar[str] = "explore"

    budget: float | None = setting(
        None, "Most impressions to spend on exploring, over all items.", none="no limit", metavar="N", gt=0
    )
    loss: float = setting(
        0.01, "Most clicks that exploring may be expected to cost, as a share of all items' clicks.", ge=0, le=1
    )
    span: float = setting(1.0, "How long you explore; 1 is as long as the run's logs.", metavar="LENGTHS", gt=0, le=100)
    afterwards: float = setting(
        3.0,
        "How long you then show the title found best; 1 is as long as the run's logs. The longer, "
        "the more exploring pays.",
        metavar="LENGTHS",
        ge=0,
        le=1000,
    )
    batches: int = setting(10, "How often you re-plan while exploring (--continue).", metavar="N", ge=1, le=1000)
    floor: float = setting(
        0.005, "Smallest probability of a title that is explored; more teaches more about weak titles.", gt=0, le=0.5
    )
    stop: float = setting(
        0.005,
        "Stop exploring an item when its best title is expected to lose less than this share of clicks.",
        ge=0,
        lt=1,
    )
    half_life: float | None = setting(
        None,
        "Batches after which results count half, if tastes change.",
        none="they do not age",
        metavar="BATCHES",
        gt=0,
    )
