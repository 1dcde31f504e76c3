"""Answers of the service: the documentation and the responses use the same keys."""

from typing import Literal

from pydantic import BaseModel, Field

Far = Literal["", "wording", "item", "item wording"]


class ScoredTitle(BaseModel):
    """The columns of ``rlopt score``, with 95% intervals."""

    title: str
    p_click: float = Field(description="Chance of a click on an impression.")
    p_conversion: float | None = Field(description="Chance of a conversion given a click; null where none were logged.")
    reward: float = Field(description="Expected value of an impression.")
    reward_std: float
    reward_low: float = Field(description="Lower end of the reward's 95% interval, 0 at least.")
    reward_high: float
    support: float = Field(description="1: like logged titles; below 0.5: unlike any of them.")
    lift: float | None = Field(
        description="Lift of clicks over the item's titles in the request; null for a single one."
    )
    lift_std: float | None
    lift_low: float | None
    lift_high: float | None
    far: Far = Field(description="Wording or item that is far from the logs; predictions for it are guesses.")


class ScoredItem(BaseModel):
    """An item with its titles, in the order of the request."""

    item_id: str
    known: bool = Field(description="True if the item is in the run's logs.")
    titles: list[ScoredTitle]


class ScoreAnswer(BaseModel):
    """Scores, and what to know before they are trusted."""

    version: str = Field(description="Of the run that answered: it changes when a newer one takes over.")
    warnings: list[str]
    items: list[ScoredItem]


class WrittenTitle(BaseModel):
    """A row of ``rlopt generate``."""

    title: str | None = Field(description="Null where no sound title was found.")
    log_prob: float | None = Field(description="Nats under the policy.")
    finished: bool
    reward: float | None
    reward_std: float | None
    support: float | None
    relevance: float | None
    fluency: float | None
    kept: bool = Field(description="True if this is the item's current title.")
    reason: str | None = Field(description="Why the current title was kept, or why there is none.")
    report: str | None = Field(description="Rules that are broken, or what was refused.")
    current_title: str | None
    item_version: str


class WrittenItem(BaseModel):
    """An item with its titles, the best first."""

    item_id: str
    titles: list[WrittenTitle]


class GenerateAnswer(BaseModel):
    """Titles under the run's rules."""

    version: str
    policy: str
    warnings: list[str]
    items: list[WrittenItem]


class Assigned(BaseModel):
    """The title of an item for a unit, with what an analysis needs."""

    item_id: str
    unit: str | None
    title: str
    arm: str | None = Field(description="Of the A/B plan; null without one.")
    probability: float = Field(description="Chance that a unit like this gets this title for this item.")
    table: str = Field(description="Version of the table and plan it is from.")


class Health(BaseModel):
    """The process lives, or takes requests."""

    status: Literal["ok", "ready"]
    version: str


class ProblemError(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str = Field(description="Where, as a JSON pointer or the name of a parameter.")
    detail: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[ProblemError] | None = None
