"""Accept many titles at once, after a random sample of them was read and found without fault."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from scipy import stats

from . import queue
from .audit import accept_all
from .database import ReviewError
from .queue import Filters

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


@dataclass(frozen=True)
class Plan:
    """A bulk accept that is under way; it travels sealed, so that the sample is the one that was drawn.

    Parameters
    ----------
    chance, text
        The threshold, and what titles or items must hold.
    reviewer
        Its reviewer.
    count
        Titles it meant when the sample was drawn.
    sample
        Proposals to read.
    batch
        Its name in the audit.
    """

    chance: float
    text: str
    reviewer: str
    count: int
    sample: tuple[int, ...]
    batch: str

    @classmethod
    def draw(cls, connection: "Connection", filters: Filters, reviewer: str, size: int) -> "Plan":
        """A sample of at most ``size`` of the titles above the threshold that nothing is reported of."""
        chance = filters.chance or 0.0
        found = queue.matching(connection, Filters(chance=chance, text=filters.text), reviewer)
        sample = secrets.SystemRandom().sample(found, min(size, len(found)))
        return cls(chance, filters.text, reviewer, len(found), tuple(sample), secrets.token_urlsafe(12))

    @classmethod
    def read(cls, text: str | None, reviewer: str) -> "Plan":
        """The plan of `to_text`.

        Raises
        ------
        ReviewError
            If it is damaged, or another reviewer's.
        """
        if text is None:
            raise ReviewError("The form is incomplete.")
        values = json.loads(text)
        plan = cls(**{**values, "sample": tuple(values["sample"])})
        if plan.reviewer != reviewer or not plan.sample:
            raise ReviewError("The form is incomplete.")
        return plan

    def to_text(self) -> str:
        """One JSON object."""
        return json.dumps(asdict(self))

    def faults(self, answers: Mapping[str, str]) -> int | None:
        """Number of faulty titles in the sample; None where not all were read."""
        given = [answers.get(f"sample-{number}") for number in self.sample]
        if not all(answer in ("fine", "faulty") for answer in given):
            return None
        return given.count("faulty")


def carry_out(engine: "Engine", reviewer: str, plan: Plan) -> int:
    """Accept what the plan means and nobody has decided on; how many titles."""
    with engine.connect() as connection:
        found = queue.matching(connection, Filters(chance=plan.chance, text=plan.text), reviewer)
    return accept_all(engine, reviewer, found, plan.batch)


def highest(faulty: int, n: int) -> float:
    """Upper 95% limit (Clopper and Pearson) of the share with a fault, when ``faulty`` of ``n`` have one."""
    return float(stats.beta.ppf(0.95, faulty + 1, n - faulty)) if faulty < n else 1.0
