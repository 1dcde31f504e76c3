"""Form of a JSON file of rows: a line each, an array, one after the other, or inside of an object."""

import json
from pathlib import Path
from typing import Any

from .encodings import opener
from .schema import CANONICAL, looks_like

LINES, ARRAY, OBJECTS = "newline_delimited", "array", "unstructured"
_MAX_LINE_BYTES = 16 << 20
_MAX_WRAPPED_BYTES = 1 << 30  # such a file is read whole


def json_form(path: Path, rows: Path) -> tuple[Path, str]:
    """The file to read for ``path`` and how it holds its rows, as DuckDB calls it.

    ``path`` itself, or ``rows`` with a row a line, written where the rows are a list inside of an object.
    """
    with opener(path)(path, "rb") as stream:
        head = stream.read(1)
        while head and head.isspace():
            head = stream.read(1)
        if head == b"[":
            return path, ARRAY
        line = head + stream.readline(_MAX_LINE_BYTES)
        more = bool(stream.read(64).strip())
    first = _parsed(line)
    if isinstance(first, dict) and more:
        return path, LINES
    if first is None and path.stat().st_size <= _MAX_WRAPPED_BYTES:
        with opener(path)(path, "rb") as stream:
            first = _parsed(stream.read())
    found = _list_inside(first)
    if found is not None:
        with rows.open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        return rows, LINES
    return path, OBJECTS if first is None or not _parsed(line) else LINES


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _list_inside(value: Any) -> list[dict[str, Any]] | None:
    """The only list of objects in an object that is no row itself."""
    if not isinstance(value, dict) or any(_names_a_column(str(key)) for key in value):
        return None
    lists = [v for v in value.values() if isinstance(v, list) and v and all(isinstance(row, dict) for row in v)]
    if len(lists) == 1:
        return lists[0]
    inner = [v for v in value.values() if isinstance(v, dict)]
    return _list_inside(inner[0]) if not lists and len(inner) == 1 else None


def _names_a_column(key: str) -> bool:
    return key.strip().casefold() in CANONICAL or looks_like(key) is not None
