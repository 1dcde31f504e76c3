"""Sums of groups of rows: by this process, or by the cluster that the source has."""

from collections.abc import Mapping, Sequence

from .cluster import kinds_of, merged
from .text_files import Parameters
from .typed_rows import TypedRows

_PARTIAL = "partial_sums"


def grouped(
    rows: TypedRows,
    keys: Sequence[str],
    values: Mapping[str, str],
    table: str,
    parameters: Parameters,
    *,
    grouping: str | None = None,
    joined: Sequence[str] = (),
) -> tuple[str, Parameters]:
    """SQL of one row a group, and the parameters that it takes.

    The cluster's result is a temporary table until the next call: use the SQL at once.

    Parameters
    ----------
    rows
        Rows of the table.
    keys
        Columns of ``table``, or expressions with ``AS``, that name a group.
    values
        Name -> SQL of a count, a sum of whole numbers, ``min(...)`` or ``max(...)``: what can be added up from parts
        without a difference.
    table, parameters
        SQL of the rows, and what it takes.
    grouping
        GROUP BY clause where that is not the keys.
    joined
        Temporary tables that ``table`` names.
    """
    names = [key.rpartition(" AS ")[2] for key in keys]
    outputs = ", ".join([*keys, *(f"{sql} AS {name}" for name, sql in values.items())])
    groups = f" GROUP BY {grouping or ', '.join(names)}" if keys else ""
    sql = f"SELECT {outputs} FROM {table}{groups}"
    source = rows.source
    cluster = source.cluster
    if cluster is None or cluster.files != tuple(source.files):
        return f"({sql})", parameters
    tables = {name: source.table(f"SELECT * FROM {name}") for name in joined}
    found = cluster.partial_sums(sql, parameters, tables)
    source.query(f"DROP TABLE IF EXISTS {_PARTIAL}")
    source.connection.register("found_on_cluster", found)
    source.query(f"CREATE TEMP TABLE {_PARTIAL} AS SELECT * FROM found_on_cluster")
    source.connection.unregister("found_on_cluster")
    least, most = ({name for name, sql in values.items() if sql.startswith(how)} for how in ("min(", "max("))
    return merged(_PARTIAL, kinds_of(source, _PARTIAL), names, least, most), {}
