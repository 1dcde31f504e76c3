"""Delta tables, read by deltalake: the rows that are in the table now, not those of its files."""

from importlib.util import find_spec
from pathlib import Path

from ...errors import LogError
from .frames import write_batches


def is_delta(path: Path) -> bool:
    """True if a folder is a Delta table and the package that reads it is installed."""
    return (path / "_delta_log").is_dir() and find_spec("deltalake") is not None


def write_delta(path: Path, target: Path) -> None:
    """Write the present rows of a Delta table to the parquet file ``target``, batch by batch.

    Raises
    ------
    LogError
        If the table cannot be read.
    """
    import deltalake

    try:
        dataset = deltalake.DeltaTable(path).to_pyarrow_dataset()
        write_batches(dataset.schema, dataset.to_batches(), target, str(path))
    except Exception as error:
        if isinstance(error, LogError):
            raise
        reason = str(error).splitlines()[0][:200].rstrip(".")
        raise LogError(f"Cannot read the Delta table {path}: {reason}.") from error
