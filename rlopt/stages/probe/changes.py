"""Other ways to say the same: what a reward should like as much, and no rule should catch."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

from reward.items import Item
from rlopt.training.augment import Variants

Attack = Callable[[Item, str, np.random.Generator], str | None]

_DATA = Path(__file__).parent / "data"
_TRIES = 6
_MARK = re.compile(r"(?<=\w)\s*[,;:，；：、|/]\s*(?=\w)|\s+[-–—]\s+|[.!?。！？…]+$")
_PARTS = re.compile(r"\s*(?:[,;，；、|]|\s[-–—/]\s)\s*")


def changes(synonyms: Variants) -> dict[str, Attack]:
    """Name -> how a title is rephrased; each gives None where it cannot be."""
    return {
        "case": lambda _, title, __: changed_case(title),
        "capitals": lambda _, title, __: title.upper(),
        "punctuation": lambda _, title, __: changed_marks(title),
        "order": lambda item, title, __: changed_order(item, title),
        "synonyms": lambda _, title, rng: with_synonym(synonyms, title, rng),
    }


def shipped_synonyms() -> Variants:
    """The list that comes with rlopt, English and Chinese."""
    return Variants(
        tuple(group for path in sorted(_DATA.glob("synonyms_*.txt")) for group in Variants.read(path).groups)
    )


def changed_case(title: str) -> str:
    """Change to small letters; a title already in small letters gets a capital at each word."""
    return title.lower() if title != title.lower() else title.title()


def changed_marks(title: str) -> str:
    """Without commas, dashes and the mark at the end; with a full stop where there are none."""
    bare = " ".join(_MARK.sub(" ", title).split())
    return bare if bare != title else f"{title}."


def changed_order(item: Item, title: str) -> str | None:
    """Attributes in another order: the parts between commas, else two values of the item that the title names.

    None where it names fewer than two.
    """
    parts = [part for part in _PARTS.split(title) if part]
    if len(parts) > 1:
        marks = _PARTS.findall(title)
        turned = [*parts[1:], parts[0]]
        return "".join(part + mark for part, mark in zip(turned, [*marks, ""], strict=False))
    spans = sorted(_named(item, title))
    for (start, stop), (begin, end) in pairwise(spans):
        if stop <= begin:
            return title[:start] + title[begin:end] + title[stop:begin] + title[start:stop] + title[end:]
    return None


def with_synonym(synonyms: Variants, title: str, rng: np.random.Generator) -> str | None:
    """Other words of the list for those that stand there; None where it knows none."""
    for _ in range(_TRIES):
        _, other = synonyms.vary((Item(""), title), rng)
        if other != title:
            return other
    return None


def _named(item: Item, title: str) -> list[tuple[int, int]]:
    """Spans of the item's short values in the title, as words; of overlapping ones the longest."""
    found: list[tuple[int, int]] = []
    values = sorted({value for values in item.fields.values() for value in values if value}, key=len, reverse=True)
    for value in values:
        match = re.search(rf"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])", title, re.IGNORECASE)
        if match and all(match.end() <= start or stop <= match.start() for start, stop in found):
            found.append(match.span())
    return found
