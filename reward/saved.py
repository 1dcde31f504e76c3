"""Reads what a run has saved (JSON, JSON lines, arrays) and checks it before anybody trusts it.

A file may have been cut off, edited, replaced by a link or a pipe, or come from somebody else. Each of these gives one
line: which file, what is wrong, what to do. Files are opened without following a link and without waiting for a pipe;
their size, their nesting, the kinds of their values and the sizes and finiteness of their arrays are checked. Nothing
that is read is ever executed.
"""

import errno
import io
import json
import lzma
import math
import os
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, TypeAdapter, ValidationError

from .errors import RewardError
from .plain import JsonObject

MAX_BYTES = 1 << 30
"""No file of a run's JSON, and no array, is larger: whoever names a larger one has damaged it."""
MAX_DEPTH = 32
AGAIN = "Run rlopt fit-reward again (with --force)."
Arrays = dict[str, npt.NDArray[Any]]

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_SHOWN = 80  # characters of a file's own words in a message
_READ_ERRORS = {
    errno.ELOOP: "it is a link, and links are not followed here",
    errno.EISDIR: "it is a folder",
    errno.ENXIO: "it is no regular file",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
}


class SavedError(RewardError):
    """A file of a run is missing or damaged."""


def read_bytes(path: Path, way_out: str = AGAIN, limit: int = MAX_BYTES) -> bytes:
    """Content of a regular file of at most ``limit`` bytes.

    Raises
    ------
    SavedError
        If it is missing, cannot be read, or is a link, a folder, a pipe or larger.
    """
    with open_saved(path, way_out) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise SavedError(damaged(path, f"it has {size:,} bytes, at most {limit:,} are read", way_out))
        return file.read(limit + 1)


def read_text(path: Path, way_out: str = AGAIN) -> str:
    """Content of a regular UTF-8 file; errors as in `read_bytes`."""
    try:
        return read_bytes(path, way_out).decode()
    except UnicodeDecodeError as error:
        raise SavedError(damaged(path, "it is not UTF-8 text", way_out)) from error


