"""Decisions, as events that are only ever added. What holds now is what the newest event of a proposal says.

An event names its place ``seq`` among those of its proposal, which is unique: of two people who decide at once one is
second, and gets a message. It carries the nonce of its form, which is unique too: sent twice, it counts once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from .database import ReviewError, now, writing
from .queue import move
from .states import ACCEPTED, DISPUTED, EDITED, FIRM, OPEN, REJECTED, SECOND, SKIPPED
from .tables import EVENTS, PROPOSALS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Row

Action = Literal["accept", "edit", "reject", "skip", "undo"]
_OPINIONS = {"accept": ACCEPTED, "edit": EDITED, "reject": REJECTED, "skip": SKIPPED}
_ATTEMPTS = 20
_MANY = 1000


class ConflictError(ReviewError):
    """Somebody else decided meanwhile."""


@dataclass(frozen=True)
class Decision:
    """Decision of a reviewer.

    Parameters
    ----------
    proposal, action
        Number of the proposal, and what to do with it.
    seen
        Number of the proposal's events that the reviewer's page knew of.
    nonce
        One-time token of the form.
    title
        Of an edit: the new wording.
    reason, phrase
        Of a rejection: why, and words that no title may hold.
    final
        Settles a disagreement between two opinions.
    batch
        Of a bulk accept.
    """

    proposal: int
    action: Action
    seen: int
    nonce: str
    title: str | None = None
    reason: str | None = None
    phrase: str | None = None
    final: bool = False
    batch: str | None = None


@dataclass(frozen=True)
class Opinion:
    """Opinion of one reviewer on one proposal, the title that this reviewer wants, and since which event."""

    opinion: str = OPEN
    title: str | None = None
    final: bool = False
    seq: int = 0


def record(engine: "Engine", reviewer: str, decision: Decision) -> str:
    """Add what a reviewer did; the state of the proposal after it.

    Raises
    ------
    ConflictError
        If somebody else settled it meanwhile; nothing is added.
    ReviewError
        If there is no such proposal, or nothing to undo or accept.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with writing(engine) as connection:
                return _record(connection, reviewer, decision)
        except (IntegrityError, OperationalError):  # another event took the place: look again
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def _record(connection: "Connection", reviewer: str, decision: Decision) -> str:
    done = connection.execute(select(EVENTS.c.state).where(EVENTS.c.nonce == decision.nonce)).scalar()
    if done is not None:
        return str(done)
    proposal = connection.execute(
        select(PROPOSALS.c.id, PROPOSALS.c.title, PROPOSALS.c.two).where(PROPOSALS.c.id == decision.proposal)
    ).first()
    if proposal is None:
        raise ReviewError(f"There is no proposal {decision.proposal}.")
    history = events_of(connection, [decision.proposal]).get(decision.proposal, [])
    last = history[-1] if history else None
    if decision.seen != len(history) and last is not None and last.state not in (OPEN, SECOND):
        raise ConflictError(f"{last.reviewer} decided on this title meanwhile ({last.state}). Look at it again.")
    row = _row(proposal, history, reviewer, decision)
    append(connection, [row])
    return str(row["state"])


def append(connection: "Connection", rows: Sequence[dict[str, Any]]) -> None:
    """Add events, at most one of a proposal, and move their proposals to the states that they bring."""
    for part in _parts(rows):
        connection.execute(insert(EVENTS), part)
        move(connection, {row["proposal"]: row["state"] for row in part})
    if len(rows) >= _MANY and connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ANALYZE rlopt_queue, rlopt_events")  # or it plans pages by what was true before


def _row(proposal: Any, history: Sequence["Row[Any]"], reviewer: str, decision: Decision) -> dict[str, Any]:
    """The event to add after ``history``."""
    given = _opinion(proposal, history, reviewer, decision)
    opinions = {one: opinion_of(history, one) for one in dict.fromkeys(event.reviewer for event in history)}
    opinions[reviewer] = given
    state, after = _settled(sorted(opinions.values(), key=lambda one: one.seq), two=proposal.two)
    return {
        "proposal": proposal.id,
        "seq": len(history) + 1,
        "nonce": decision.nonce,
        "at": now(),
        "reviewer": reviewer,
        "action": decision.action,
        "reason": decision.reason,
        "phrase": decision.phrase,
        "opinion": given.opinion,
        "title": given.title,
        "final": given.final,
        "was": history[-1].state if history else OPEN,
        "state": state,
        "before": history[-1].after if history else None,
        "after": after,
        "batch": decision.batch,
    }


