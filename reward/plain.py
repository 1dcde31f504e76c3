"""Frozen dataclasses as JSON and back: the one writer and the one reader of what a run keeps and a command prints."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:  # `saved` loads pydantic when something is read: every command's help does without it
    from pydantic import ConfigDict

JsonObject = dict[str, Any]
"""A JSON object as it stands in a file: what has no type of its own, or not yet."""


class Plain:
    """A frozen dataclass that is written as a JSON object under the names of its fields, and read back as itself."""

    __pydantic_config__: ClassVar["ConfigDict"] = {"strict": True, "allow_inf_nan": False}

    def to_dict(self) -> JsonObject:
        """Plain JSON data, see `plain`."""
        return _of_fields(self)

    def _repr_html_(self) -> str:
        """HTML that a notebook shows."""
        return html_of(self)

    @classmethod
    def read(cls, path: Path, way_out: str | None = None) -> Self:
        """Read an object from a file, see `from_json`."""
        from .saved import AGAIN, read_text

        return cls.from_json(read_text(path, way_out or AGAIN), path, way_out)

    @classmethod
    def from_json(cls, text: str, where: str | Path, way_out: str | None = None) -> Self:
        """Read an object written as ``to_json(self.to_dict())``.

        Parameters
        ----------
        text
            A JSON object; keys that this class does not know are left out.
        where
            The file it was read from, for messages.
        way_out
            Advice for a damaged file, a sentence; by default to run ``fit-reward`` again.

        Raises
        ------
        SavedError
            A value is missing, of another type or not finite; the message names file and key.
        """
        from .saved import AGAIN, check_kind

        found: Self = check_kind(text, where, cls, way_out or AGAIN)
        return found


def plain(value: Any) -> Any:
    """``value`` as JSON data: dataclasses, mappings, sequences, numpy arrays and scalars; no number is not finite.

    Keys become text, paths too; NaN and infinity become None.
    """
    if isinstance(value, Plain):
        return plain(value.to_dict())
    if is_dataclass(value) and not isinstance(value, type):
        return _of_fields(value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(inner) for inner in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def html_of(result: Any) -> str:
    """A result as a notebook shows it: its own words where it has some, else a table of its values."""
    if hasattr(result, "to_text"):
        return f"<pre>{escape(result.to_text())}</pre>"
    rows = [(name, value if isinstance(value, str) else to_json(value)) for name, value in result.to_dict().items()]
    cells = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<table>{''.join(cells)}</table>"


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON text of `plain` data."""
    return json.dumps(plain(value), ensure_ascii=False, indent=indent, allow_nan=False)


def _of_fields(value: Any) -> JsonObject:
    return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
