"""Proposals whose texts hold some words, found through an index of runs of characters.

SQLite: an FTS5 table of trigrams. Every character beyond ASCII stands in it twice, so that two Chinese characters, a
common word, are four and have trigrams. PostgreSQL: a trigram index, where the extension pg_trgm is there, and a table
of the characters beyond ASCII, one by one and with the one that follows, which pg_trgm does not know. The texts of what
the index names are then read, so that with it and without it the same is found.
"""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.exc import DBAPIError

from .tables import PROPOSALS

if TYPE_CHECKING:
    from sqlalchemy import Connection

MANY = 500  # hits from which on one walks through the proposals instead: the page is soon full
_GRAMS = 24  # of a long text the first ones are telling enough
_LOOK = "SELECT rowid FROM rlopt_search WHERE rlopt_search MATCH :grams"
_LOOK_PAIRS = "SELECT proposal FROM rlopt_pairs WHERE grams @> CAST(:grams AS text[])"
_ADD = "INSERT INTO rlopt_search (rowid, grams) VALUES (:proposal, :grams)"
_ADD_PAIRS = "INSERT INTO rlopt_pairs (proposal, grams) VALUES (:proposal, :grams)"
_BEYOND_ASCII = re.compile(r"([^\x00-\x7f])")
_PAIR = re.compile(r"(?=([^\x00-\x7f].?))", re.DOTALL)


def create(connection: "Connection") -> None:
    """Make the indexes that are not there; where the database cannot, the texts are read."""
    if connection.dialect.name == "sqlite":
        _try(
            connection,
            "CREATE VIRTUAL TABLE IF NOT EXISTS rlopt_search "
            "USING fts5(grams, content='', detail=none, tokenize='trigram case_sensitive 1')",
        )
        return
    for statement in (
        "CREATE TABLE IF NOT EXISTS rlopt_pairs "
        "(proposal integer PRIMARY KEY REFERENCES rlopt_proposals, grams text[] NOT NULL)",
        "CREATE INDEX IF NOT EXISTS rlopt_pairs_grams ON rlopt_pairs USING gin (grams)",
    ):
        connection.exec_driver_sql(statement)
    _try(
        connection,
        "CREATE EXTENSION IF NOT EXISTS pg_trgm",
        "CREATE INDEX IF NOT EXISTS rlopt_proposals_search ON rlopt_proposals USING gin (search gin_trgm_ops)",
    )


def _try(connection: "Connection", *statements: str) -> None:
    try:
        with connection.begin_nested():
            for statement in statements:
                connection.exec_driver_sql(statement)
    except DBAPIError:  # built without FTS5, or the extension is not installed or not allowed
        return


def is_there(connection: "Connection", index: str) -> bool:
    """True if the database has the table or index of this name."""
    if connection.dialect.name == "sqlite":
        query = text("SELECT 1 FROM sqlite_master WHERE name = :index")
    else:
        query = text("SELECT 1 WHERE to_regclass(:index) IS NOT NULL")
    return connection.execute(query, {"index": index}).first() is not None


def add(connection: "Connection", texts: Iterable[tuple[int, str]]) -> None:
    """Put (proposal, its texts) into the index; PostgreSQL keeps that of pg_trgm itself."""
    if connection.dialect.name == "sqlite":
        rows: list[dict[str, Any]] = [{"proposal": number, "grams": _doubled(told)} for number, told in texts]
        name, statement = "rlopt_search", _ADD
    else:
        rows = [{"proposal": number, "grams": pairs} for number, told in texts if (pairs := _pairs(told))]
        name, statement = "rlopt_pairs", _ADD_PAIRS
    if rows and is_there(connection, name):
        connection.execute(text(statement), rows)


def found(connection: "Connection", wanted: str) -> Sequence[int] | None:
    """Proposals that hold ``wanted``, by an index, or else by reading all texts; None where they are over `MANY`."""
    query = select(PROPOSALS.c.id).where(holds(connection, wanted), *named(connection, wanted)).limit(MANY + 1)
    numbers = list(connection.execute(query).scalars())
    return numbers if len(numbers) <= MANY else None


def named(connection: "Connection", wanted: str) -> Sequence[ColumnElement[bool]]:
    """Condition that the index can tell of proposals that may hold ``wanted``; empty where none can."""
    grams: str | list[str]
    if connection.dialect.name == "sqlite":
        name, look, grams = "rlopt_search", _LOOK, _grams(wanted)
    else:
        name, look, grams = "rlopt_pairs", _LOOK_PAIRS, _pairs(wanted.casefold())[:_GRAMS]
    if grams and is_there(connection, name):
        return [PROPOSALS.c.id.in_(text(look).bindparams(grams=grams).columns(PROPOSALS.c.id))]
    if connection.dialect.name != "sqlite" and len(wanted) >= 3 and is_there(connection, "rlopt_proposals_search"):
        return [PROPOSALS.c.search.contains(wanted.casefold(), autoescape=True)]  # LIKE, by the index
    return []


def holds(connection: "Connection", wanted: str) -> ColumnElement[bool]:
    """Condition that a proposal's item id, titles or facts contain ``wanted``, in any case; uses no index."""
    place = func.instr if connection.dialect.name == "sqlite" else func.strpos
    return place(PROPOSALS.c.search, wanted.casefold()) > 0


def _pairs(told: str) -> list[str]:
    """Characters beyond ASCII, and each with the one that follows."""
    found = (pair for match in _PAIR.finditer(told) for pair in (match[1][0], match[1]))
    return list(dict.fromkeys(found))


def _doubled(told: str) -> str:
    return _BEYOND_ASCII.sub(r"\1\1", told)


def _grams(wanted: str) -> str:
    """FTS5's query for all runs of three characters."""
    doubled = _doubled(wanted.casefold())
    grams = dict.fromkeys(doubled[start : start + 3] for start in range(len(doubled) - 2))
    return " AND ".join('"' + gram.replace('"', '""') + '"' for gram in list(grams)[:_GRAMS])
