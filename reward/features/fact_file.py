"""The form of a facts file: what YAML may hold, and what is wrong with what does not fit."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from ..text import words
from .selectors import Condition

MAX_ENTRIES = 100_000
MAX_CHARACTERS = 200


def _several(value: Any) -> Any:
    """One saying is a list of one."""
    return [value] if isinstance(value, str) else value


def _with_words(value: str) -> str:
    if not words(value):
        raise ValueError("a saying needs at least one word")
    return value


def _entry(value: Any) -> Any:
    """A saying alone holds for every item."""
    return {"say": value} if isinstance(value, str) else value


Saying = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_CHARACTERS), BeforeValidator(_with_words)
]
Sayings = Annotated[tuple[Saying, ...], Field(min_length=1, max_length=MAX_ENTRIES), BeforeValidator(_several)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Entry(_Strict):
    """Sayings that mean the same, and the items they are about."""

    say: Sayings
    where: dict[str, Condition] = Field(default_factory=dict)


Entries = Annotated[tuple[Annotated[Entry, BeforeValidator(_entry)], ...], Field(max_length=MAX_ENTRIES)]


class FactFile(_Strict):
    """The whole file."""

    facts: Entries = ()
    synonyms: Annotated[
        tuple[Annotated[tuple[Saying, ...], Field(min_length=2, max_length=1000)], ...], Field(max_length=MAX_ENTRIES)
    ] = ()
    implies: Annotated[dict[Saying, Sayings], Field(max_length=MAX_ENTRIES)] = Field(default_factory=dict)
    never: Entries = ()
