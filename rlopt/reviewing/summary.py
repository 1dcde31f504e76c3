"""Progress of a review: decisions by state and by reviewer, and how often two people decided alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, func, or_, select

from rlopt.ope.rated_shares import RatedShare, mid_p, rated_shares

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
    """Agreement on the titles meant for two readers; None before two have read one.

    Counted in the database: a reviewer's newest event holds the opinion that stands, and the two who decided first
    count, unless they settled a dispute.
    """
    theirs = (EVENTS.c.proposal, EVENTS.c.reviewer)
    events = (
        select(
            *(EVENTS.c[name] for name in ("proposal", "opinion", "title", "final")),
            func.min(EVENTS.c.seq).over(partition_by=theirs).label("first"),
            func.row_number().over(partition_by=theirs, order_by=EVENTS.c.seq.desc()).label("age"),
        )
        .where(EVENTS.c.proposal.in_(select(PROPOSALS.c.id).where(PROPOSALS.c.two)))
        .subquery()
    )
    place = func.row_number().over(partition_by=events.c.proposal, order_by=events.c["first"])
    firm = (
        select(events.c.proposal, events.c.title, place.label("place"))
        .where(events.c.age == 1, events.c.opinion.in_(FIRM), ~events.c.final)
        .subquery()
    )
    titles, different = func.count(firm.c.title), func.count(firm.c.title.distinct())
    same = or_(titles == 0, and_(titles == 2, different == 1))  # two who refuse it are alike, too
    pairs = (
        select(case((same, 1), else_=0).label("alike"))
        .where(firm.c.place <= 2)
        .group_by(firm.c.proposal)
        .having(func.count() == 2)
        .subquery()
    )
    n, alike = connection.execute(select(func.count(), func.sum(pairs.c.alike)).select_from(pairs)).one()
    return Agreement(n, int(alike), *mid_p(int(alike), n, 0.05)) if n else None


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
