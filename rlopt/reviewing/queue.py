"""Which proposals to show, the most worth reading first, a page at a time by keys: page 5,000 is as fast as page 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select

from .states import ACCEPTED, DISPUTED, EDITED, FIRM, OPEN, REJECTED, SECOND, SKIPPED, STATES
from .tables import EVENTS, PROPOSALS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

PAGE = 10
MANY = 2000  # proposals in a state from which on they are looked for in the order of the page
SHOWN_STATES = (OPEN, SKIPPED, SECOND, DISPUTED, ACCEPTED, EDITED, REJECTED)


@dataclass(frozen=True)
class Filters:
    """What a reviewer asks to see.

    Parameters
    ----------
    state
        One of `SHOWN_STATES`; "open": what this reviewer may decide on; "skipped": by this reviewer.
    text
        That the item id, the titles or the facts hold.
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
    query = select(PROPOSALS).where(*_conditions(connection, filters, reviewer))
    if after is not None:
        priority, number = after
        ordered = or_(PROPOSALS.c.priority < priority, PROPOSALS.c.id > number)
        query = query.where(PROPOSALS.c.priority <= priority, ordered)
    query = query.order_by(PROPOSALS.c.priority.desc(), PROPOSALS.c.id).limit(size + 1)
    rows = connection.execute(query).fetchall()
    more = len(rows) > size
    return Page(rows[:size], (rows[size - 1].priority, rows[size - 1].id) if more else None)


def one(connection: "Connection", number: int) -> "Row[Any] | None":
    """The proposal with this number."""
    return connection.execute(select(PROPOSALS).where(PROPOSALS.c.id == number)).first()


def matching(connection: "Connection", filters: Filters, reviewer: str) -> list[int]:
    """All new titles of which nothing is reported and that one person may accept, in order."""
    sound = PROPOSALS.c.title.is_not(None), PROPOSALS.c.report.is_(None), ~PROPOSALS.c.two, ~PROPOSALS.c.kept
    query = select(PROPOSALS.c.id).where(*_conditions(connection, filters, reviewer), *sound)
    return list(connection.execute(query.order_by(PROPOSALS.c.priority.desc(), PROPOSALS.c.id)).scalars())


def counts(connection: "Connection") -> dict[str, int]:
    """State -> proposals in it: those that events brought into it, less those that events took out."""
    total = int(connection.execute(select(func.count()).select_from(PROPOSALS)).scalar_one())
    found = dict.fromkeys(STATES, 0) | {OPEN: total}
    for column, sign in ((EVENTS.c.state, 1), (EVENTS.c.was, -1)):
        for state, count in connection.execute(select(column, func.count()).group_by(column)):
            found[state] += sign * int(count)
    return found


def _conditions(connection: "Connection", filters: Filters, reviewer: str) -> list[ColumnElement[bool]]:
    many = counts(connection).get(filters.state, 0) > MANY
    out = [_in_state(filters.state, reviewer, many)]
    if filters.text:
        place = func.instr if connection.dialect.name == "sqlite" else func.strpos
        out.append(place(PROPOSALS.c.search, filters.text.casefold()) > 0)
    if filters.chance is not None:
        out += [PROPOSALS.c.chance >= filters.chance, ~PROPOSALS.c.kept]
    if filters.flagged:
        out.append(PROPOSALS.c.report.is_not(None))
    if filters.item:
        out.append(PROPOSALS.c.item_id == filters.item)
    return out


def _in_state(state: str, reviewer: str, many: bool) -> ColumnElement[bool]:
    if state in (SECOND, DISPUTED, *FIRM):
        found, newer = EVENTS.alias(), EVENTS.alias()
        overtaken = exists().where(newer.c.proposal == found.c.proposal, newer.c.seq > found.c.seq)
        if many:  # walk in order, and stop when the page is full
            return exists().where(found.c.state == state, found.c.proposal == PROPOSALS.c.id, ~overtaken)
        return PROPOSALS.c.id.in_(select(found.c.proposal).where(found.c.state == state, ~overtaken))
    undecided = func.coalesce(_newest(EVENTS.alias(), "state"), OPEN).in_((OPEN, SECOND))
    seen = exists().where(EVENTS.c.proposal == PROPOSALS.c.id, EVENTS.c.reviewer == reviewer)
    mine = func.coalesce(_newest(EVENTS.alias(), "opinion", reviewer), OPEN)
    if state == SKIPPED:
        return and_(seen, undecided, mine == SKIPPED)
    return and_(undecided, or_(~seen, mine == OPEN))


def _newest(events: Any, column: str, reviewer: str | None = None) -> Any:
    """What the newest event of a proposal, or of a reviewer on it, says."""
    query: Select[Any] = select(events.c[column]).where(events.c.proposal == PROPOSALS.c.id)
    if reviewer is not None:
        query = query.where(events.c.reviewer == reviewer)
    return query.order_by(events.c.seq.desc()).limit(1).scalar_subquery()
