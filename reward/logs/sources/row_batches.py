"""Rows of Python values, as database cursors and workbooks give them, become Arrow batches of one schema."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .frames import write_batches

ROWS_AT_ONCE = 50_000


def write_rows(names: Sequence[str], chunks: Iterable[Sequence[Sequence[Any]]], target: Path, what: str) -> None:
    """Write rows to the parquet file ``target``; a few of them are held in memory.

    The type of a column is what all of its values fit: whole numbers and fractions are fractions, anything else that
    is mixed is text.

    Raises
    ------
    LogError
        As `reward.logs.sources.frames.write_batches`.
    """
    parts: list[Path] = []
    schemas: list[pa.Schema] = []
    for number, chunk in enumerate(chunks):
        values = list(zip(*chunk, strict=True)) or [()] * len(names)
        table = pa.table([_array(column) for column in values], names=list(names))
        parts.append(target.with_name(f"part-{number:06d}.parquet"))
        pq.write_table(table, parts[-1])
        schemas.append(table.schema)
    joined = [_joined([schema.field(i).type for schema in schemas]) for i in range(len(names))]
    schema = pa.schema([pa.field(name, kind) for name, kind in zip(names, joined, strict=True)])
    write_batches(schema, _batches(parts, schema), target, what)


def _batches(parts: Sequence[Path], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for part in parts:
        table = pq.read_table(part, partitioning=None)
        columns = [_as(table.column(i), field.type) for i, field in enumerate(schema)]
        yield from pa.Table.from_arrays(columns, schema=schema).to_batches()
        part.unlink()


def _as(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if pa.types.is_string(kind):
        return pa.chunked_array([_texts(column.to_pylist())])
    return column.cast(kind)


def _array(values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return _texts(values)


def _texts(values: Sequence[Any]) -> pa.Array:
    return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).decode("utf-8", errors="replace")
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (dict, list)) else str(value)


def _joined(kinds: Sequence[pa.DataType]) -> pa.DataType:
    """The type that values of all these types have."""
    known = [kind for kind in dict.fromkeys(kinds) if not pa.types.is_null(kind)]
    if len(known) <= 1:
        return known[0] if known else pa.string()
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in known):
        return pa.float64()
    try:
        return pa.unify_schemas([pa.schema([("x", kind)]) for kind in known], promote_options="permissive").types[0]
    except pa.ArrowException:
        return pa.string()
