"""A long output written shard by shard beside its place: a killed command goes on, readers see all or none."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlopt import processes
from rlopt.csv_files import write_csv
from rlopt.errors import RunError
from rlopt.files import atomic_path, atomic_write, disk_errors, is_leftover, own_folder, recover_folders, remove
from rlopt.lock import locked

KEY_FILE = "key"
POLL_SECONDS = 0.1
_SHARD = re.compile(r"\d{6,}(\.draft)?\.parquet")


@dataclass(frozen=True)
class Shards:
    """The folder ``.NAME.parts`` beside the output ``NAME``.

    Parameters
    ----------
    out
        Path of the whole output.
    folder
        Folder of the shards until then.
    """

    out: Path
    folder: Path

    def missing(self, number: int) -> bool:
        """True if neither the shard nor its draft is there."""
        return not self._path(number).exists() and not self._draft(number).exists()

    def write_draft(self, number: int, table: pa.Table) -> None:
        """Keep what becomes a shard when the first process has looked at it, whole or not at all."""
        _write(self._draft(number), table)

    def take_draft(self, number: int) -> pa.Table:
        """A draft, as soon as the process that writes it has done so."""
        while not self._draft(number).exists():
            time.sleep(POLL_SECONDS)
        return self._read(self._draft(number))

    def done(self) -> int:
        """Shards written so far: all before the first gap."""
        number = 0
        while self._path(number).exists():
            number += 1
        return number

    def write(self, number: int, table: pa.Table) -> None:
        """Keep one shard, whole or not at all; its draft has served."""
        _write(self._path(number), table)
        self._draft(number).unlink(missing_ok=True)

    def read(self, number: int) -> pa.Table:
        """A shard written before.

        Raises
        ------
        RunError
            If it is damaged.
        """
        return self._read(self._path(number))

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Put the shards together at the output's place, one at a time in memory, and remove them.

        By the first process, when the others have done their part: they meet here and at the end of `open_shards`.
        """
        processes.wait()
        count = self.done()
        schema = self.read(0).schema.remove_metadata()
        with atomic_path(self.out, scratch=self.folder) as temporary:
            if self.out.suffix.lower() == ".csv":
                write_csv(map(self.read, range(count)), schema, temporary)
            else:
                schema = schema.with_metadata({**metadata})
                with pq.ParquetWriter(temporary, schema, compression="zstd") as parquet:
                    for number in range(count):
                        parquet.write_table(self.read(number).replace_schema_metadata({**metadata}))
        remove(self.folder)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.parquet"

    def _draft(self, number: int) -> Path:
        return self.folder / f"{number:06d}.draft.parquet"

    def _read(self, path: Path) -> pa.Table:
        try:
            return pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise RunError(f"{path} is damaged. Remove the folder {self.folder} and start again.") from error


def _write(path: Path, table: pa.Table) -> None:
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


@contextmanager
def open_shards(out: Path, key: str) -> Iterator[Shards]:
    """The shards of the output ``out``, locked; those of other inputs or settings (another ``key``) are removed.

    Of several processes (`rlopt.processes.join`) the first does that, and the others wait for it.

    Raises
    ------
    RunError
        If another process writes the same output, the place cannot be written, or the folder is a link or not
        rlopt's.
    """
    folder = out.with_name(f".{out.name}.parts")
    mark = folder / KEY_FILE
    if not processes.is_first():
        processes.wait()
        yield Shards(out, folder)
        processes.wait()
        return
    own_folder(folder, _is_ours)
    with disk_errors(folder), locked(folder, f"the command that writes {out.name}"):
        recover_folders(folder)
        if not mark.exists() or mark.read_bytes() != key.encode():
            for old in folder.glob("*.parquet"):
                remove(old)
            remove(mark)
            atomic_write(mark, key)
        processes.wait()
        yield Shards(out, folder)


def _is_ours(name: str) -> bool:
    return name == KEY_FILE or bool(_SHARD.fullmatch(name)) or is_leftover(name)


def fingerprint_metadata(values: Mapping[str, Any]) -> dict[str, str]:
    """Parquet metadata ``rlopt.NAME`` of plain values."""
    return {f"rlopt.{name}": str(value) for name, value in values.items()}
