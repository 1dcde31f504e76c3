"""Sums over Parquet files on a Dask cluster: one DuckDB per partition, which this process then adds up.

A partition is a share of the rows: whole files, or ranges of rows of large ones, which Parquet's row groups let a
worker read alone. Partial sums are whole numbers, least and greatest values, so that any partition gives the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ..dask_cluster import workers_of
from ..errors import LogError
from .engine_errors import clear_errors
from .source import FILE, ROW, FileSource, quote, settings
from .temporary import temporary_folder
from .text_files import Parameters

if TYPE_CHECKING:
    from distributed import Client

_RELATION = "part"
_ALL = 2**63 - 1


@dataclass(frozen=True)
class Piece:
    """Rows ``first`` to ``end`` (not included) of a file of ``size`` bytes."""

    path: str
    size: int
    first: int
    end: int


@dataclass(frozen=True)
class LogCluster:
    """The workers, and which rows each partition has.

    Parameters
    ----------
    client
        The cluster; its workers see the files under the same paths.
    where
        The logs as the user named them, for messages.
    files
        The files as `FileSource.files` names them: sums over any other go to this process.
    relation
        `FileSource.relation` of these files, which stands in the queries.
    columns
        Columns and their types, which every partition must have.
    partitioned
        True if folders count as columns.
    memory_limit
        DuckDB's share in each partition.
    partitions
        The pieces of each.
    """

    client: "Client"
    where: str
    files: tuple[str, ...]
    relation: str
    columns: Mapping[str, str]
    partitioned: bool
    memory_limit: str
    partitions: tuple[tuple[Piece, ...], ...]

    @classmethod
    def of(cls, client: "Client", source: FileSource, memory_limit: str) -> "LogCluster | None":
        """The cluster for these logs; None where they are not Parquet files of the user's own, or hold no row."""
        if any(Path(path) != user for path, user in source.files.items()):
            return None
        files = tuple(str(Path(path).resolve()) for path in source.files)
        partitions = _shared_out(files, sum(workers_of(client).values()))
        if not partitions:
            return None
        return cls(
            client,
            source.where,
            tuple(source.files),
            source.relation,
            source.columns,
            source.partitioned,
            memory_limit,
            tuple(map(tuple, partitions)),
        )

    def partial_sums(self, sql: str, parameters: Parameters, tables: Mapping[str, pa.Table]) -> pa.Table:
        """The rows that ``sql`` gives in each partition, one below the other.

        Parameters
        ----------
        sql
            A query over `relation`.
        parameters
            Parameters of the query; extra ones are left out.
        tables
            Further tables that it names.

        Raises
        ------
        LogError
            If a worker does not see a file, the files have different columns, or the cluster fails.
        """
        task = _Task(
            sql.replace(self.relation, f"(SELECT * FROM {_RELATION})"),
            {name: value for name, value in parameters.items() if name != "files"},
            dict(tables),
            self.where,
            dict(self.columns),
            self.partitioned,
            self.memory_limit,
        )
        futures = self.client.map(_run, [task] * len(self.partitions), self.partitions, pure=False)
        try:
            found: list[pa.Table] = self.client.gather(futures)
        except LogError:
            raise
        except Exception as error:  # whatever a worker died of
            reason = " ".join(str(error).split())[:200].rstrip(".")
            raise LogError(f"The Dask cluster failed while reading {self.where}: {reason}.") from error
        return pa.concat_tables(found)


@dataclass(frozen=True)
class _Task:
    sql: str
    parameters: Parameters
    tables: dict[str, pa.Table]
    where: str
    columns: dict[str, str]
    partitioned: bool
    memory_limit: str


