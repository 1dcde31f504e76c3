"""The printed query gives the arms that `read_logs` finds in the raw rows."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from reward.errors import LogError
from reward.logs.read import read_logs
from reward.logs.schema import ColumnMapping
from reward.logs.sources.arms_sql import DIALECTS, TEMPLATES, arms_query

from ...log_fixtures import assert_same_arms

sqlglot = pytest.importorskip("sqlglot")
COLUMNS = "item_id=shop+sku,title=Head line,clicks=clicked,position=rank,timestamp=at,revenue=euros,conversions=orders"


def raw(seed: int, n: int = 5_000) -> pd.DataFrame:
    """Impressions under a user's own names; times are whole days, as the query keeps them."""
    rng = np.random.default_rng(seed)
    item = rng.integers(0, 15, n)
    clicked = rng.random(n) < 0.2
    return pd.DataFrame(
        {
            "shop": np.where(item < 5, "north", "south"),
            "sku": item,
            "Head line": [f"Title {a} of {i}" for a, i in zip(rng.integers(0, 3, n), item, strict=True)],
            "clicked": clicked,
            "orders": (clicked & (rng.random(n) < 0.2)).astype(int),
            "euros": np.where(clicked, rng.integers(0, 90, n) / 2, 0.0),
            "rank": rng.integers(1, 5, n),
            "at": pd.Timestamp("2026-03-01") + pd.to_timedelta(rng.integers(0, 9, n), unit="D"),
            "brand": [f"brand {i % 4}" for i in item],
        }
    )


def test_impressions_add_up_in_duckdb_as_they_do_here(tmp_path: Path) -> None:
    rows = raw(0)
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as con:
        con.register("rows", rows)
        con.execute("CREATE SCHEMA sales")
        con.execute('CREATE TABLE sales."shown titles" AS SELECT * FROM rows')
    mapping = ColumnMapping.parse(COLUMNS)
    sql = arms_query("duckdb", table='sales."shown titles"', mapping=mapping, context=["brand"])
    found = read_logs(f"duckdb:///{tmp_path / 'shop.duckdb'}", query=sql, threads=1)
    wanted = read_logs(rows, columns=mapping, threads=1)
    assert found.totals.rows < wanted.totals.rows
    assert_same_arms(found.arms, wanted.arms, rtol=1e-6)


def test_events_of_ga4_add_up_in_duckdb(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE events (event_date VARCHAR, event_name VARCHAR, items STRUCT(item_id VARCHAR, "
                    "item_name VARCHAR, item_brand VARCHAR)[])")  # fmt: skip
        one, other = (
            f"{{'item_id': '{i}', 'item_name': '{t}', 'item_brand': 'x'}}" for i, t in (("a", "A one"), ("b", "B"))
        )
        listed = f"[{one}, {other}]"
        con.execute(f"INSERT INTO events SELECT '20260301', 'view_item_list', {listed} FROM range(20)")
        con.execute(f"INSERT INTO events SELECT '20260301', 'select_item', [{listed}[1]] FROM range(3)")
        con.execute(f"INSERT INTO events SELECT '20260302', 'view_item_list', [{listed}[2]] FROM range(5)")
        con.execute(f"INSERT INTO events SELECT '20260302', 'purchase', [{listed}[2]] FROM range(5)")
    found = read_logs(f"duckdb:///{path}", query=arms_query("duckdb", "ga4", context=["item_brand"]))
    arms = found.arms
    assert list(zip(arms.item_ids, arms.title, arms.impressions, arms.clicks, strict=True)) == [
        ("a", "A one", 20.0, 3.0),
        ("b", "B", 25.0, 0.0),
    ]
    assert found.context_columns == ("item_brand",)


def test_search_console_is_joined_with_the_titles_of_each_day(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE searchdata_url_impression (data_date DATE, url VARCHAR, query VARCHAR, "
                    "impressions BIGINT, clicks BIGINT, sum_position BIGINT)")  # fmt: skip
        con.execute("CREATE TABLE titles (url VARCHAR, title VARCHAR, first_day DATE, last_day DATE)")
        con.execute("INSERT INTO titles VALUES ('/a', 'Old', '2026-03-01', '2026-03-02'), "
                    "('/a', 'New', '2026-03-03', '2026-03-09'), ('/b', 'B', '2026-03-01', '2026-03-09')")  # fmt: skip
        con.execute("INSERT INTO searchdata_url_impression SELECT DATE '2026-03-01' + CAST(d AS INTEGER), u, q, 10, 1, "
            "20 "
                    "FROM range(4) r(d), (VALUES ('/a'), ('/b')) v(u), (VALUES ('x'), ('y')) w(q)")  # fmt: skip
    arms = read_logs(f"duckdb:///{path}", query=arms_query("duckdb", "search-console")).arms
    assert list(zip(arms.item_ids, arms.title, arms.impressions, arms.clicks, strict=True)) == [
        ("/a", "New", 40.0, 4.0),
        ("/a", "Old", 40.0, 4.0),
        ("/b", "B", 80.0, 8.0),
    ]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_takes_the_query(dialect: str, template: str) -> None:
    if template == "ga4" and dialect in ("snowflake", "clickhouse", "postgres"):
        with pytest.raises(LogError, match=f"GA4 exports to BigQuery.*For {dialect} make a view"):
            arms_query(dialect, template)  # type: ignore[arg-type]
        return
    mapping = ColumnMapping.parse(COLUMNS) if template == "impressions" else None
    sql = arms_query(dialect, template, table="shop.shown", mapping=mapping, context=["brand"])  # type: ignore[arg-type]
    again = sqlglot.parse_one(sql, read=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    keys = [key for key in ("item_id", "title", "impressions", "clicks", "brand") if key not in again.named_selects]
    assert not keys
    assert any(table.name == "shown" and table.db == "shop" for table in again.find_all(sqlglot.exp.Table))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"template": "ga4", "mapping": ColumnMapping({"title": "x"})}, "columns of its own"),
        ({"titles": "t"}, "--titles belongs to --template search-console"),
        ({"mapping": ColumnMapping({"conversion_delay_hours": "x"})}, "no sum"),
        ({"table": "a.b; DROP TABLE c"}, "no name of a table"),
        ({"context": ["a`b"]}, "cannot be written in every dialect"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict, said: str) -> None:
    with pytest.raises(LogError, match=said):
        arms_query("bigquery", **options)
