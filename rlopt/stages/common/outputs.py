"""Files that commands write."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reward.logs.source import find_files
from reward.logs.sources.local import LocalSource
from rlopt.csv_files import write_csv
from rlopt.errors import RunError
from rlopt.files import atomic_path, disk_errors, refuse_in_run


def check_output(out: str | Path, source: LocalSource | None = None) -> None:
    """Refuse an output that cannot be written before the work is done for it.

    Parameters
    ----------
    source
        The input, where it must not be replaced.

    Raises
    ------
    RunError
        If the name ends in neither .parquet nor .csv, is a folder, in a run directory or one of the input's files,
        or its folder does not take files.
    """
    path = Path(out)
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise RunError(f"The output must end in .parquet or .csv. Got {path}.")
    if path.is_dir():
        raise RunError(f"The output {path} is a folder. Name a file in it.")
    refuse_in_run(path)
    if source is not None and path.exists() and any(path.samefile(file) for file in find_files(source)):
        raise RunError(f"The output {path} is the input, and would replace it. Name another file.")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.write(b"0")


def write_table(table: pa.Table, out: Path) -> None:
    """Write ``.parquet`` or ``.csv`` (`rlopt.csv_files.csv_style`), whole or not at all.

    Raises
    ------
    RunError
        If it cannot be written, or holds nested columns that CSV cannot.
    """
    with atomic_path(out) as temporary:
        if out.suffix.lower() == ".csv":
            nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
            if nested:
                raise RunError(f"CSV cannot hold the nested column '{nested[0]}'. Name the output {out.stem}.parquet.")
            write_csv([table], table.schema, temporary)
        else:
            pq.write_table(table, temporary, compression="zstd")
