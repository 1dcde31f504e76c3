"""Decisions of people, for the commands that follow: titles to launch, titles never to propose, phrases to avoid."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rlopt.policy.constraints import duplicate_key

from .database import opened
from .states import ACCEPTED, EDITED, REJECTED


@dataclass(frozen=True)
class Approved:
    """A title that people approved.

    Parameters
    ----------
    item_id, title, facts
        The item, its approved title, and its fields as the review showed them.
    proposed
        The proposed title; None where there was none.
    edited, kept
        True if a person wrote it; True if the current title was to stay.
    reviewer, at
        The last reviewer to approve it, and when (UTC).
    """

    item_id: str
    title: str
    proposed: str | None
    edited: bool
    kept: bool
    reviewer: str
    at: str
    facts: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Reviews:
    """Everything that was decided.

    Parameters
    ----------
    approved
        In the order of the proposals; titles that stay as they are included.
    rejected
        Item -> keys (`rlopt.policy.constraints.duplicate_key`) of titles that were refused.
    phrases
        Words that people said no title may hold, each once.
    """

    approved: tuple[Approved, ...] = ()
    rejected: dict[str, frozenset[tuple[str, ...]]] = field(default_factory=dict)
    phrases: tuple[str, ...] = ()

    @classmethod
    def read(cls, place: str | Path) -> "Reviews":
        """Read the decisions from a database.

        Raises
        ------
        ReviewError
            If it cannot be opened, or holds no reviews.
        """
        with opened(place) as engine:
            from sqlalchemy import exists, select

            from .tables import EVENTS, PROPOSALS

            newer = EVENTS.alias()
            newest = ~exists().where(newer.c.proposal == EVENTS.c.proposal, newer.c.seq > EVENTS.c.seq)
            query = select(EVENTS, PROPOSALS.c.item_id, PROPOSALS.c.title.label("proposed"), PROPOSALS.c.kept)
            query = query.add_columns(PROPOSALS.c.facts).join(PROPOSALS).where(newest)
            with engine.connect() as connection:
                rows = connection.execute(query.order_by(EVENTS.c.proposal)).fetchall()
                said = select(EVENTS.c.phrase).where(EVENTS.c.phrase.is_not(None)).order_by(EVENTS.c.id)
                kept = EVENTS.c.state == REJECTED
                phrases = connection.execute(said.where(newest, kept)).scalars().all()
        rejected: dict[str, set[tuple[str, ...]]] = {}
        for row in rows:
            if row.state in (REJECTED, EDITED) and row.proposed and row.after != row.proposed:
                rejected.setdefault(row.item_id, set()).add(duplicate_key(row.proposed))
        approved = tuple(_approved(row) for row in rows if row.state in (ACCEPTED, EDITED))
        lines = [line.strip() for phrase in phrases for line in phrase.splitlines()]
        return cls(
            approved,
            {item: frozenset(keys) for item, keys in rejected.items()},
            tuple(dict.fromkeys(line for line in lines if line)),
        )

    def titles_of(self, item_id: str) -> list[str]:
        """The item's approved titles, each once."""
        return list(self._by_item.get(item_id, ()))

    def refuses(self, item_id: str, title: str) -> bool:
        """True if people refused this title for the item, in any order of words."""
        keys = self.rejected.get(item_id)
        return keys is not None and duplicate_key(title) in keys

    @property
    def decided(self) -> bool:
        """True if people decided anything."""
        return bool(self.approved or self.rejected)

    @property
    def digest(self) -> str:
        """Hash of the decisions."""
        told = json.dumps(
            [
                [[one.item_id, one.title] for one in self.approved],
                sorted((item, sorted(map(list, keys))) for item, keys in self.rejected.items()),
            ]
        )
        return hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    @cached_property
    def _by_item(self) -> dict[str, dict[str, None]]:
        found: dict[str, dict[str, None]] = {}
        for one in self.approved:
            found.setdefault(one.item_id, {})[one.title] = None
        return found


def _approved(row: Any) -> Approved:
    facts = {name: tuple(values) for name, values in json.loads(row.facts).items()}
    edited = row.state == EDITED
    return Approved(row.item_id, row.after, row.proposed, edited, row.kept, row.reviewer, row.at, facts)
