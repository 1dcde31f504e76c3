"""Proposals whose texts hold some words, found through an index of runs of characters.

SQLite: an FTS5 table of trigrams. Every character beyond ASCII stands in it twice, so that two Chinese characters, a
common word, are four and have trigrams. PostgreSQL: a trigram index, where the extension pg_trgm is there. The texts of
what the index names are then read, so that with it and without it the same is found.
"""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.exc import DBAPIError

from .tables import PROPOSALS

if TYPE_CHECKING:
    from sqlalchemy import Connection

MANY = 500  # hits from which on one walks through the proposals instead: the page is soon full
_GRAMS = 24  # of a long text the first ones are telling enough
_LOOK = "SELECT rowid FROM rlopt_search WHERE rlopt_search MATCH :grams"
_BEYOND_ASCII = re.compile(r"([^\x00-\x7f])")


def create(connection: "Connection") -> None:
    """Make the index, which is not there; where the database cannot, `found` knows nothing, and the texts are read."""
    if is_there(connection):
        return
    if connection.dialect.name == "sqlite":
        statements = [
            "CREATE VIRTUAL TABLE rlopt_search "
            "USING fts5(grams, content='', detail=none, tokenize='trigram case_sensitive 1')"
        ]
    else:
        statements = [
            "CREATE EXTENSION IF NOT EXISTS pg_trgm",
            "CREATE INDEX rlopt_proposals_search ON rlopt_proposals USING gin (search gin_trgm_ops)",
        ]
    try:
        with connection.begin_nested():
            for statement in statements:
                connection.exec_driver_sql(statement)
    except DBAPIError:  # built without FTS5, or the extension is not installed or not allowed
        return


def is_there(connection: "Connection") -> bool:
    """True if the database has the index."""
    if connection.dialect.name == "sqlite":
        query = "SELECT 1 FROM sqlite_master WHERE name = 'rlopt_search'"
    else:
        query = "SELECT 1 WHERE to_regclass('rlopt_proposals_search') IS NOT NULL"
    return connection.exec_driver_sql(query).first() is not None


def add(connection: "Connection", texts: Iterable[tuple[int, str]]) -> None:
    """Put (proposal, its texts) into the index; PostgreSQL does so itself."""
    if connection.dialect.name == "sqlite" and is_there(connection):
        rows = [{"proposal": number, "grams": _doubled(told)} for number, told in texts]
        if rows:
            connection.execute(text("INSERT INTO rlopt_search (rowid, grams) VALUES (:proposal, :grams)"), rows)


def found(connection: "Connection", wanted: str) -> Sequence[int] | None:
    """Proposals that hold ``wanted``; None where there are more than `MANY`, or no index tells."""
    query = select(PROPOSALS.c.id).where(holds(connection, wanted)).limit(MANY + 1)
    if not is_there(connection):
        return None
    if connection.dialect.name == "sqlite":
        grams = _grams(wanted)
        if not grams:
            return None
        query = query.where(PROPOSALS.c.id.in_(text(_LOOK).bindparams(grams=grams).columns(PROPOSALS.c.id)))
    elif len(wanted) < 3:
        return None
    else:
        query = query.where(PROPOSALS.c.search.contains(wanted.casefold(), autoescape=True))  # LIKE, by the index
    numbers = list(connection.execute(query).scalars())
    return numbers if len(numbers) <= MANY else None


def holds(connection: "Connection", wanted: str) -> ColumnElement[bool]:
    """Condition that a proposal's item id, titles or facts contain ``wanted``, in any case; uses no index."""
    place = func.instr if connection.dialect.name == "sqlite" else func.strpos
    return place(PROPOSALS.c.search, wanted.casefold()) > 0


def _doubled(told: str) -> str:
    return _BEYOND_ASCII.sub(r"\1\1", told)


def _grams(wanted: str) -> str:
    """FTS5's query for all runs of three characters."""
    doubled = _doubled(wanted.casefold())
    grams = dict.fromkeys(doubled[start : start + 3] for start in range(len(doubled) - 2))
    return " AND ".join('"' + gram.replace('"', '""') + '"' for gram in list(grams)[:_GRAMS])