def _opinion(proposal: Any, history: Sequence["Row[Any]"], reviewer: str, decision: Decision) -> Opinion:
    """Opinion of the reviewer after this decision."""
    if decision.action == "undo":
        mine = _standing(history, reviewer)
        if not mine:
            raise ReviewError("There is nothing of yours to undo here.")
        return mine[-2] if len(mine) > 1 else Opinion()
    title = {"accept": proposal.title, "edit": decision.title}.get(decision.action)
    if decision.action in ("accept", "edit") and not title:
        raise ReviewError("There is no title to accept here. Write one.")
    kind = _OPINIONS[decision.action]
    kind = ACCEPTED if kind == EDITED and title == proposal.title else kind
    return Opinion(kind, title, decision.final, len(history) + 1)


def _standing(history: Iterable["Row[Any]"], reviewer: str) -> list[Opinion]:
    """The reviewer's opinions that were not undone, oldest first."""
    stack: list[Opinion] = []
    for event in history:
        if event.reviewer != reviewer:
            continue
        if event.action == "undo":
            stack.pop()
        else:
            stack.append(Opinion(event.opinion, event.title, event.final, event.seq))
    return stack


def opinion_of(history: Iterable["Row[Any]"], reviewer: str) -> Opinion:
    """Current opinion of a reviewer."""
    standing = _standing(history, reviewer)
    return standing[-1] if standing else Opinion()


def _settled(opinions: Sequence[Opinion], *, two: bool) -> tuple[str, str | None]:
    """The state that opinions, the newest last, add up to, and the title that is approved."""
    firm = [one for one in opinions if one.opinion in FIRM]
    if not firm:
        return OPEN, None
    if final := [one for one in firm if one.final]:
        return final[-1].opinion, final[-1].title
    if two and len(firm) < 2:
        return SECOND, None
    if two and len({one.title for one in firm}) > 1:
        return DISPUTED, None
    return firm[-1].opinion, firm[-1].title


def accept_all(engine: "Engine", reviewer: str, proposals: Sequence[int], batch: str) -> int:
    """Accept proposals that nobody has decided on, all of them or none; how many there were.

    Sent twice with the same ``batch``, it counts once. Those that somebody decides on meanwhile are left out.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with writing(engine) as connection:
                return _accept_all(connection, reviewer, proposals, batch)
        except (IntegrityError, OperationalError):
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def _accept_all(connection: "Connection", reviewer: str, proposals: Sequence[int], batch: str) -> int:
    done = connection.execute(select(EVENTS.c.id).where(EVENTS.c.batch == batch)).fetchall()
    if done:
        return len(done)
    rows = []
    for part in _parts(proposals):
        history = events_of(connection, part)
        found = connection.execute(
            select(PROPOSALS.c.id, PROPOSALS.c.title, PROPOSALS.c.two).where(PROPOSALS.c.id.in_(part))
        )
        for proposal in found:
            before = history.get(proposal.id, [])
            if proposal.two or not proposal.title or (before and before[-1].state != OPEN):
                continue
            nonce = f"{batch}:{proposal.id}"
            decision = Decision(proposal.id, "accept", len(before), nonce, reason="bulk", batch=batch)
            rows.append(_row(proposal, before, reviewer, decision))
    append(connection, rows)
    return len(rows)


def undo_batch(engine: "Engine", reviewer: str, batch: str, nonce: str) -> int:
    """Take a bulk accept of this reviewer's back, apart from what was decided again since; how many titles."""
    with writing(engine) as connection:
        if connection.execute(
            select(EVENTS.c.id).where(EVENTS.c.nonce.startswith(f"{nonce}:", autoescape=True))
        ).first():
            return 0
        of_batch = (EVENTS.c.batch == batch) & (EVENTS.c.reviewer == reviewer)
        proposals = list(connection.execute(select(EVENTS.c.proposal).where(of_batch)).scalars())
        rows = []
        for part in _parts(proposals):
            history = events_of(connection, part)
            for proposal in connection.execute(
                select(PROPOSALS.c.id, PROPOSALS.c.title, PROPOSALS.c.two).where(PROPOSALS.c.id.in_(part))
            ):
                before = history[proposal.id]
                if before[-1].batch == batch:
                    decision = Decision(proposal.id, "undo", len(before), f"{nonce}:{proposal.id}")
                    rows.append(_row(proposal, before, reviewer, decision))
        append(connection, rows)
        return len(rows)


def events_of(connection: "Connection", proposals: Sequence[int]) -> dict[int, list["Row[Any]"]]:
    """Proposal -> its events, oldest first."""
    found: dict[int, list[Row[Any]]] = {}
    for part in _parts(proposals):
        query = select(EVENTS).where(EVENTS.c.proposal.in_(part)).order_by(EVENTS.c.proposal, EVENTS.c.seq)
        for event in connection.execute(query):
            found.setdefault(event.proposal, []).append(event)
    return found


def _parts(values: Sequence[Any], size: int = 500) -> Iterable[Sequence[Any]]:
    """``values`` in pieces that a statement takes."""
    return (values[start : start + size] for start in range(0, len(values), size))
