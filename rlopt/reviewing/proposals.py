"""Proposals as they come into a review: each once, whatever is loaded again."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from reward.text import clean

from .database import writing
from .queue import enter
from .tables import PROPOSALS, SETTINGS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

SECRET = "secret"  # noqa: S105  the name of the setting
_CHUNK = 500


@dataclass(frozen=True)
class Proposal:
    """One row of ``rlopt generate``, with what the run thinks of it.

    Parameters
    ----------
    source
        Fingerprint of the policy that wrote it.
    item_id, item_version, title, current_title, kept, reason, report, reward, support, relevance, fluency
        As ``generate`` wrote them.
    lift, low, high, chance
        Predicted lift of the clicks over the current title, its 95% interval, and the chance of being better.
    value
        Stake of the title; with doubt it makes the order.
    facts
        The item's fields.
    """

    source: str
    item_id: str
    item_version: str
    title: str | None
    current_title: str | None
    kept: bool
    reason: str | None
    report: str | None
    reward: float | None
    support: float | None
    relevance: float | None
    fluency: float | None
    facts: Mapping[str, Sequence[str]]
    lift: float | None = None
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    value: float = 0.0

    @property
    def key(self) -> str:
        """See `key_of`."""
        return key_of(self.source, vars(self))

    @property
    def doubt(self) -> float:
        """Chance that something is wrong: that it is no better, unlike the logs, not the item's, no title; 0 if kept.

        A title with objections, or no title at all, counts as certainly wrong.
        """
        if self.kept:
            return 0.0
        if self.title is None or self.report:
            return 1.0
        sound = 1.0
        for chance in (self.chance, self.support, self.relevance, self.fluency):
            sound *= 1.0 if chance is None else min(max(chance, 0.0), 1.0)
        return 1.0 - sound


def key_of(source: str, row: Mapping[str, Any]) -> str:
    """The same for the same title of the same policy for the same item; ``row`` is one that ``generate`` wrote."""
    told = json.dumps([source, *(row[name] for name in ("item_id", "item_version", "title", "kept"))])
    return hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def known_keys(connection: "Connection") -> set[str]:
    """Keys of the proposals that are there."""
    return set(connection.execute(select(PROPOSALS.c.key)).scalars())


def add(engine: "Engine", proposals: Iterable[Proposal], *, seed: int, second_opinions: float) -> int:
    """Add proposals that are not there; how many.

    An item's titles stand together: each has the priority of the one that is most worth reading.
    """
    fresh = list(proposals)
    priority: dict[str, float] = {}
    for one in fresh:
        priority[one.item_id] = max(priority.get(one.item_id, 0.0), one.value * one.doubt)
    rows = [_row(one, priority[one.item_id], seed, second_opinions) for one in fresh]
    with writing(engine) as connection:
        there = known_keys(connection)
        rows = list({row["key"]: row for row in rows if row["key"] not in there}.values())
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            connection.execute(insert(PROPOSALS), part)
            enter(connection, PROPOSALS.c.key.in_([row["key"] for row in part]))
    return len(rows)


def secret(engine: "Engine") -> bytes:
    """The key that cookies and forms are signed with; it stays, so that a page outlives the server."""
    for _ in range(2):
        with engine.connect() as connection:
            found = connection.execute(select(SETTINGS.c.value).where(SETTINGS.c.name == SECRET)).scalar()
        if found is not None:
            return bytes.fromhex(found)
        try:
            with writing(engine) as connection:
                connection.execute(insert(SETTINGS).values(name=SECRET, value=secrets.token_hex(32)))
        except IntegrityError:
            continue  # another server was first
    return secret(engine)


def _row(one: Proposal, priority: float, seed: int, second_opinions: float) -> dict[str, Any]:
    digest = hashlib.blake2b(f"{seed}:{one.key}".encode(), digest_size=16).digest()
    texts = (one.item_id, one.title, one.current_title, *(value for values in one.facts.values() for value in values))
    return {
        "key": one.key,
        "source": one.source,
        "item_id": one.item_id,
        "title": clean(one.title or "") or None,  # the title approved is the title seen
        "current_title": one.current_title,
        "kept": one.kept,
        "reason": one.reason,
        "report": one.report,
        "reward": one.reward,
        "support": one.support,
        "relevance": one.relevance,
        "fluency": one.fluency,
        "lift": one.lift,
        "low": one.low,
        "high": one.high,
        "chance": one.chance,
        "priority": priority,
        "draw": int.from_bytes(digest[:7]),  # two independent draws of one hash
        "two": int.from_bytes(digest[8:15]) < second_opinions * 2**56 and not one.kept,
        "facts": json.dumps(one.facts, ensure_ascii=False),
        "search": "\n".join(text for text in texts if text).casefold(),
    }