def _run(task: _Task, pieces: Sequence[Piece]) -> pa.Table:
    """On a worker: the rows of the query over these pieces."""
    for piece in pieces:
        path = Path(piece.path)
        if not path.is_file() or path.stat().st_size != piece.size:
            raise LogError(
                f"A worker of the Dask cluster does not see {piece.path} as this machine does. Put the logs where all "
                "workers find them under one path, or leave out --engine dask."
            )
    with (
        temporary_folder("rlopt-part-", None) as folder,
        clear_errors(task.where),
        duckdb.connect(":memory:", config=_settings(task, folder)) as con,
    ):
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"CREATE VIEW {_RELATION} AS {' UNION ALL BY NAME '.join(_select(p, task) for p in pieces)}")
        _check_columns(con, task)
        for name, table in task.tables.items():
            con.register(name, table)
        kinds = con.execute(f"DESCRIBE {task.sql}", task.parameters or None).fetchall()
        wide = [f"{_arrow(quote(name), kind)} AS {quote(name)}" for name, kind, *_ in kinds]
        query = f"SELECT {', '.join(wide)} FROM ({task.sql})"
        return con.sql(query, params=task.parameters or None).to_arrow_table()


def _arrow(name: str, kind: str) -> str:
    """A column as Arrow holds it without loss: its integers have 64 bits, its decimals 128."""
    return f"CAST({name} AS DECIMAL(38, 0))" if kind == "HUGEINT" else name


def _settings(task: _Task, folder: Path) -> Parameters:
    # Row groups that hold none of a partition's rows are skipped only if filters reach the file. No other filter does:
    # the statistics of Parquet leave NaN out (`reward.logs.source.settings`), and none is pushed through a LIMIT.
    return {**settings(task.memory_limit, 1, folder), "disabled_optimizers": "statistics_propagation"}


def _select(piece: Piece, task: _Task) -> str:
    path = piece.path.replace("'", "''")
    options = f"hive_partitioning={str(task.partitioned).lower()}, filename='{FILE}', file_row_number=true"
    rows = f"{ROW} BETWEEN {piece.first} AND {piece.end - 1}"
    return f"(SELECT * FROM read_parquet('{path}', {options}) WHERE {rows} LIMIT {_ALL})"


def _check_columns(con: duckdb.DuckDBPyConnection, task: _Task) -> None:
    rows = con.execute(f"DESCRIBE SELECT * EXCLUDE ({FILE}, {ROW}) FROM {_RELATION}").fetchall()
    found = {name: kind for name, kind, *_ in rows}
    if found == task.columns:
        return
    other = next(name for name in {**task.columns, **found} if task.columns.get(name) != found.get(name))
    raise LogError(
        f"The files of {task.where} differ in the column '{other}': {found.get(other, 'none')} in some, "
        f"{task.columns.get(other, 'none')} over all. --engine dask adds up files of the same columns and types; "
        "without it they are read as they are."
    )


def _shared_out(files: Sequence[str], n: int) -> list[list[Piece]]:
    """At most ``n`` partitions of about equal numbers of rows, in the order of the files."""
    lengths = [_length(path) for path in files]
    target = max(1, -(-sum(lengths) // n))
    out: list[list[Piece]] = [[]]
    room = target
    for path, length in zip(files, lengths, strict=True):
        size, first = Path(path).stat().st_size, 0
        while first < length:
            if not room:
                out.append([])
                room = target
            end = min(length, first + room)
            out[-1].append(Piece(path, size, first, end))
            room -= end - first
            first = end
    return [part for part in out if part]


def _length(path: str) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise LogError(f"Cannot read {path}: {str(error).splitlines()[0].rstrip('.')}.") from error


def merged(table: str, kinds: Mapping[str, str], keys: Sequence[str], least: set[str], most: set[str]) -> str:
    """SQL that adds up partial sums of the same keys, in the types that they had.

    Parameters
    ----------
    table
        Name of the table of partial sums.
    kinds
        Column -> type.
    keys
        Columns that name a group; the others are sums.
    least, most
        Columns of least and greatest values.
    """
    outputs = [quote(key) for key in keys]
    for name, kind in kinds.items():
        if name in keys:
            continue
        how = "min" if name in least else "max" if name in most else "sum"
        kind = "HUGEINT" if kind == "DECIMAL(38,0)" else kind
        outputs.append(f"CAST({how}({quote(name)}) AS {kind}) AS {quote(name)}")
    groups = f" GROUP BY {', '.join(map(quote, keys))}" if keys else ""
    return f"(SELECT {', '.join(outputs)} FROM {table}{groups})"


def kinds_of(source: FileSource, table: str) -> dict[str, Any]:
    """Column -> type of a table."""
    return {name: kind for name, kind, *_ in source.query(f"DESCRIBE {table}").fetchall()}
