"""Ratings of titles drawn at random: answered in one random order, whatever the titles are worth."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, insert, select
from sqlalchemy.exc import IntegrityError

from .database import now, writing
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
    """Keep a reviewer's answers; False where they were there already."""
    rows = [
        {"proposal": proposal, "nonce": nonce, "at": now(), "reviewer": reviewer, "question": name, "answer": answer}
        for name, answer in answers.items()
    ]
    try:
        with writing(engine) as connection:
            connection.execute(insert(RATINGS), rows)
    except IntegrityError:
        return False
    return True


def rated(connection: "Connection", source: str | None = None) -> dict[str, list[list[bool]]]:
    """Question -> the answers to it, a list for each title that was rated; of one policy's titles or all."""
    query = select(RATINGS.c.question, RATINGS.c.proposal, RATINGS.c.answer)
    if source is not None:
        query = query.join(PROPOSALS).where(PROPOSALS.c.source == source)
    found: dict[str, dict[int, list[bool]]] = {}
    for question, proposal, answer in connection.execute(query.order_by(RATINGS.c.id)):
        found.setdefault(question, {}).setdefault(proposal, []).append(answer)
    return {question: list(titles.values()) for question, titles in found.items()}


def sources(connection: "Connection") -> Sequence[str]:
    """Fingerprints of the policies whose titles were rated."""
    query = select(PROPOSALS.c.source).distinct().join(RATINGS)
    return list(connection.execute(query).scalars())
