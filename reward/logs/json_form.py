"""Form of a JSON file of rows: a line each, an array, one after the other, or deeper down.

Exports wrap rows in pages, hits and features, or write a list of names and lists of values. Such files are unwrapped
where reading them as they stand names no two columns, or fails.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from .encodings import opener
from .schema import CANONICAL, looks_like

LINES, ARRAY, OBJECTS = "newline_delimited", "array", "unstructured"
_MAX_LINE_BYTES = 16 << 20
_MAX_WRAPPED_BYTES = 1 << 30  # such a file is read whole
_MOST_SCALARS = 3  # of an object around a row; a row of unknown names has more


def json_form(path: Path) -> str:
    """Form of the rows of ``path``, as DuckDB calls it."""
    with opener(path)(path, "rb") as stream:
        head = stream.read(1)
        while head and head.isspace():
            head = stream.read(1)
        if head == b"[":
            return ARRAY
        first = _parsed(head + stream.readline(_MAX_LINE_BYTES))
    return LINES if isinstance(first, dict) else OBJECTS


def names_columns(keys: Iterable[str]) -> bool:
    """True if these are the names of a row: two different columns of the schema, or usual names of them."""
    return len({known_column(key) for key in keys} - {None}) > 1


def unwrapped(path: Path, rows: Path) -> bool:
    """Write ``rows``, a row a line, where ``path`` holds rows deeper down, or in several arrays; False where not."""
    if path.stat().st_size > _MAX_WRAPPED_BYTES:
        return False
    with opener(path)(path, "rb") as stream:
        try:
            values = _opened(_values(stream.read().decode("utf-8-sig")))
            first = next(values, None)
            values = chain([first], values)
            found = _from_lists(values) if isinstance(first, list) else chain.from_iterable(map(_rows, values))
            with rows.open("w", encoding="utf-8") as out:
                n = 0
                for row in found:
                    out.write(json.dumps(row, ensure_ascii=False) + "\n")
                    n += 1
        except (ValueError, RecursionError):
            return False
    return n > 0


def _values(text: str) -> Iterator[Any]:
    """The values of a text that holds them one after the other, with commas or without."""
    decoder, place = json.JSONDecoder(object_pairs_hook=_object), 0
    while True:
        while place < len(text) and (text[place].isspace() or text[place] == ","):
            place += 1
        if place == len(text):
            return
        value, place = decoder.raw_decode(text, place)
        yield value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        raise ValueError("a key twice")
    return out


def _opened(values: Iterable[Any]) -> Iterator[Any]:
    """The values, and those of arrays in their place."""
    for value in values:
        if isinstance(value, list):
            yield from value
        else:
            yield value


def _rows(value: Any) -> list[dict[str, Any]]:
    """Rows inside of an object: itself, those of its only list of rows, or its only object that holds some.

    Raises
    ------
    ValueError
        If there are none, or several lists of them.
    """
    if not isinstance(value, dict):
        raise ValueError("no object")
    if rows := _from_named_lists(value):
        return rows
    if names_columns(value):
        return [value]
    if value and all(isinstance(row, dict) and names_columns(row) for row in value.values()):  # by some key
        return list(value.values())
    beside = [v for k, v in value.items() if not (isinstance(v, (dict, list)) or k.startswith("_") or known_column(k))]
    if len(beside) > _MOST_SCALARS and not any(isinstance(v, list) and v for v in value.values()):
        raise ValueError("a row of unknown names")
    found = [rows for inner in value.values() if (rows := _inside(inner))]
    if len(found) > 1:
        raise ValueError("several tables")
    if not found:
        return _from_columns(value)
    own = {k: v for k, v in value.items() if known_column(k) and not isinstance(v, (dict, list))}
    return [{**own, **row} for row in found[0]]


def _inside(value: Any) -> list[dict[str, Any]]:
    try:
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            return [row for inner in value for row in _rows(inner)]
        return _rows(value)
    except ValueError:
        return []


def _from_named_lists(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of an object of columns, each a list or an object by row, as ``DataFrame.to_json`` has it; else none."""
    columns = list(value.values())
    if not names_columns(value):
        return []
    if all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
        return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]
    if all(isinstance(column, dict) and column.keys() == columns[0].keys() for column in columns):
        return [{name: value[name][row] for name in value} for row in columns[0]]
    return []


def _from_columns(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of an object with a list of names and a list of lists of values, as pandas and BI tools write them."""
    names = [[_name(one) for one in v] for v in value.values() if isinstance(v, list) and v and all(map(_name, v))]
    lists = [v for v in value.values() if isinstance(v, list) and v and all(isinstance(row, list) for row in v)]
    if len(names) != 1 or len(lists) != 1:
        raise ValueError("no table")
    return list(_from_lists(chain([names[0]], lists[0])))


def _from_lists(lists: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Rows of lists of values, the first of which names the columns."""
    lists = iter(lists)
    names: Sequence[Any] = next(lists)
    if not all(isinstance(name, str) for name in names) or not names_columns(names) or len(set(names)) < len(names):
        raise ValueError("no names")
    for row in lists:
        if not isinstance(row, list):
            raise ValueError("no list")
        yield dict(zip(names, row, strict=True))


def _name(value: Any) -> str:
    """A column's name, or that of an object that describes a column; empty for anything else."""
    if isinstance(value, dict):
        value = value.get("name")
    return value if isinstance(value, str) else ""


def known_column(key: str) -> str | None:
    """The column of the schema that a name stands for, by its own or a usual name; None for others."""
    folded = key.strip().casefold()
    return folded if folded in CANONICAL else "clicks" if folded == "click" else looks_like(key)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
