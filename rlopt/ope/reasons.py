"""One line of a verdict."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "passed", "hold", "doubt", "note"]


@dataclass(frozen=True)
class Reason:
    """One line of the verdict.

    Parameters
    ----------
    topic
        Short name, stable for programs ("lift_over_logged").
    status
        "ok" speaks for launching, "hold" against it, "doubt" against believing any figure; "passed": a check that
        found nothing against it, which is no reason for it; "note" neither.
    message
        One sentence with figure and threshold.
    figure, threshold
        The same as numbers, None where there is none.
    """

    topic: str
    status: Status
    message: str
    figure: float | None = None
    threshold: float | None = None
