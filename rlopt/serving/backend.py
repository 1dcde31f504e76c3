"""Interface from the service to a run; `rlopt.stages.serve` implements it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rlopt.serving.assignments import Assigner
from rlopt.serving.requests import GenerateRequest, ScoreRequest


class Models(Protocol):
    """The models of one version of a run. `score` is called in one thread, `generate` in another."""

    version: str
    policy: str
    cannot_generate: str

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, Any]]:
        """Answers (`rlopt.serving.answers.ScoreAnswer`), one a request."""

    def generate(self, request: GenerateRequest) -> dict[str, Any]:
        """The answer (`rlopt.serving.answers.GenerateAnswer`)."""


class Source(Protocol):
    """Source of models and tables. Methods are called in a thread of their own."""

    def newer(self, old: "Served") -> "Served | None":
        """Load the current state; None where it is unchanged, or not complete yet.

        Raises
        ------
        Exception
            If it is damaged: the service keeps the old state.
        """


@dataclass(frozen=True)
class Served:
    """All that answers requests, replaced as a whole.

    Parameters
    ----------
    models
        Of the run.
    assigner
        Hands out titles; None without a table.
    """

    models: Models
    assigner: Assigner | None
