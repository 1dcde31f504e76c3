"""Interface from the pages to a run: the rules and the prediction of a wording, while somebody types it."""

from dataclasses import dataclass
from typing import Protocol

from reward.plain import Plain


@dataclass(frozen=True)
class Broken(Plain):
    """A rule that a title breaks: its kind and what broke it."""

    kind: str
    detail: str


@dataclass(frozen=True)
class Checked(Plain):
    """Results of a run's checks of a title.

    Parameters
    ----------
    broken
        Rules it breaks.
    lift, low, high, chance
        Predicted lift of the clicks over the current title with its 95% interval, and the chance of being better;
        None without a current title.
    support, relevance, fluency
        As in the output of ``generate``; None where that is not known.
    """

    broken: tuple[Broken, ...]
    lift: float | None
    low: float | None
    high: float | None
    chance: float | None
    support: float | None
    relevance: float | None
    fluency: float | None


class Checks(Protocol):
    """A run, as the pages need it."""

    def check(self, item_id: str, facts: dict[str, tuple[str, ...]], current: str | None, title: str) -> Checked:
        """Check ``title`` for an item with these fields."""
