"""Files that are either whole or not there: atomic writes, folder swaps, fingerprints, JSON lines. No link is followed.

Inside a folder of rlopt's own (a run, ``.NAME.parts``, an export) there are files and folders and nothing else: what a
link points to is never written, emptied or read. Where such a folder lies may be behind links.
"""

import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from reward.plain import JsonObject
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
    errno.ELOOP: "it is a link, and links are not followed here; remove it",
    errno.EISDIR: "a folder is where this file belongs; remove it or choose another place",
}
_REMOVE_LINES = "Remove that line or the file, and run the stage that wrote it again."
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
        If the disk is full or the place cannot be written. What was at ``path`` is untouched.
    """
    data = content.encode() if isinstance(content, str) else content
    with disk_errors(path), atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def atomic_path(path: Path, scratch: Path | None = None) -> Iterator[Path]:
    """Name of a temporary file beside ``path`` that replaces it when the block ends well, and is removed if not.

    For writers that need a file name (parquet, DuckDB, models). With ``scratch``, a folder of the same file system, the
    file waits there: what a killed writer leaves then lies among what is the writer's own.

    Raises
    ------
    RunError
        If the disk is full or the place cannot be written. What was at ``path`` is untouched.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = path.parent if scratch is None else scratch
        handle, name = tempfile.mkstemp(prefix=f"{_TEMP}{path.name}-", suffix=path.suffix, dir=folder)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _readable(folder: Path) -> None:
    """Give all in ``folder`` the modes that the umask says: safetensors keeps its files to their owner."""
    mask = _umask()
    for path in (folder, *folder.rglob("*")):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def replacing_folders(
    parent: Path,
    names: Sequence[str],
    before_swap: Callable[[], None] | None = None,
    scratch: Path | None = None,
    *,
    keep_old: bool = False,
) -> Iterator[dict[str, Path]]:
    """Fresh temporary folders, one a name, that take the places of ``parent/name`` when the block ends well.

    All of them are written before the first is moved, so that folders that belong together change together. A
    crash within a move is mended by `recover_folders`; ``before_swap`` is where the caller notes that one is due.
    They wait in ``scratch``, as in `atomic_path`; in ``parent`` by default. With ``keep_old`` what they replace stays
    moved away until `recover_folders` removes it, or puts it back.
    """
    with disk_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        fresh: dict[str, Path] = {}
        try:
            for name in names:
                fresh[name] = Path(tempfile.mkdtemp(prefix=f"{_TEMP}{name}-", dir=scratch or parent))
                fresh[name].chmod(0o777 & ~_umask())
            yield fresh
            for folder in fresh.values():
                _readable(folder)
            if before_swap is not None:
                before_swap()
            for name, folder in fresh.items():
                _swap(folder, parent / name, scratch or parent, keep_old)
        finally:
            for folder in fresh.values():
                with suppress(OSError):
                    remove(folder)


def _swap(fresh: Path, target: Path, scratch: Path, keep_old: bool) -> None:
    """Put ``fresh`` where ``target`` is. POSIX cannot replace a folder that is not empty, hence two renames."""
    old = scratch / f"{_OLD}{target.name}"
    if keep_old and os.path.lexists(old):  # moved away before, in the same stage: that one is the old one
        remove(target)
    else:
        remove(old)
    if os.path.lexists(target):
        target.replace(old)
    fresh.replace(target)
    if not keep_old:
        with suppress(OSError):
            remove(old)


def recover_folders(parent: Path, scratch: Path | None = None, put_back: Collection[str] = ()) -> None:
    """Clean up after a crash: a folder that was moved away but not replaced returns, leftovers go.

    Those named in ``put_back`` return although they were replaced.
    """
    scratch = scratch or parent
    for old in scratch.glob(f"{_OLD}*"):
        target = parent / old.name.removeprefix(_OLD)
        if target.name in put_back and not old.is_symlink():
            remove(target)
        if os.path.lexists(target) or old.is_symlink():
            remove(old)
        else:
            old.replace(target)
    for leftover in scratch.glob(f"{_TEMP}*"):
        remove(leftover)


def needs_recovery(parent: Path) -> bool:
    """True where a crash left a folder moved away (leftover temporary files alone harm nobody)."""
    return any(parent.glob(f"{_OLD}*"))


def remove(path: Path) -> None:
    """Remove a file, a folder with all that is in it, or a link: the link itself, never what it points to.

    Nothing happens where nothing is.
    """
    try:
        kind = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(kind):
        shutil.rmtree(path)  # follows no link either
    else:
        path.unlink()


