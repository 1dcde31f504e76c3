"""Ways in which a file of a run may be damaged, by kind of file, and what each puts in its place."""

import copy
import io
import json
import os
import pickle
import socket
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Damage = Callable[[Path], None]
DEEP = 10_000


class Executed:
    """Pickled, it would write a file when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def _write(content: bytes) -> Damage:
    def damage(path: Path) -> None:
        path.write_bytes(content)

    return damage


def _in_its_place(make: Callable[[Path], object]) -> Damage:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def _truncated(share: float) -> Damage:
    def damage(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return damage


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(path.parent)  # names of sockets are short
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)


def _bits(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 7, len(content), max(len(content) // 5, 1)):
        content[place] ^= 0xFF
    path.write_bytes(bytes(content))


def _huge(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1 << 33)  # no byte of it is written


ANY_FILE: dict[str, Damage] = {
    "empty": _write(b""),
    "blank": _write(b"\n"),
    "cut in half": _truncated(0.5),
    "random bytes": _write(np.random.default_rng(0).bytes(5000)),
    "zero bytes": _write(b"\0" * 4096),
    "flipped bytes": _bits,
    "UTF-16 text": _write("{}".encode("utf-16")),
    "a web page": _write(b"<!DOCTYPE html><html><body>404</body></html>"),
    "a pickle that runs a command": _write(pickle.dumps(Executed())),
    "8 GiB": _huge,
    "gone": Path.unlink,
    "a folder": _in_its_place(Path.mkdir),
    "a link to /etc/passwd": _in_its_place(lambda path: path.symlink_to("/etc/passwd")),
    "a link to itself": _in_its_place(lambda path: path.symlink_to(path)),
    "a link to a copy": _in_its_place(lambda path: path.symlink_to("/dev/null")),
    "a pipe": _in_its_place(os.mkfifo),
    "a socket": _in_its_place(_socket),
}
if hasattr(os, "geteuid") and os.geteuid() != 0:
    ANY_FILE["unreadable"] = lambda path: path.chmod(0)

JSON_FILE: dict[str, Damage] = {
    "no JSON": _write(b"hello"),
    "null": _write(b"null"),
    "a number": _write(b"42"),
    "a text": _write(b'"text"'),
    "a list": _write(b"[1, 2]"),
    "an empty object": _write(b"{}"),
    "other keys": _write(b'{"format": 4, "a": 1}'),
    "10,000 lists": _write(b"[" * DEEP + b"]" * DEEP),
    "10,000 objects": _write(b'{"a":' * DEEP + b"1" + b"}" * DEEP),
    "an endless number": _write(b'{"format": ' + b"9" * 10_000 + b"}"),
    "half an escape": _write(b'{"a": "\\ud800\\u12"}'),
    "not UTF-8": _write(b'{"a": "\xff\xfe"}'),
}
BAD_VALUES: dict[str, str] = {
    "null": "null",
    "a text": '"many"',
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "1e999": "1e999",
    "a list": "[[1]]",
    "an object": '{"a": {"b": []}}',
    "deep": "[" * DEEP + "]" * DEEP,
    "true": "true",
}


def json_values(content: str) -> Iterator[tuple[str, str]]:
    """Every value of the object, to two levels, left out or replaced by each of `BAD_VALUES`."""
    whole = json.loads(content)
    for place in _places(whole, 2):
        name = ".".join(map(str, place))
        without = copy.deepcopy(whole)
        del _at(without, place[:-1])[place[-1]]
        yield f"no {name}", json.dumps(without)
        for kind, text in BAD_VALUES.items():
            changed = copy.deepcopy(whole)
            _at(changed, place[:-1])[place[-1]] = "@@"
            yield f"{name} is {kind}", json.dumps(changed).replace('"@@"', text)


def _places(value: Any, depth: int) -> Iterator[tuple[Any, ...]]:
    if depth == 0 or not isinstance(value, dict | list):
        return
    keys = list(value) if isinstance(value, dict) else list(range(min(len(value), 1)))
    for key in keys:
        yield (key,)
        for rest in _places(value[key], depth - 1):
            yield (key, *rest)


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        value = value[key]
    return value


def array_kinds(content: bytes, names: Callable[[str], bool] = lambda _: True) -> Iterator[tuple[str, bytes]]:
    """An ``.npz`` file with each of its arrays damaged in turn."""
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in file.files}
    for name, array in arrays.items():
        if not names(name):
            continue
        yield f"no {name}", saved({n: a for n, a in arrays.items() if n != name})
        for kind, changed in _array_kinds(array):
            yield f"{name} {kind}", saved({**arrays, name: changed})
    yield "a text beside the arrays", with_member(content, "note.txt", b"hello")
    yield "a pickled array", with_member(content, "more.npy", _npy(np.array([Executed()], dtype=object)))
    yield "an array that says it is larger", with_member(content, "more.npy", _header((1 << 40,)) + b"\0" * 8)
    yield "an array of negative size", with_member(content, "more.npy", _header((-1,)) + b"\0" * 8)
    yield "an array without a header", with_member(content, "more.npy", b"\x93NUMPY\x01\x00\xff\xff{")


def _array_kinds(array: np.ndarray[Any, Any]) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    yield "as texts", array.astype(str)[..., None][:1]
    yield "as numbers of another kind", array.astype(np.complex128)
    yield "with one dimension more", array[..., None]
    if array.ndim:
        yield "one shorter", array[:-1]
        yield "empty", array[:0]
    if array.dtype.kind == "f":
        for kind, value in (("NaN", np.nan), ("infinite", np.inf)):
            changed = array.copy()
            changed[...] = value
            yield f"all {kind}", changed
            if changed.size > 1:
                changed = array.copy()
                changed.flat[-1] = value
                yield f"once {kind}", changed
    elif array.dtype.kind == "i":
        for value in (-1, 1 << 30):
            yield f"all {value}", np.full_like(array, value)


def saved(arrays: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """The arrays as an ``.npz`` file."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def with_member(content: bytes, name: str, member: bytes) -> bytes:
    """An ``.npz`` file with one more file in it."""
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, member)
    return stream.getvalue()


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def _header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def table_kinds(path: Path) -> Iterator[tuple[str, Damage]]:
    """A parquet file with each of its columns damaged in turn."""
    table = pq.read_table(path)
    for number, name in enumerate(table.column_names):
        column = table.column(name)
        changed = {
            "gone": table.drop_columns([name]),
            "all null": table.set_column(number, name, pa.nulls(len(table), column.type)),
            "of texts": table.set_column(number, name, pa.array(["x"] * len(table))),
            "of lists": table.set_column(number, name, pa.array([[1]] * len(table))),
            "of numbers": table.set_column(number, name, pa.array([-7.0] * len(table))),
            "of NaN": table.set_column(number, name, pa.array([float("nan")] * len(table))),
            "of large numbers": table.set_column(number, name, pa.array([1 << 40] * len(table))),
        }
        for kind, other in changed.items():
            yield f"{name} {kind}", _table(other)
    yield "no rows", _table(table.slice(0, 0))
    yield "half of the rows", _table(table.slice(0, len(table) // 2))
    yield "no metadata", _table(table.replace_schema_metadata(None))
    yield "another table", _table(pa.table({"a": [1]}))


def _table(table: pa.Table) -> Damage:
    return lambda path: pq.write_table(table, path)
