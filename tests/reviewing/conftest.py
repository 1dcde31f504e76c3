"""Reviews in a SQLite file, and in PostgreSQL where it is installed."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.reward.logs.sources.postgres_server import binaries, server

if TYPE_CHECKING:
    from sqlalchemy import Engine


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed here (initdb, pg_ctl)")
    with server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address for an empty database of reviews."""
    if request.param == "sqlite":
        return str(tmp_path / "reviews.db")
    url: str = request.getfixturevalue("postgres_url")
    from sqlalchemy import text

    from rlopt.reviewing.database import opened

    with opened(url, create=True) as engine, engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    return url


@pytest.fixture
def engine(place: str) -> Iterator["Engine"]:
    from rlopt.reviewing.database import opened

    with opened(place, create=True) as found:
        yield found
