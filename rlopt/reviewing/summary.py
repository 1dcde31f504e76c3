"""Progress of a review: decisions by state and by reviewer, and how often two people decided alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from rlopt.ope.rated_shares import RatedShare, mid_p, rated_shares

from .audit import events_of, opinion_of
from .queue import counts
from .ratings import rated
from .states import FIRM
from .tables import EVENTS, PROPOSALS, RATINGS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

HISTORY_PAGE = 50


@dataclass(frozen=True)
class Agreement:
    """Titles that two people decided on, unseen by each other.

    Parameters
    ----------
    n, alike
        Number of titles, and of those with the same outcome.
    low, high
        95% interval of the share.
    """

    n: int
    alike: int
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """Content of the page "Progress"; ``reviewers`` has (name, decisions, titles rated)."""

    counts: dict[str, int]
    reviewers: Sequence[tuple[str, int, int]]
    agreement: Agreement | None
    shares: tuple[RatedShare, ...]


def summary(connection: "Connection") -> Summary:
    """Summarise all decisions and ratings."""
    return Summary(counts(connection), _reviewers(connection), agreement(connection), rated_shares(rated(connection)))


def agreement(connection: "Connection") -> Agreement | None:
    """Agreement on the titles meant for two readers; None before two have read one."""
    query = select(PROPOSALS.c.id).where(PROPOSALS.c.two, PROPOSALS.c.id.in_(select(EVENTS.c.proposal)))
    histories = events_of(connection, list(connection.execute(query).scalars()))
    alike = []
    for history in histories.values():
        firm = [opinion_of(history, name) for name in dict.fromkeys(event.reviewer for event in history)]
        firm = [one for one in firm if one.opinion in FIRM and not one.final][:2]
        if len(firm) == 2:
            alike.append(firm[0].title == firm[1].title)
    if not alike:
        return None
    return Agreement(len(alike), sum(alike), *mid_p(sum(alike), len(alike), 0.05))


def history(connection: "Connection", before: int | None = None) -> "Sequence[Row[Any]]":
    """Events with their item and proposed title, the newest first, from the one ``before`` which the page begins."""
    query = select(EVENTS, PROPOSALS.c.item_id, PROPOSALS.c.title.label("proposed")).join(PROPOSALS)
    if before is not None:
        query = query.where(EVENTS.c.id < before)
    return connection.execute(query.order_by(EVENTS.c.id.desc()).limit(HISTORY_PAGE)).fetchall()


def last_of(connection: "Connection", reviewer: str) -> "Row[Any] | None":
    """Last action of this reviewer."""
    query = select(EVENTS, PROPOSALS.c.title.label("proposed"), PROPOSALS.c.item_id).join(PROPOSALS)
    return connection.execute(query.where(EVENTS.c.reviewer == reviewer).order_by(EVENTS.c.id.desc()).limit(1)).first()


def _reviewers(connection: "Connection") -> list[tuple[str, int, int]]:
    decided = select(EVENTS.c.reviewer, func.count()).group_by(EVENTS.c.reviewer)
    read = select(RATINGS.c.reviewer, func.count(RATINGS.c.proposal.distinct())).group_by(RATINGS.c.reviewer)
    decisions, ratings = ({name: int(n) for name, n in connection.execute(query)} for query in (decided, read))
    return [(name, decisions.get(name, 0), ratings.get(name, 0)) for name in sorted({*decisions, *ratings})]
