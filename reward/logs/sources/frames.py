"""Tables in memory and streams of Arrow batches become parquet, in row groups that do not depend on their chunks."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...errors import LogError
from ..text_files import refuse_doubles

ROW_GROUP = 100_000
_BATCH = 10_000  # rows read at once from a ``datasets.Dataset``


def write_frame(source: Any, target: Path) -> str:
    """Write a table to ``target``; returns what to call it.

    Raises
    ------
    LogError
        If it is no table, or holds what parquet cannot.
    """
    kind = f"{type(source).__module__.split('.')[0]}.{type(source).__name__}"
    name = f"the {kind}"
    try:
        schema, batches = _stream(source, name)
        write_batches(schema, batches, target, name)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, LogError):
            raise
        raise LogError(f"Cannot read {name}: {_reason(error)}.") from error
    return name


def _reason(error: Exception) -> str:
    """Reason for the error in one line; pandas puts Arrow's reason and the column side by side."""
    if mixed := re.search(r"Conversion failed for column (.+) with type object", str(error)):
        return f"its column '{mixed[1]}' holds values of several types. Make them one, as .astype(str) does"
    return str(error).splitlines()[0].rstrip(".")


def _stream(source: Any, name: str) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
    if hasattr(source, "features") and hasattr(source, "with_format"):  # a Dataset of the datasets library
        if source.features is None:
            raise LogError(f"{name} does not say what its columns hold. Load it as a Dataset, not as a stream.")
        tables = source.with_format("arrow").iter(batch_size=_BATCH)
        return source.features.arrow_schema, (batch for table in tables for batch in table.to_batches())
    if hasattr(source, "__arrow_c_stream__"):
        reader = pa.RecordBatchReader.from_stream(source)
        return reader.schema, reader
    if hasattr(source, "iloc") and hasattr(source, "dtypes"):  # pandas before 2.2
        table = pa.Table.from_pandas(source)
        return table.schema, table.to_batches()
    if hasattr(source, "collect"):
        raise LogError(f"{name} is a query that has not run yet. Give what its .collect() returns.")
    raise LogError(
        f"Logs cannot be read from {name}. Give a path, a URL, or a table that exports an Arrow stream: of pandas, "
        "polars, Arrow or the datasets library."
    )


def write_batches(schema: pa.Schema, batches: Iterable[pa.RecordBatch], target: Path, name: str) -> None:
    """Write batches to a parquet file as they come; one row group of them is held in memory.

    Raises
    ------
    LogError
        If columns have one name, or a type that parquet cannot hold.
    """
    kept = [field for field in schema if not field.name.startswith("__index_level_")]
    if not kept:
        raise LogError(f"{name} has no columns.")
    refuse_doubles(name, [field.name for field in kept])
    plain = pa.schema([pa.field(field.name, _plain(field.type)) for field in kept])
    with pq.ParquetWriter(target, plain, compression="zstd") as writer:
        for group in _groups(batches, plain):
            writer.write_table(group, row_group_size=ROW_GROUP)


def _groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    for batch in batches:
        waiting.append(_cast(pa.Table.from_batches([batch]), schema))
        while sum(len(table) for table in waiting) >= ROW_GROUP:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, ROW_GROUP)
            waiting = [joined.slice(ROW_GROUP)] if len(joined) > ROW_GROUP else []
    if waiting:
        yield pa.concat_tables(waiting)


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    chunks = ([_as(chunk, field.type) for chunk in table[field.name].chunks] for field in schema)
    columns = [pa.chunked_array(found, field.type) for found, field in zip(chunks, schema, strict=True)]
    return pa.Table.from_arrays(columns, schema=schema)


def _as(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """``values`` as `_plain` has their type."""
    if isinstance(values, pa.ExtensionArray):
        return _as(values.storage, kind)
    if isinstance(values, pa.DictionaryArray):  # Arrow itself cannot decode one of string views
        return _as(values.dictionary, kind).take(values.indices)
    if values.type == kind:
        return values
    if isinstance(values, pa.RunEndEncodedArray):
        return _as(pc.run_end_decode(values), kind)
    if pa.types.is_interval(values.type) or pa.types.is_union(values.type):
        return pa.array([None if value is None else str(value) for value in values.to_pylist()], kind)
    return values.cast(kind)


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type of Arrow as parquet has it."""
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    if kind == pa.string_view():
        return pa.large_string()
    if kind == pa.binary_view():
        return pa.large_binary()
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_run_end_encoded(kind):
        return _plain(kind.value_type)
    if kind == pa.float16():
        return pa.float32()
    if pa.types.is_interval(kind) or pa.types.is_union(kind):
        return pa.string()
    return pa.string() if pa.types.is_null(kind) else kind