@contextmanager
def open_saved(path: Path, way_out: str = AGAIN) -> Iterator[BinaryIO]:
    """A regular file, open for reading.

    Raises
    ------
    SavedError
        If it is missing, cannot be read, or is a link, a folder or a pipe.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        file = os.fdopen(os.open(path, flags), "rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SavedError(f"{path} is missing. {way_out}") from error
    except OSError as error:
        reason = _READ_ERRORS.get(error.errno or 0) or error.strerror or type(error).__name__
        raise SavedError(damaged(path, reason, way_out)) from error
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise SavedError(damaged(path, "it is no regular file", way_out))
        yield file


def read_json(path: Path, kind: Any, way_out: str = AGAIN) -> Any:
    """The JSON value in a file, of a certain kind.

    Parameters
    ----------
    path
        The file.
    kind
        Required type: ``dict[str, Any]``, a dataclass that stands for an object with at least its fields, anything
        that pydantic checks. Nothing is converted; what comes back is plain data.
    way_out
        Advice for a damaged file, a sentence.

    Raises
    ------
    SavedError
        If the file cannot be read or holds anything else.
    """
    return parse_json(read_bytes(path, way_out), path, kind, way_out)


def parse_json(text: bytes | str, where: Path | str, kind: Any, way_out: str = AGAIN) -> Any:
    """Parse a text from ``where`` as `read_json` does."""
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
        _check_depth(value)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else f"it is no JSON: {error}"
        raise SavedError(damaged(where, reason, way_out)) from error
    check_kind(text, where, kind, way_out)
    return value


def check_kind(text: bytes | str, where: Path | str, kind: Any, way_out: str = AGAIN) -> Any:
    """Check that a JSON text is of a certain kind, see `read_json`; returns what it spells: a dataclass is made."""
    try:
        return _adapter(kind).validate_json(text)
    except ValidationError as error:
        raise SavedError(damaged(where, _first(error), way_out)) from error


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    if isinstance(kind, type) and is_dataclass(kind):
        kind.__pydantic_config__ = _STRICT  # type: ignore[attr-defined]
        return TypeAdapter(kind)
    return TypeAdapter(kind, config=_STRICT)


def read_lines(path: Path, way_out: str = AGAIN) -> list[JsonObject]:
    """The JSON objects of a file of JSON lines, see `whole_lines`."""
    return [row for _, row in whole_lines(path, way_out)]


def whole_lines(path: Path, way_out: str = AGAIN) -> list[tuple[str, JsonObject]]:
    """The lines of a file of JSON lines, as text and as the object it spells.

    A last line without an end, which a killed writer left half, is left out.

    Raises
    ------
    SavedError
        If the file cannot be read, or another line is no JSON object.
    """
    *lines, rest = read_bytes(path, way_out).split(b"\n")
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            row = parse_json(line, f"Line {number} of {path}", JsonObject, way_out)
            found.append((line.decode(), row))
    if rest.strip():
        with suppress(SavedError):
            found.append((rest.decode(errors="replace"), parse_json(rest, path, JsonObject, way_out)))
    return found


def read_arrays(path: Path, way_out: str = AGAIN, *, infinite: Iterable[str] = ()) -> Arrays:
    """The arrays of an ``.npz`` file: numbers and truth values, without a NaN.

    Parameters
    ----------
    path
        The file.
    way_out
        Advice for a damaged file, a sentence.
    infinite
        Ends of the names of arrays that may hold infinities.

    Raises
    ------
    SavedError
        If the file cannot be read, or holds anything else.
    """
    content = read_bytes(path, way_out)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"its arrays have more than {MAX_BYTES:,} bytes")
            arrays = {info.filename.removesuffix(".npy"): _array(archive.read(info)) for info in archive.infolist()}
    except (
        ValueError,
        OSError,
        EOFError,
        RuntimeError,
        NotImplementedError,
        RecursionError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
    ) as error:
        raise SavedError(damaged(path, f"it holds no arrays: {error}", way_out)) from error
    for name, array in arrays.items():
        _check_numbers(array, f"{path}: {name}", way_out, name.endswith(tuple(infinite)))
    return arrays


def damaged(where: Path | str, reason: object, way_out: str) -> str:
    """Message for a file that cannot be trusted."""
    told = " ".join(str(reason).split()).rstrip(".")
    return f"{where} is damaged ({told[: 2 * _SHOWN]}). {way_out}"


@contextmanager
def damage(where: Path | str, way_out: str = AGAIN) -> Iterator[None]:
    """Whatever goes wrong in putting together what was read means that it is damaged.

    Raises
    ------
    SavedError
        For every error that wrong values cause; errors that say in one line what to do pass.
    """
    try:
        yield
    except RewardError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        reason = str(error) or type(error).__name__
        if isinstance(error, KeyError) and " " not in str(error.args[0]):  # a name; Arrow's are whole sentences
            reason = f"no {error}"
        raise SavedError(damaged(where, reason, way_out)) from error


def array(arrays: Mapping[str, npt.NDArray[Any]], name: str, kinds: str, *shape: int | None) -> npt.NDArray[Any]:
    """One of the arrays, checked.

    Parameters
    ----------
    arrays
        From `read_arrays`.
    name
        Its name.
    kinds
        Letters of numpy's kinds it may have: "f", "iu", "b".
    shape
        Its shape; None for a dimension of any size.

    Raises
    ------
    ValueError
        If it is missing, or has another kind or shape.
    """
    if name not in arrays:
        raise ValueError(f"no array {name!r}")
    found = arrays[name]
    if found.dtype.kind not in kinds:
        raise ValueError(f"the array {name!r} holds {found.dtype}")
    if len(found.shape) != len(shape) or any(
        wanted is not None and wanted != size for wanted, size in zip(shape, found.shape, strict=True)
    ):
        raise ValueError(f"the array {name!r} has shape {found.shape}, not {_shape(shape)}")
    return found


def within(found: npt.NDArray[Any], name: str, low: float, high: float) -> npt.NDArray[Any]:
    """The array, whose values are all in [low, high).

    Raises
    ------
    ValueError
        If one is not.
    """
    if found.size and not (found.min() >= low and found.max() < high):
        raise ValueError(f"the array {name!r} holds values outside of {low:g} to {high:g}")
    return found


def number(value: object, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number in [low, high].

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high or value - value != 0:
        raise ValueError(f"{name} is {str(value)[:_SHOWN]}")
    return float(value)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:_SHOWN]} is too large")
    return value


def _check_depth(value: object) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise RecursionError
        inner = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list))
        level = [v for values in inner for v in values if isinstance(v, dict | list)]


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part)[:_SHOWN] for part in found["loc"])
    return f"{place}: {found['msg']}" if place else str(found["msg"])


def _array(content: bytes) -> npt.NDArray[Any]:
    """One ``.npy`` file, whose header must agree with its size before anything is allocated."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if dtype.hasobject or dtype.kind not in "biuf":
        raise ValueError(f"an array of {dtype}")
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise ValueError(f"an array of shape {shape} whose data have another size")
    stream.seek(0)
    return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


def _check_numbers(found: npt.NDArray[Any], name: str, way_out: str, infinite: bool) -> None:
    if found.dtype.kind == "f" and not (np.isnan(found).any() == 0 if infinite else np.isfinite(found).all()):
        raise SavedError(damaged(name, "it holds values that are no finite numbers", way_out))


def _shape(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"
