"""Databases give the arms of the same rows in a file; secrets stand in no message."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote_plus

import duckdb
import pyarrow as pa
import pytest

from reward.errors import LogError
from reward.logs.read import read_logs
from reward.logs.schema import ColumnMapping
from reward.logs.sources.arms_sql import arms_query
from reward.logs.sources.databases import masked
from tests.conftest import Outcome

from ...log_fixtures import assert_same_arms, impressions_log, written
from .postgres_server import PASSWORD, binaries, server

LOG = impressions_log(11, n=3_000)
QUERY = "SELECT * FROM shown WHERE position IS NULL OR position < 5"
KEPT = LOG[LOG["position"].isna() | (LOG["position"] < 5)]


def sqlite_url(folder: Path) -> str:
    pytest.importorskip("sqlalchemy")
    with sqlite3.connect(folder / "shop.db") as con:
        LOG.to_sql("shown", con, index=False)
    return f"sqlite:///{folder / 'shop.db'}"


def duckdb_url(folder: Path) -> str:
    with duckdb.connect(str(folder / "shop.duckdb")) as con:
        con.register("log", LOG)
        con.execute("CREATE TABLE shown AS SELECT * FROM log")
    return f"duckdb:///{folder / 'shop.duckdb'}"


URLS: dict[str, Callable[[Path], str]] = {"sqlite": sqlite_url, "duckdb": duckdb_url}


@pytest.mark.parametrize("kind", URLS)
def test_a_query_gives_the_arms_of_its_rows(kind: str, tmp_path: Path) -> None:
    url = URLS[kind](tmp_path)
    wanted = read_logs(written(KEPT, tmp_path / "log.parquet"), threads=1)
    (tmp_path / "arms.sql").write_text(f"{QUERY};\n", encoding="utf-8")
    for query in (QUERY, str(tmp_path / "arms.sql")):
        found = read_logs(url, query=query, threads=1)
        assert_same_arms(found.arms, wanted.arms)
        assert found.source == url


@pytest.mark.parametrize("kind", URLS)
def test_what_is_wrong_is_one_line(kind: str, tmp_path: Path) -> None:
    url = URLS[kind](tmp_path)
    for query, said in (
        (None, "say what to read with --query"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("missing.sql", r"names the file missing\.sql, which is not there"),
        ("SELECT item_id FROM shown", "has no column 'title'"),
    ):
        with pytest.raises(LogError, match=said) as told:
            read_logs(url, query=query)
        assert "\n" not in str(told.value)
    with pytest.raises(LogError, match="there is no file"):
        read_logs(f"{url}.not", query=QUERY)
    assert not Path(f"{tmp_path}/shop.db.not").exists()
    with pytest.raises(LogError, match="asks a database"):
        read_logs(tmp_path / "log.parquet", query=QUERY)


def test_values_of_several_types_in_one_column_are_read_as_texts(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    with sqlite3.connect(tmp_path / "shop.db") as con:
        con.execute("CREATE TABLE shown (item_id, title TEXT, clicks, size)")
        rows = [(1, "a", 0, None), ("x", "b", 1, 3), (2, "c", 1, "large"), (2, "d", 0, 2.5), (1, "e", 1, b"low")]
        con.executemany("INSERT INTO shown VALUES (?, ?, ?, ?)", rows * 5)
    arms = read_logs(f"sqlite:///{tmp_path / 'shop.db'}", query="SELECT * FROM shown").arms
    assert [(i, t, n) for i, t, n in zip(arms.item_ids, arms.title, arms.clicks, strict=True)] == [
        ("1", "a", 0.0),
        ("1", "e", 5.0),
        ("2", "c", 5.0),
        ("2", "d", 0.0),
        ("x", "b", 5.0),
    ]


def test_secrets_are_masked_wherever_they_stand() -> None:
    assert masked("postgresql://me:p@ss:w/rd@host/db") == "postgresql://me:***@host/db"
    assert masked("postgresql://me:word@host:5432/db?sslpassword=x&app=y") == (
        "postgresql://me:***@host:5432/db?sslpassword=***&app=y"
    )
    assert masked("snowflake://u:pw@acc/db?token=abc") == "snowflake://u:***@acc/db?token=***"
    assert masked("sqlite:///a.db") == "sqlite:///a.db"


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed here (initdb, pg_ctl)")
    dbapi = pytest.importorskip("adbc_driver_postgresql.dbapi")
    with server() as url:
        times = pa.array((LOG["timestamp"] * 1_000_000).astype("int64"), pa.timestamp("us", "UTC"))
        table = pa.Table.from_pandas(LOG.drop(columns="timestamp")).append_column("timestamp", times)
        login = url.replace("$SHOP_PASSWORD", quote_plus(PASSWORD))
        with dbapi.connect(login) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("shown", table)
            cursor.execute("ALTER TABLE shown ALTER COLUMN revenue TYPE numeric(10, 2)")
            connection.commit()
        yield url


@pytest.mark.parametrize("way", ["adbc", "sqlalchemy"])
def test_postgresql_gives_the_arms_of_its_rows(postgres: str, way: str, tmp_path: Path) -> None:
    if way == "sqlalchemy":
        pytest.importorskip("sqlalchemy")
        pytest.importorskip("psycopg")
    url = postgres if way == "adbc" else postgres.replace("postgresql:", "postgresql+psycopg:")
    wanted = read_logs(written(KEPT, tmp_path / "log.parquet"), threads=1)
    found = read_logs(url, query=QUERY, threads=1)
    assert_same_arms(found.arms, wanted.arms)
    assert found.source == url.replace("$SHOP_PASSWORD", "***")


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_no_password_reaches_the_screen_or_a_file(
    postgres: str, scheme: str, tmp_path: Path, rlopt: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    if "psycopg" in scheme:
        pytest.importorskip("sqlalchemy")
        pytest.importorskip("psycopg")
    url = postgres.replace("postgresql:", f"{scheme}:")
    wrong = rlopt("check-logs", url, "--query", "SELECT * FROM nowhere", "-v")
    right = rlopt("check-logs", url, "--query", QUERY, "--json")
    literal = rlopt("check-logs", url.replace("$SHOP_PASSWORD", "nope-nope"), "--query", QUERY, "-v")
    monkeypatch.setenv("SHOP_PASSWORD", "other-word")
    refused = rlopt("check-logs", url, "--query", QUERY, "-v")
    assert [told.code for told in (wrong, right, literal, refused)] == [1, 0, 1, 1]
    assert "nowhere" in wrong.err
    assert "password authentication failed" in literal.err + refused.err
    for told in (wrong, right, literal, refused):
        for word in (PASSWORD, "s3cr3t", "nope-nope", "other-word"):
            assert word not in told.out + told.err
    monkeypatch.delenv("SHOP_PASSWORD")
    assert "environment variable SHOP_PASSWORD, which is not set" in rlopt("check-logs", url, "--query", QUERY).err


def test_the_printed_query_adds_up_in_postgresql_as_rows_do_here(postgres: str) -> None:
    pytest.importorskip("sqlglot")
    names = ["position", "conversions", "revenue", "propensity"]
    mapping = ColumnMapping({"clicks": "click", **{name: name for name in names}})
    sql = arms_query("postgres", table="shown", mapping=mapping, context=["brand", "price"])
    found = read_logs(postgres, query=sql, threads=1)
    wanted = read_logs(LOG.drop(columns=["timestamp", "conversion_delay_hours"]), threads=1)
    assert found.totals.rows < wanted.totals.rows
    assert_same_arms(found.arms, wanted.arms, rtol=1e-6)
