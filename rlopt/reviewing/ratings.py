"""Ratings of titles drawn at random: answered in one random order, whatever the titles are worth."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, exists, func, insert, select
from sqlalchemy.exc import IntegrityError

from .database import ReviewError, now, writing
from .tables import PROPOSALS, RATINGS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Row

RATERS = 2


def next_to_rate(connection: "Connection", reviewer: str) -> "Row[Any] | None":
    """The first new title in the random order that this reviewer has not rated, nor `RATERS` others."""
    by_me = exists().where(RATINGS.c.proposal == PROPOSALS.c.id, RATINGS.c.reviewer == reviewer)
    raters = (
        select(func.count(RATINGS.c.reviewer.distinct())).where(RATINGS.c.proposal == PROPOSALS.c.id).scalar_subquery()
    )
    query = select(PROPOSALS).where(~PROPOSALS.c.kept, PROPOSALS.c.title.is_not(None), ~by_me, raters < RATERS)
    return connection.execute(query.order_by(PROPOSALS.c.draw, PROPOSALS.c.id).limit(1)).first()


def rate(engine: "Engine", reviewer: str, proposal: int, answers: Mapping[str, bool], nonce: str) -> bool:
    """Keep a reviewer's answers; False where they were there already.

    Raises
    ------
    ReviewError
        If there is no such proposal.
    """
    rows = [
        {"proposal": proposal, "nonce": nonce, "at": now(), "reviewer": reviewer, "question": name, "answer": answer}
        for name, answer in answers.items()
    ]
    try:
        with writing(engine) as connection:
            if connection.execute(select(PROPOSALS.c.id).where(PROPOSALS.c.id == proposal)).first() is None:
                raise ReviewError(f"There is no proposal {proposal}.")
            connection.execute(insert(RATINGS), rows)
    except IntegrityError:
        return False
    return True


def rated(connection: "Connection", source: str | None = None) -> dict[str, list[Sequence[bool]]]:
    """Question -> the answers to it, a list for each title that was rated; of one policy's titles or all.

    The database counts the titles with like answers, so that few rows are read. Of a title's answers the first two
    stand first; apart from that, the order of answers and titles tells nothing.
    """
    yes = case((RATINGS.c.answer, 1), else_=0)
    place = func.row_number().over(partition_by=(RATINGS.c.question, RATINGS.c.proposal), order_by=RATINGS.c.id)
    query = select(RATINGS.c.id, RATINGS.c.question, RATINGS.c.proposal, yes.label("yes"), place.label("place"))
    if source is not None:
        query = query.join(PROPOSALS).where(PROPOSALS.c.source == source)
    answers = query.subquery()
    titles = (
        select(
            answers.c.question,
            func.count().label("n"),
            func.sum(answers.c.yes).label("yes"),
            func.sum(case((answers.c.place <= 2, answers.c.yes), else_=0)).label("soon"),
            func.min(answers.c.id).label("first"),
        )
        .group_by(answers.c.question, answers.c.proposal)
        .subquery()
    )
    alike = (titles.c.question, titles.c.n, titles.c.yes, titles.c.soon)
    kinds = select(*alike, func.count().label("titles")).group_by(*alike).order_by(func.min(titles.c["first"]))
    found: dict[str, list[Sequence[bool]]] = {}
    for question, n, yeses, soon, count in connection.execute(kinds):
        two = [True] * soon + [False] * (min(n, 2) - soon)
        later = [True] * (yeses - soon) + [False] * (n - len(two) - yeses + soon)
        found.setdefault(question, []).extend([(*two, *later)] * count)
    return found


def sources(connection: "Connection") -> Sequence[str]:
    """Fingerprints of the policies whose titles were rated."""
    query = select(PROPOSALS.c.source).distinct().join(RATINGS)
    return list(connection.execute(query).scalars())
