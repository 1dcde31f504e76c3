"""Files that are either whole or not there: atomic writes, folder swaps, fingerprints, JSON lines."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from reward.plain import to_json as to_json
from rlopt.errors import RunError

_DISK_ERRORS = {
    errno.ENOSPC: "the disk is full; free some space or choose another place",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another place",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EACCES: "permission denied; make it writable or choose another place",
    errno.EPERM: "permission denied; make it writable or choose another place",
    errno.EEXIST: "a part of the path is a file, not a folder; choose another place",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another place",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}
_TEMP = ".tmp-"
_OLD = ".old-"


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into one line that names ``path``.

    Raises
    ------
    RunError
        For the errors of `_DISK_ERRORS`, and for libraries that report a full disk in words of their own.
    """
    try:
        yield
    except OSError as error:
        reason = _DISK_ERRORS.get(error.errno or 0)
        if reason is None:
            raise
        raise RunError(f"Cannot write {error.filename or path}: {reason}.") from error
    except Exception as error:  # safetensors, DuckDB and LightGBM wrap ENOSPC in types of their own
        if "No space left on device" not in str(error):
            raise
        raise RunError(f"Cannot write {path}: {_DISK_ERRORS[errno.ENOSPC]}.") from error


def atomic_write(path: Path, content: bytes | str) -> None:
    """Write a file so that readers, also after a crash, see the old content or the new, never a part.

    Parameters
    ----------
    path
        Where; missing parent folders are made.
    content
        Text is written as UTF-8.

    Raises
    ------
    RunError
        When the disk is full or the place cannot be written. What was at ``path`` is untouched.
    """
    data = content.encode() if isinstance(content, str) else content
    with disk_errors(path), atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Name of a temporary file beside ``path`` that replaces it when the block ends well, and is removed if not.

    For writers that need a file name (parquet, DuckDB, models).

    Raises
    ------
    RunError
        When the disk is full or the place cannot be written. What was at ``path`` is untouched.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f"{_TEMP}{path.name}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def replacing_folders(
    parent: Path, names: Sequence[str], before_swap: Callable[[], None] | None = None
) -> Iterator[dict[str, Path]]:
    """Fresh temporary folders, one a name, that take the places of ``parent/name`` when the block ends well.

    All of them are written before the first is moved, so that folders that belong together change together. A
    crash within a move is mended by `recover_folders`; ``before_swap`` is where the caller notes that one is due.
    """
    with disk_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        fresh: dict[str, Path] = {}
        try:
            for name in names:
                fresh[name] = Path(tempfile.mkdtemp(prefix=f"{_TEMP}{name}-", dir=parent))
                fresh[name].chmod(0o777 & ~_umask())
            yield fresh
            if before_swap is not None:
                before_swap()
            for name, folder in fresh.items():
                _swap(folder, parent / name)
        finally:
            for folder in fresh.values():
                shutil.rmtree(folder, ignore_errors=True)


def _swap(fresh: Path, target: Path) -> None:
    """Put ``fresh`` where ``target`` is. POSIX cannot replace a folder that is not empty, hence two renames."""
    old = target.parent / f"{_OLD}{target.name}"
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.replace(old)
    fresh.replace(target)
    shutil.rmtree(old, ignore_errors=True)


def recover_folders(parent: Path) -> None:
    """Clean up after a crash: a folder that was moved away but not replaced returns, leftovers go."""
    for old in parent.glob(f"{_OLD}*"):
        target = parent / old.name.removeprefix(_OLD)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.replace(target)
    for leftover in parent.glob(f"{_TEMP}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def needs_recovery(parent: Path) -> bool:
    """True where a crash left a folder moved away (leftover temporary files alone harm nobody)."""
    return any(parent.glob(f"{_OLD}*"))


def fingerprint(path: Path) -> str:
    """Hash of a file's content, or of the names and contents of all files in a folder; 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        if file is not path:
            digest.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).digest())
    return digest.hexdigest()


def fingerprints(files: Iterable[str | Path]) -> dict[str, str]:
    """Fingerprint of each file that can be read; whoever reads the others says what is wrong with them."""
    found = {}
    for file in files:
        with suppress(OSError):
            found[str(file)] = fingerprint(Path(file))
    return found


class JsonlWriter:
    """Append-only JSON lines: one line a step, flushed at once, so that a killed run loses no finished step.

    Parameters
    ----------
    path
        The file; a half-written last line (the process was killed) is cut off on opening.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                self._keep(whole_lines(path))

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row."""
        with disk_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(to_json(row) + "\n")

    def truncate_after(self, step: int) -> None:
        """Drop rows whose ``step`` is past ``step``: a resumed run writes them again."""
        if self.path.exists():
            kept = [line for line in whole_lines(self.path) if json.loads(line).get("step", 0) <= step]
            self._keep(kept)

    def rows(self) -> list[dict[str, Any]]:
        """All rows written so far."""
        return [json.loads(line) for line in whole_lines(self.path)] if self.path.exists() else []

    def _keep(self, lines: Sequence[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        if text.encode() != self.path.read_bytes():
            atomic_write(self.path, text)


def whole_lines(path: Path) -> list[str]:
    """Lines of ``path`` that hold one whole JSON value; what a killed writer left half is left out."""
    out = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            json.loads(line)
        except ValueError:
            continue
        out.append(line)
    return out
