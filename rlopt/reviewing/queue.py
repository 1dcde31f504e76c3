"""Queue of proposals, the most worth reading first, a page at a time by keys: page 5,000 is as fast as page 1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, func, insert, or_, select, update

from . import search
from .states import ACCEPTED, DISPUTED, EDITED, FIRM, OPEN, REJECTED, SECOND, SKIPPED, STATES, UNDECIDED
from .tables import EVENTS, PROPOSALS, QUEUE

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

PAGE = 10
SHOWN_STATES = (OPEN, SKIPPED, SECOND, DISPUTED, ACCEPTED, EDITED, REJECTED)


@dataclass(frozen=True)
class Filters:
    """Filters on the proposals that a reviewer sees.

    Parameters
    ----------
    state
        One of `SHOWN_STATES`; "open": what this reviewer may decide on; "skipped": by this reviewer.
    text
        Text that the item id, the titles or the facts must contain.
    chance
        Least chance of being better than the current title.
    flagged
        Only titles with a report.
    item
        Only this item's.
    """

    state: str = OPEN
    text: str = ""
    chance: float | None = None
    flagged: bool = False
    item: str = ""


@dataclass(frozen=True)
class Page:
    """Proposals, and the key after which the next page begins; None on the last one."""

    rows: Sequence["Row[Any]"]
    after: tuple[float, int] | None


def page(
    connection: "Connection", filters: Filters, reviewer: str, after: tuple[float, int] | None = None, size: int = PAGE
) -> Page:
    """The proposals from ``after`` on."""
    query = select(QUEUE.c.proposal).where(*_conditions(connection, filters, reviewer))
    if after is not None:
        priority, number = after
        ordered = or_(QUEUE.c.priority < priority, QUEUE.c.proposal > number)
        query = query.where(QUEUE.c.priority <= priority, ordered)
    query = query.order_by(QUEUE.c.priority.desc(), QUEUE.c.proposal).limit(size + 1)
    numbers = list(connection.execute(query).scalars())
    found = {row.id: row for row in connection.execute(select(PROPOSALS).where(PROPOSALS.c.id.in_(numbers)))}
    rows = [found[number] for number in numbers]
    more = len(rows) > size
    return Page(rows[:size], (rows[size - 1].priority, rows[size - 1].id) if more else None)


def one(connection: "Connection", number: int) -> "Row[Any] | None":
    """The proposal with this number."""
    return connection.execute(select(PROPOSALS).where(PROPOSALS.c.id == number)).first()


def matching(connection: "Connection", filters: Filters, reviewer: str) -> list[int]:
    """All new titles of which nothing is reported and that one person may accept, in order."""
    query = select(QUEUE.c.proposal).where(*_conditions(connection, filters, reviewer), QUEUE.c.sound)
    return list(connection.execute(query.order_by(QUEUE.c.priority.desc(), QUEUE.c.proposal)).scalars())


def counts(connection: "Connection") -> dict[str, int]:
    """State -> proposals in it."""
    found = connection.execute(select(QUEUE.c.state, func.count()).group_by(QUEUE.c.state))
    return dict.fromkeys(STATES, 0) | {state: int(count) for state, count in found}


def enter(connection: "Connection", *conditions: ColumnElement[bool]) -> None:
    """Put proposals that are not in the queue into it, in the state that their events say, and into the index."""
    new = and_(~exists().where(QUEUE.c.proposal == PROPOSALS.c.id), *conditions)
    state = func.coalesce(_newest(EVENTS.c.state), OPEN)
    sound = and_(PROPOSALS.c.title.is_not(None), PROPOSALS.c.report.is_(None), ~PROPOSALS.c.two, ~PROPOSALS.c.kept)
    chance = case((PROPOSALS.c.kept, None), else_=PROPOSALS.c.chance)
    flagged = PROPOSALS.c.report.is_not(None)
    rows = select(PROPOSALS.c.id, state, state.in_(UNDECIDED), PROPOSALS.c.priority, chance, flagged, sound).where(new)
    texts = [(row.id, row.search) for row in connection.execute(select(PROPOSALS.c.id, PROPOSALS.c.search).where(new))]
    connection.execute(insert(QUEUE).from_select(list(QUEUE.c.keys()), rows))
    search.add(connection, texts)


def move(connection: "Connection", states: Mapping[int, str]) -> None:
    """Record the new states of proposals."""
    given = [{"moved": proposal, "state": state, "undecided": state in UNDECIDED} for proposal, state in states.items()]
    if given:
        connection.execute(update(QUEUE).where(QUEUE.c.proposal == bindparam("moved")), given)


def _conditions(connection: "Connection", filters: Filters, reviewer: str) -> list[ColumnElement[bool]]:
    out = _in_state(filters.state, reviewer)
    if filters.text:
        found = search.found(connection, filters.text)
        # one value a row, and no join, which PostgreSQL has begun at the wrong end
        reads = select(search.holds(connection, filters.text)).where(PROPOSALS.c.id == QUEUE.c.proposal)
        out.append(reads.scalar_subquery() if found is None else QUEUE.c.proposal.in_(found))
    if filters.chance is not None:
        out.append(QUEUE.c.chance >= filters.chance)
    if filters.flagged:
        out.append(QUEUE.c.flagged)
    if filters.item:
        out.append(QUEUE.c.proposal.in_(select(PROPOSALS.c.id).where(PROPOSALS.c.item_id == filters.item)))
    return out


def _in_state(state: str, reviewer: str) -> list[ColumnElement[bool]]:
    if state in (SECOND, DISPUTED, *FIRM):
        return [QUEUE.c.state == state]
    mine = EVENTS.c.reviewer == reviewer
    if state == SKIPPED:
        newer = EVENTS.alias()
        overtaken = exists().where(
            newer.c.proposal == EVENTS.c.proposal, newer.c.reviewer == reviewer, newer.c.seq > EVENTS.c.seq
        )
        skipped = select(EVENTS.c.proposal).where(mine, EVENTS.c.opinion == SKIPPED, ~overtaken)
        return [QUEUE.c.undecided, QUEUE.c.proposal.in_(skipped)]
    return [QUEUE.c.undecided, func.coalesce(_newest(EVENTS.c.opinion, QUEUE.c.proposal, mine), OPEN) == OPEN]


def _newest(
    column: ColumnElement[str], proposal: ColumnElement[int] = PROPOSALS.c.id, *conditions: ColumnElement[bool]
) -> ColumnElement[str]:
    """Value of a column in the newest event of a proposal."""
    query = select(column).where(EVENTS.c.proposal == proposal, *conditions)
    return query.order_by(EVENTS.c.seq.desc()).limit(1).correlate(PROPOSALS, QUEUE).scalar_subquery()
