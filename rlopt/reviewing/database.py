"""Database of reviews, SQLite or PostgreSQL. Events and ratings are only added; a trigger refuses anything else."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reward.logs.sources.databases import masked, with_variables
from rlopt.errors import RloptError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

PACKAGES = {"sqlalchemy": "SQLAlchemy", "starlette": "starlette", "uvicorn": "uvicorn", "multipart": "python-multipart"}
APPEND_ONLY = ("rlopt_events", "rlopt_ratings")
WAIT_MS = 20_000


class ReviewError(RloptError):
    """Reviews cannot be read or written."""


def needs(*modules: str) -> None:
    """Check that what the extra installs is there.

    Raises
    ------
    ReviewError
        If it is not, with the name of the extra.
    """
    if missing := [PACKAGES[module] for module in modules if find_spec(module) is None]:
        raise ReviewError(f"Reviews need {', '.join(missing)}: pip install 'rlopt[review]'.")


def now() -> str:
    """The time in UTC, as text that sorts."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@contextmanager
def opened(place: str | Path, *, create: bool = False) -> Iterator["Engine"]:
    """The reviews of a file, or of a database by its URL.

    Parameters
    ----------
    place
        A SQLite file, or ``postgresql://...``; ``$NAME`` in a URL stands for that environment variable.
    create
        Make it where it is not there.

    Raises
    ------
    LogError
        If the URL names a variable that is not set.
    ReviewError
        If it is missing, is no database of reviews, cannot be reached, or a package is not installed.
    """
    needs("sqlalchemy")
    from sqlalchemy.exc import SQLAlchemyError

    engine = _engine(str(place), create)
    try:
        try:
            _prepare(engine, create, str(place))
        except SQLAlchemyError as error:
            raise ReviewError(f"Cannot open the reviews in {shown(str(place))}: {_said(error)}.") from error
        yield engine
    finally:
        engine.dispose()


def shown(place: str) -> str:
    """The place without a password."""
    return masked(place) if "://" in place else place


def _engine(place: str, create: bool) -> "Engine":
    from sqlalchemy import create_engine, event, make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    if "://" in place:
        try:
            url = make_url(with_variables(place))
            if url.drivername in ("postgresql", "postgres"):
                url = url.set(drivername="postgresql+psycopg")
            if not url.drivername.startswith("postgresql"):
                raise ReviewError(f"Reviews lie in a file or in PostgreSQL. Got {shown(place)}.")
            return create_engine(url, pool_pre_ping=True)
        except (ArgumentError, NoSuchModuleError, ValueError) as error:
            raise ReviewError(f"{shown(place)} is no URL of a database: postgresql://USER@HOST/NAME is one.") from error
        except ModuleNotFoundError as error:
            raise ReviewError(f"{shown(place)} needs {error.name}: pip install 'rlopt[review]'.") from error
    path = Path(place)
    if not path.is_file():
        if not create:
            raise ReviewError(f"There are no reviews in {place}: no such file. `rlopt review TITLES` makes it.")
        if path.exists() or not path.parent.is_dir():
            raise ReviewError(f"Reviews cannot be kept in {place}: name a file in a folder that is there.")
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy begins, below: sqlite3 would begin too late
        for pragma in (
            f"busy_timeout={WAIT_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "cache_size=-65536",
            "mmap_size=268435456",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: "Connection") -> None:
        # A transaction that will write takes its place at once: two that read first would both have to start again.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def writing(engine: "Engine") -> Iterator["Connection"]:
    """A transaction that writes: all of it is kept, on disk, or nothing."""
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        yield connection


def _prepare(engine: "Engine", create: bool, place: str) -> None:
    """Check the tables, or make them."""
    from sqlalchemy import inspect

    from . import queue, search
    from .tables import METADATA, PROPOSALS

    with engine.connect() as connection:
        found = set(inspect(connection).get_table_names())
    if found.issuperset(METADATA.tables):
        return
    if not create and PROPOSALS.name not in found:
        raise ReviewError(f"{shown(place)} holds no reviews: it has no table {PROPOSALS.name}.")
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7201)")  # two that start at once make them once
        METADATA.create_all(connection)
        search.create(connection)
        queue.enter(connection)  # those of reviews that had no queue yet
        for index in (index for table in METADATA.sorted_tables for index in table.indexes):
            index.create(connection, checkfirst=True)
        for table in APPEND_ONLY:
            for statement in _triggers(engine.dialect.name, table):
                connection.exec_driver_sql(statement)


def _triggers(dialect: str, table: str) -> list[str]:
    """SQL that keeps a table append-only, whoever writes to it."""
    refusal = f"{table} is append-only"
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER IF NOT EXISTS {table}_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
            for verb in ("UPDATE", "DELETE")
        ]
    return [
        f"CREATE OR REPLACE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{refusal}'; END $$",
        f"CREATE OR REPLACE TRIGGER {table}_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()",
    ]


def _said(error: Exception) -> str:
    """The first line of what the database says."""
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0].rstrip(".")
