"""The item: what a title is for, with the fields that are known about it (the context)."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .saved import AGAIN, SavedError, damaged, parse_json

MISSING = frozenset(
    {
        *(
            "",
            "-",
            "--",
            "\u2013",
            "\u2014",
            "?",
            "n/a",
            "#n/a",
            "n.a.",
            "n. a.",
            "k.a.",
            "k. a.",
            "nan",
            "none",
            "null",
        ),
        *("<na>", "<null>", "\\n", "(not set)", "(not provided)", "not set", "not specified", "not available"),
        *(
            "not applicable",
            "unknown",
            "(unknown)",
            "unspecified",
            "undefined",
            "(none)",
            "(null)",
            "(blank)",
            "(empty)",
        ),
        *("(missing)", "not provided", "[object object]"),
        *("[null]", "#null!", "#ref!", "#value!", "#name?", "#div/0!", "#num!", "#nv", "#n/d", "#wert!", "#bezug!"),
        *("#zahl!", "#valeur!", "#nom?", "#\u00a1valor!", "#\u00a1ref!"),
        *("\u672a\u77e5", "\u6682\u65e0", "\u65e0", "\u672a\u8bbe\u7f6e", "\u4e0d\u8be6"),
        *("\u672a\u586b\u5199", "\u65e0\u6570\u636e", "\u6682\u65e0\u6570\u636e", "\u672a\u6307\u5b9a"),
        *("\u306a\u3057", "\u672a\u8a2d\u5b9a", "\uc5c6\uc74c", "\ubbf8\uc9c0\uc815"),  # Japanese, Korean
        *("n\\a", "n.v.t.", "n/d", "s/d", "sin datos", "no informado", "n\u00e3o informado", "non d\u00e9fini"),
        "non renseign\u00e9",
        *(
            "\u043d\u0435 \u0443\u043a\u0430\u0437\u0430\u043d\u043e",
            "\u043d\u0435\u0442 \u0434\u0430\u043d\u043d\u044b\u0445",
        ),
    }
)
"""Texts, in lower case, that say of a field that its value is not known: those of databases, spreadsheets, analytics
and shop exports, in several languages; \\N is Hive's and MySQL's. NA is none of them: it is North America and Namibia,
too."""


@dataclass(frozen=True)
class _ItemShape:
    item_id: str
    fields: dict[str, list[str]]
    current_title: str | None


@dataclass(frozen=True)
class Item:
    """One product or article.

    Parameters
    ----------
    item_id
        Key of the item in the logs.
    fields
        Field name -> its values as text, in the log's order. A single-valued field has a tuple of one. Nested
        values (struct, JSON object, list of ``[name, value]`` pairs) are flattened to one field a name.
    current_title
        The title in use today (the logged title with most impressions), None for an item without logs.

    Raises
    ------
    TypeError
        If the values of a field are a plain text, whose letters would be taken for values.

    Examples
    --------
    >>> Item("sku-1", {"brand": ("Acme",), "color": ("red", "blue")}).text()
    'Acme red blue'
    """

    item_id: str
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    current_title: str | None = None

    def __post_init__(self) -> None:
        given: Mapping[str, object] = self.fields  # whatever a caller gave
        for name, values in given.items():
            if isinstance(values, str):
                raise TypeError(f"The field {name!r:.60} needs a tuple of texts. Got {values!r:.60}: put it into one.")

    def text(self) -> str:
        """All field values joined by blanks."""
        return " ".join(value for values in self.fields.values() for value in values)

    def to_json(self) -> str:
        """One JSON object as text; `from_json` reads it back."""
        return json.dumps(
            {"item_id": self.item_id, "fields": self.fields, "current_title": self.current_title}, ensure_ascii=False
        )

    @classmethod
    def from_json(cls, text: str) -> "Item":
        """Item written by `to_json`.

        Raises
        ------
        SavedError
            If the text is anything else.
        """
        return items_from_json([text], "an item")[0]


def items_from_json(texts: Sequence[str], where: str | Path) -> tuple[Item, ...]:
    """Items that `Item.to_json` wrote; ``where`` names the file for messages.

    Raises
    ------
    SavedError
        If a text is anything else.
    """
    found = parse_json(f"[{','.join(texts)}]", where, list[_ItemShape])  # one text is checked faster than many
    if len(found) != len(texts):
        raise SavedError(damaged(where, "an item is there twice", AGAIN))
    return tuple(
        Item(data["item_id"], {name: tuple(values) for name, values in data["fields"].items()}, data["current_title"])
        for data in found
    )


def missing_marks(more: Iterable[str] = ()) -> frozenset[str]:
    """`MISSING` with the user's own marks, in lower case."""
    return MISSING | {mark.strip().casefold() for mark in more}


def flatten_fields(row: Mapping[str, Any], missing: Collection[str] = MISSING) -> dict[str, tuple[str, ...]]:
    """Fields of one row of any types as name -> values, all text; missing values are left out.

    ``missing`` holds the texts, in lower case, that say so.

    A text that holds a JSON object or a JSON list of ``[name, value]`` pairs is opened like the nested type.

    Examples
    --------
    >>> flatten_fields({"size": 38.0, "brand": "N/A", "specs": '{"color": "red"}'})
    {'size': ('38',), 'color': ('red',)}
    """
    out: dict[str, list[str]] = {}
    for name, value in row.items():
        for key, text in _flatten(name, value, missing):
            out.setdefault(key, []).append(text)
    return {name: tuple(dict.fromkeys(values)) for name, values in out.items()}


def _flatten(name: str, value: Any, missing: Collection[str]) -> Iterable[tuple[str, str]]:
    if value is None or value != value:  # NaN
        return
    if isinstance(value, str):
        opened = _open_json(value)
        if opened is None:
            text = value.strip()
            if text.casefold() not in missing:
                yield name, text
            return
        value = opened
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(str(key), inner, missing)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            if isinstance(inner, (list, tuple)) and len(inner) == 2 and isinstance(inner[0], str):
                yield from _flatten(inner[0], inner[1], missing)
            else:
                yield from _flatten(name, inner, missing)
    else:
        text = f"{value:.15g}" if isinstance(value, float) else str(value)
        if text not in missing:
            yield name, text


def _open_json(text: str) -> Any:
    """The object or list that ``text`` spells in JSON, None where it is plain text."""
    if text[:1] not in "{[" or text[-1:] not in "}]":
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
