"""What a title must not do: one definition for the PPO reward, generation and the reports."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reward.items import Item
from reward.text import clean, display_width, numbers, words

MIN_ITEMS_FOR_GENERIC = 3
SUPPORTED_SHARE = 0.5


@dataclass(frozen=True)
class Lexicon:
    """Words a shop's titles may use for any item.

    A word of the logged titles is generic when it stands in titles of several items and mostly *not* because the
    item says it ("new", "with", "包邮"). A word that titles mostly use when the item states it ("red", "cotton") is a
    claim: it needs the item's support.
    """

    generic: frozenset[str]

    @classmethod
    def learn(cls, pairs: Iterable[tuple[Item, str]]) -> "Lexicon":
        """From logged (item, title) pairs of the training items."""
        items_with: Counter[str] = Counter()
        items_supporting: Counter[str] = Counter()
        seen: set[tuple[str, str]] = set()
        for item, title in pairs:
            own = item_words(item)
            for word in set(words(title)):
                if (word, item.item_id) in seen:
                    continue
                seen.add((word, item.item_id))
                items_with[word] += 1
                items_supporting[word] += word in own
        return cls(
            frozenset(
                word
                for word, count in items_with.items()
                if count >= MIN_ITEMS_FOR_GENERIC and items_supporting[word] < SUPPORTED_SHARE * count
            )
        )

    def unsupported_words(self, item: Item, title: str) -> tuple[str, ...]:
        """Words of ``title`` that are neither generic nor the item's own; numbers must be the item's."""
        own = item_words(item)
        own_numbers = set(numbers(item.text()))
        found = []
        for word in words(title):
            if word in own or word in own_numbers:
                continue
            if word[0].isdigit() or word not in self.generic:
                found.append(word)
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        return {"generic": sorted(self.generic)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Lexicon":
        """Lexicon written by `to_dict`."""
        return cls(frozenset(data["generic"]))


@dataclass(frozen=True)
class Violation:
    """One broken rule: its kind and, for a person, what broke it."""

    kind: str
    detail: str


@dataclass(frozen=True)
class Constraints:
    """The rules a title is checked against.

    Parameters
    ----------
    lexicon
        Decides which words need the item's support; None switches that rule off (items described in free text).
    max_width
        Longest title in display columns (a Chinese character counts two).
    max_repeats
        How often one word of two letters or more may occur.
    banned
        Words, casefolded, that no title may hold.
    """

    lexicon: Lexicon | None = None
    max_width: int = 160
    max_repeats: int = 2
    banned: frozenset[str] = frozenset()

    def check(self, item: Item, title: str) -> list[Violation]:
        """Every rule ``title`` breaks; empty for a good title."""
        if not clean(title):
            return [Violation("empty", "the title is empty")]
        found = []
        if (width := display_width(title)) > self.max_width:
            found.append(Violation("too_long", f"{width} columns wide, at most {self.max_width}"))
        if repeated := self._repeated(title):
            found.append(Violation("repeated", " ".join(repeated)))
        if banned := sorted(self.banned.intersection(words(title))):
            found.append(Violation("banned", " ".join(banned)))
        if self.lexicon is not None and (unsupported := self.lexicon.unsupported_words(item, title)):
            found.append(Violation("unsupported", " ".join(unsupported)))
        return found

    def _repeated(self, title: str) -> list[str]:
        counts = Counter(word for word in words(title) if len(word) > 1)
        return sorted(word for word, count in counts.items() if count > self.max_repeats)


def item_words(item: Item) -> frozenset[str]:
    """The words of the item's fields, names of the fields left out."""
    return frozenset(words(item.text()))
