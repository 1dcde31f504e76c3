"""The same impressions from every source: are the arms the same, seconds and peak memory of each, in its own process.

Needs the extras [sql], [delta] and [remote], PostgreSQL's binaries and moto; what is missing is said.

    python tests/benchmarks/log_sources.py --impressions 10000000
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from reward.logs.sources.arms_sql import Dialect, arms_query  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--impressions", type=int, default=1_000_000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", default="", help="sources whose names begin so")
    parser.add_argument("--child", nargs=3, metavar=("KIND", "URL", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        read(*options.child)
        return
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        logs = folder / "logs.parquet"
        make(logs, options.impressions, options.first_seed)
        print(f"| {options.impressions:,} impressions from | arms | seconds | peak memory |\n|---|---|---|---|")
        wanted = digest_of("file", str(logs), folder)
        for kinds, prepared in SOURCES.items():
            if wanted_kinds := [kind for kind in kinds if kind.startswith(options.only)]:
                try:
                    url = prepared(folder, logs, stack)
                except ImportError as error:
                    print(f"| {', '.join(wanted_kinds)} | not run: {error} | | |")
                    continue
                for kind in wanted_kinds:
                    digest_of(kind, url, folder, wanted)


def make(path: Path, n: int, seed: int) -> None:
    """Impressions of 2,000 items with four titles each, as wide as a small log is."""
    with duckdb.connect() as con:
        con.execute(f"SELECT setseed({(seed % 1000) / 1000})")
        con.execute(
            f"COPY (SELECT 'sku-' || i AS item_id, 'Title number ' || t || ' of the item ' || i AS title, "
            "(random() < 0.03 + 0.01 * t)::INT AS click, 1 + (random() * 4)::INT AS position, "
            "'brand ' || i % 40 AS brand, "
            "i % 90 + 0.5 AS price FROM (SELECT (random() * 1999)::INT AS i, (random() * 3)::INT AS t "
            f"FROM range({n}))) TO '{path}' (FORMAT parquet)"
        )


def digest_of(kind: str, url: str, folder: Path, wanted: str = "") -> str:
    out = folder / "digest"
    subprocess.run([sys.executable, __file__, "--child", kind, url, str(out)], check=True)
    digest, memory, seconds = out.read_text().split()
    same = "the same" if digest == wanted or not wanted else "DIFFERENT"
    print(f"| {kind} | {same} | {float(seconds):.0f} | {float(memory):.2f} GiB |", flush=True)
    return digest


def read(kind: str, url: str, out: str) -> None:
    """Read one source and write a digest of its arms, the peak memory and the seconds."""
    from reward.logs.read import read_logs
    from rlopt.stages.fit_reward.history import counts_digest

    began = time.monotonic()
    source, query = source_of(kind, url)
    found = read_logs(source, query=query, threads=2).arms
    # Not getrusage: its peak is that of the parent, too.
    peak = int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 2**20
    Path(out).write_text(f"{counts_digest(found)} {peak} {time.monotonic() - began}")


def source_of(kind: str, url: str) -> tuple[object, str | None]:
    if kind == "pandas":
        import pandas as pd

        return pd.read_parquet(url), None
    if kind == "polars":
        import polars as pl

        return pl.read_parquet(url), None
    if kind == "Arrow stream":
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = pq.ParquetFile(url)
        return pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches()), None
    if kind == "datasets":
        import datasets

        return datasets.Dataset.from_parquet(url, cache_dir=str(Path(url).parent / "cache")), None
    if kind.startswith(("PostgreSQL", "DuckDB")):
        if "logs-sql" not in kind:
            return url, "SELECT * FROM shown"
        return url, _arms_query("postgres" if kind.startswith("PostgreSQL") else "duckdb")
    return url, None


def _arms_query(dialect: Dialect) -> str:
    from reward.logs.schema import ColumnMapping

    mapping = ColumnMapping({"clicks": "click", "position": "position"})
    return arms_query(dialect, table="shown", mapping=mapping, context=["brand", "price"])


def sheet(rows: duckdb.DuckDBPyConnection, path: Path) -> None:
    """A workbook of the rows; a sheet has room for about a million, so it holds what SQL has added up."""
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    page = book.create_sheet("arms")
    page.append([name for name, *_ in rows.description or ()])
    while some := rows.fetchmany(10_000):
        for row in some:
            page.append(list(row))
    book.save(path)


def of_file(folder: Path, logs: Path, stack: ExitStack) -> str:
    return str(logs)


def workbook(folder: Path, logs: Path, stack: ExitStack) -> str:
    with duckdb.connect() as con:
        con.execute(f"CREATE VIEW shown AS FROM '{logs}'")
        sheet(con.execute(_arms_query("duckdb")), folder / "arms.xlsx")
    return str(folder / "arms.xlsx")


def duckdb_file(folder: Path, logs: Path, stack: ExitStack) -> str:
    with duckdb.connect(str(folder / "shop.duckdb")) as con:
        con.execute(f"CREATE TABLE shown AS FROM '{logs}'")
    return f"duckdb:///{folder / 'shop.duckdb'}"


def delta_table(folder: Path, logs: Path, stack: ExitStack) -> str:
    import deltalake
    import pyarrow.parquet as pq

    file = pq.ParquetFile(logs)
    batches = pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches())
    deltalake.write_deltalake(str(folder / "delta"), batches)
    return str(folder / "delta")


def s3_bucket(folder: Path, logs: Path, stack: ExitStack) -> str:
    return stack.enter_context(bucket(logs))


def postgres_server(folder: Path, logs: Path, stack: ExitStack) -> str:
    from tests.reward.logs.sources.postgres_server import binaries

    if binaries() is None:
        raise ImportError("no initdb")
    return stack.enter_context(postgres(folder, logs))


SOURCES: dict[tuple[str, ...], Callable[[Path, Path, ExitStack], str]] = {
    ("pandas", "polars", "Arrow stream", "datasets"): of_file,
    ("xlsx, logs-sql",): workbook,
    ("DuckDB", "DuckDB, logs-sql"): duckdb_file,
    ("Delta",): delta_table,
    ("S3 (moto)",): s3_bucket,
    ("PostgreSQL", "PostgreSQL, logs-sql"): postgres_server,
}
"""Names of the ways to read, and what prepares the source that they share."""


@contextmanager
def bucket(logs: Path) -> Iterator[str]:
    import fsspec
    from moto.server import ThreadedMotoServer

    os.environ |= {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1"}
    server = ThreadedMotoServer(verbose=False, ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    os.environ["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
    system = fsspec.filesystem("s3", skip_instance_cache=True)
    system.mkdir("shop")
    system.put(str(logs), "shop/logs.parquet")
    yield "s3://shop/logs.parquet"
    server.stop()


@contextmanager
def postgres(folder: Path, logs: Path) -> Iterator[str]:
    import pyarrow.parquet as pq
    from adbc_driver_postgresql import dbapi

    from tests.reward.logs.sources.postgres_server import server

    with server() as url:
        from reward.logs.sources.databases import with_variables

        with dbapi.connect(with_variables(url)) as connection, connection.cursor() as cursor:
            file = pq.ParquetFile(logs)
            for number, batch in enumerate(file.iter_batches(500_000)):
                cursor.adbc_ingest("shown", batch, mode="append" if number else "create")
            connection.commit()
        yield url


if __name__ == "__main__":
    main()