def refuse_links(folder: Path, way_out: str) -> None:
    """Check that a folder of rlopt's own holds files and folders alone, down to the last.

    ``folder`` may itself be reached by way of a link; nothing is checked where there is none.

    Raises
    ------
    RunError
        If something in it is a link, a pipe, a socket or a device.
    """
    waiting = [folder] if folder.is_dir() else []
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    raise RunError(f"{entry.path} is a link, and links are not followed here. Remove it, or {way_out}.")
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False):
                    raise RunError(f"{entry.path} is neither a file nor a folder. Remove it, or {way_out}.")


def own_folder(folder: Path, known: Callable[[str], bool]) -> None:
    """Make ``folder``, or check that it is rlopt's: no link, and nothing in it that is not `known` by name.

    Raises
    ------
    RunError
        If it is a link or a file, or holds anything else.
    """
    with disk_errors(folder):
        if folder.is_symlink():
            raise RunError(f"{folder} is a link, and links are not followed here. Remove it, or name another output.")
        folder.mkdir(parents=True, exist_ok=True)
        if strangers := sorted(entry.name for entry in folder.iterdir() if not known(entry.name)):
            raise RunError(
                f"{folder} holds {strangers[0]!r}, which rlopt did not write. Move it away, or name another output."
            )
        refuse_links(folder, "name another output")


def is_leftover(name: str) -> bool:
    """True for what a crash may leave of `atomic_path` or `replacing_folders`, and for the lock of the folder."""
    return name.startswith((_TEMP, _OLD, ".lock"))


def refuse_in_run(out: Path) -> None:
    """Check that an output is not to lie in a run directory, where stages replace what they find.

    Raises
    ------
    RunError
        If one of the folders above ``out`` is a run directory.
    """
    place = out.parent.resolve() / out.name
    for folder in (place, *place.parents):
        if _is_run(folder):
            raise RunError(
                f"{out} lies in the run directory {folder}, whose files are its stages' own. Choose another."
            )


def _is_run(folder: Path) -> bool:
    manifest = folder / "manifest.json"
    try:
        if not stat.S_ISREG(manifest.lstat().st_mode):
            return False
        with manifest.open("rb") as file:
            head = file.read(1 << 20)
    except OSError:
        return False
    return all(key in head for key in (b'"format"', b'"created"', b'"stages"'))


def fingerprint(path: Path, without: Sequence[str] = ()) -> str:
    """Hash of a file's content, or of the names and contents of a folder's files; 32 hexadecimal digits.

    Files of a folder whose name is among ``without`` do not count.
    """
    digest = hashlib.blake2b(digest_size=16)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and p.name not in without)
    for file in files:
        if file is not path:
            digest.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).digest())
    return digest.hexdigest()


def fingerprints(files: Iterable[str | Path]) -> dict[str, str]:
    """Fingerprint of each word list that can be read; whoever reads the others says what is wrong with them."""
    from reward.features.phraselist import MAX_BYTES  # here: `rlopt --help` loads this module, and no NumPy

    found = {}
    for file in files:
        with suppress(OSError):
            known = Path(file).stat()
            if stat.S_ISREG(known.st_mode) and known.st_size <= MAX_BYTES:
                found[str(file)] = fingerprint(Path(file))
    return found


class JsonlWriter:
    """Append-only JSON lines: one line a step, flushed at once, so that a killed run loses no finished step.

    Parameters
    ----------
    path
        The file; a half-written last line (the process was killed) is cut off on opening.
    shape
        Required type of every line: a dataclass, see `reward.saved.read_json`; any object by default.

    Raises
    ------
    SavedError
        If the file holds anything else.
    """

    def __init__(self, path: Path, shape: Any = None) -> None:
        self.path, self._shape = path, shape
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(path):
                self._keep([text for text, _ in self._lines()])

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row."""
        with disk_errors(self.path), open(self.path, "a", encoding="utf-8", opener=_no_link) as file:
            file.write(to_json(row) + "\n")

    def truncate_after(self, step: int) -> None:
        """Drop rows whose ``step`` is past ``step``: a resumed run writes them again."""
        if self.path.exists():
            self._keep([text for text, row in self._lines() if row.get("step", 0) <= step])

    def rows(self) -> list[JsonObject]:
        """All rows written so far."""
        return [row for _, row in self._lines()] if self.path.exists() else []

    def _lines(self) -> list[tuple[str, JsonObject]]:
        from reward.saved import check_kind, whole_lines

        lines = whole_lines(self.path, _REMOVE_LINES)
        if self._shape is not None:
            for number, (text, _) in enumerate(lines, start=1):
                check_kind(text, f"Line {number} of {self.path}", self._shape, _REMOVE_LINES)
        return lines

    def _keep(self, lines: Sequence[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        if text.encode() != self.path.read_bytes():
            atomic_write(self.path, text)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
