"""Metrics of an A/B test as a user names them: counts, amounts, ratios, and guardrails with their limits."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reward.plain import Plain
from rlopt.errors import EvaluationError
from rlopt.ope.abtest import TestOutcome

COUNTED = ("clicks", "conversions")  # whole numbers, no more than impressions
IMPRESSIONS = "impressions"

Role = Literal["main", "beside", "guardrail"]
Status = Literal["held", "broken", "open"]


@dataclass(frozen=True)
class Metric:
    """One sum over another.

    Parameters
    ----------
    numerator, denominator
        Columns of the results.
    """

    numerator: str
    denominator: str = IMPRESSIONS

    @property
    def name(self) -> str:
        """Name as the user writes it."""
        return self.numerator if self.denominator == IMPRESSIONS else f"{self.numerator}/{self.denominator}"

    @property
    def counted(self) -> bool:
        """True if its numerator is a count."""
        return self.numerator in COUNTED

    @classmethod
    def parse(cls, text: str) -> "Metric":
        """Parse ``NAME`` or ``NAME/NAME``.

        Raises
        ------
        EvaluationError
            The text is neither.
        """
        parts = [part.strip() for part in text.split("/")]
        if not all(parts) or len(parts) > 2 or len(set(parts)) != len(parts):
            raise EvaluationError(
                f"--metric takes a column, or one over another: revenue/conversions. Got {text!r:.60}."
            )
        return cls(*parts)


@dataclass(frozen=True)
class Guardrail:
    """A metric and the change of it that must be ruled out: below 0 it may not fall so far, above 0 not rise."""

    metric: Metric
    limit: float

    @classmethod
    def parse(cls, text: str) -> "Guardrail":
        """Parse ``NAME:LIMIT``.

        Raises
        ------
        EvaluationError
            There is no limit, or it is zero or no number.
        """
        name, _, limit = text.rpartition(":")
        if not name.strip() or not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)\s*", limit) or float(limit) == 0:
            raise EvaluationError(
                f"--guardrail takes NAME:LIMIT, revenue:-0.02 (may not fall by 2%) or returns:+0.05. Got {text!r:.60}."
            )
        return cls(Metric.parse(name.strip()), float(limit))

    def status(self, low: float, high: float) -> Status:
        """Non-inferiority: "held" where the interval rules the limit out, "broken" where it lies beyond it."""
        if self.limit < 0:
            return "held" if low > self.limit else "broken" if high < self.limit else "open"
        return "held" if high < self.limit else "broken" if low > self.limit else "open"


@dataclass(frozen=True)
class MetricResult(Plain):
    """One metric of one variant against the control.

    Parameters
    ----------
    metric, variant
        Names.
    role
        "main" decides, "beside" is reported beside it, "guardrail" may forbid.
    outcome
        Outcome of the test by this metric.
    winsorised
        Share of the total that was cut as a heavy tail; None where it cannot be, because rows add up visitors.
    limit, status
        Of a guardrail: what must be ruled out, and whether it is.
    """

    metric: str
    variant: str
    role: Role
    outcome: TestOutcome
    winsorised: float | None = None
    limit: float | None = None
    status: Status | None = None


@dataclass(frozen=True)
class Asked:
    """All that is measured, in order.

    Parameters
    ----------
    metrics
        The first decides.
    guardrails
        Guardrail metrics with their limits.
    """

    metrics: tuple[Metric, ...]
    guardrails: tuple[Guardrail, ...] = ()

    @classmethod
    def parse(cls, metrics: Sequence[str], guardrails: Sequence[str] = ()) -> "Asked":
        """Parse the texts of ``--metric`` and ``--guardrail``.

        Raises
        ------
        EvaluationError
            A text is wrong, or a name comes twice.
        """
        parsed = tuple(map(Metric.parse, metrics))
        rails = tuple(map(Guardrail.parse, guardrails))
        names = [m.name for m in parsed] + [f"guardrail {r.metric.name}:{'-' if r.limit < 0 else '+'}" for r in rails]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise EvaluationError(f"{twice[0]} is asked for twice. Keep one.")
        return cls(parsed, rails)

    @property
    def main(self) -> Metric:
        """The metric that decides."""
        return self.metrics[0]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the results need, impressions first."""
        used = [*self.metrics, *(rail.metric for rail in self.guardrails)]
        return tuple(dict.fromkeys([IMPRESSIONS, *(c for m in used for c in (m.numerator, m.denominator))]))
