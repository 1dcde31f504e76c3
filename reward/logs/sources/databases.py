"""Databases by URL: the answer to a query is streamed to parquet, through ADBC, DuckDB or SQLAlchemy.

A password comes from an environment variable that the URL names, ``postgresql://reader:$PASSWORD@host/shop``, or from
what the driver itself looks up (PGPASSWORD, ~/.pgpass). It stands in no message and in no file.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ...errors import LogError
from .frames import write_batches
from .local import needs
from .row_batches import ROWS_AT_ONCE, write_rows

_SECRET = re.compile(r"(?i)([?&;][^=&;]*(?:pass|pwd|secret|token|key|credential)[^=&;]*=)[^&;#]*")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_MEMORY_LIMIT = "512MB"  # of a DuckDB file's own engine


def write_query(url: str, query: str | None, target: Path) -> str:
    """Write the answer to ``query`` to the parquet file ``target``; returns the URL without secrets.

    Raises
    ------
    LogError
        If the URL or the query is missing or wrong, or what reads such a database is not installed.
    """
    name = masked(url)
    if "://" not in url:
        raise LogError(f"--query asks a database, and {name} is none. Name one, such as postgresql://host/database.")
    if not query or not query.strip():
        raise LogError(f'{name} is a database: say what to read with --query FILE or --query "SELECT ...".')
    sql = _sql(query)
    try:
        if url.startswith("duckdb:"):
            _from_duckdb(_file(url, name), sql, target, name)
        elif url.startswith(("postgresql:", "postgres:")) and _has_adbc():
            _from_adbc(url, sql, target, name)
        else:
            _from_sqlalchemy(url, sql, target, name)
    except LogError:
        raise
    except Exception as error:
        # Whatever a driver raises; its own words may hold the URL, and so may what it was raised from.
        raise LogError(f"Cannot read {name}: {_reason(error, url)}.") from None
    return name


def masked(url: str) -> str:
    """``url`` with *** in place of passwords, tokens and keys."""
    place, question, options = url.partition("?")
    before, mark, rest = place.partition("://")
    login, at, host = rest.rpartition("@")
    if mark and ":" in login:
        login = f"{login.partition(':')[0]}:***"
    return _SECRET.sub(r"\1***", f"{before}{mark}{login}{at}{host}{question}{options}")


def _sql(query: str) -> str:
    path = Path(query)
    with contextlib.suppress(OSError, ValueError):  # SQL is no file name, and too long for one
        if path.is_file():
            try:
                return path.read_text(encoding="utf-8").strip().rstrip(";")
            except (OSError, ValueError) as error:
                raise LogError(f"Cannot read the query in {query}: {error}.") from error
    if query.strip().casefold().endswith(".sql") and " " not in query.strip():
        raise LogError(f"--query names the file {query}, which is not there.")
    return query.strip().rstrip(";")


def _file(url: str, name: str) -> Path:
    """The database file of ``duckdb:///FILE`` and ``sqlite:///FILE``, which must be there: engines would make one."""
    path = Path(unquote(url.split("://", 1)[1].partition("?")[0].removeprefix("/")))
    if not path.is_file():
        raise LogError(f"{name}: there is no file {path}. An absolute path has four slashes: duckdb:////data/shop.db")
    return path


def _from_duckdb(path: Path, sql: str, target: Path, name: str) -> None:
    import duckdb

    settings: Any = {"memory_limit": _MEMORY_LIMIT, "temp_directory": str(target.parent)}
    with duckdb.connect(str(path), read_only=True, config=settings) as con:
        relation = con.sql(sql)
        if relation is None:
            raise LogError(f"The query of {name} returns no rows: it must be a SELECT.")
        reader = relation.to_arrow_reader(ROWS_AT_ONCE)
        write_batches(reader.schema, reader, target, name)


def _has_adbc() -> bool:
    from importlib.util import find_spec

    return find_spec("adbc_driver_postgresql") is not None


def _from_adbc(url: str, sql: str, target: Path, name: str) -> None:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(with_variables(url)) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        reader = cursor.fetch_record_batch()
        write_batches(reader.schema, reader, target, name)


def _from_sqlalchemy(url: str, sql: str, target: Path, name: str) -> None:
    try:
        import sqlalchemy
    except ImportError as error:
        raise needs("SQLAlchemy", "sql", name) from error
    if url.startswith("sqlite:"):
        _file(url, name)
    url = re.sub(r"^postgres(?=[:+])", "postgresql", url)
    if url.startswith("postgresql:"):
        url = url.replace("postgresql:", "postgresql+psycopg:", 1)
    try:
        engine = sqlalchemy.create_engine(with_variables(url))
    except sqlalchemy.exc.NoSuchModuleError as error:
        dialect = url.partition(":")[0]
        raise LogError(f"{name} needs SQLAlchemy's dialect '{dialect}': install the package that has it.") from error
    except ModuleNotFoundError as error:
        raise LogError(f"{name} needs the package {error.name}: pip install it.") from error
    options = {"stream_results": True, "max_row_buffer": ROWS_AT_ONCE, "no_parameters": True}
    try:
        with engine.connect().execution_options(**options) as connection:
            result = connection.exec_driver_sql(sql)
            if not result.returns_rows:
                raise LogError(f"The query of {name} returns no rows: it must be a SELECT.")
            write_rows(list(result.keys()), _chunks(result), target, name)
    finally:
        engine.dispose()


def _chunks(result: Any) -> Iterator[Sequence[Sequence[Any]]]:
    while rows := result.fetchmany(ROWS_AT_ONCE):
        yield rows


def with_variables(url: str) -> str:
    """``url`` with its $VARIABLES, each spelt as a URL has to."""
    from urllib.parse import quote_plus

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in os.environ:
            raise LogError(f"{masked(url)} names the environment variable {name}, which is not set.")
        return quote_plus(os.environ[name])

    return _VARIABLE.sub(value, url)


def _reason(error: Exception, url: str) -> str:
    """The driver's first line without what must not be told."""
    text = str(getattr(error, "orig", None) or error)
    line = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    secrets = {os.environ.get(found[1] or found[2], "") for found in _VARIABLE.finditer(url)}
    login = url.partition("?")[0].partition("://")[2].rpartition("@")[0]
    secrets |= {login.partition(":")[2], unquote(login.partition(":")[2])}
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        line = line.replace(secret, "***")
    return re.sub(r"^(\w+ )+Error: ", "", masked(line)[:300].strip()).rstrip(".!")
