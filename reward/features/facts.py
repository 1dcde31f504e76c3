"""Facts a shop knows of its items beside their fields, from a YAML file: facts, synonyms, implications, and taboos.

Facts widen what an item states. So every rule on claims, the promises among them, knows them by looking at the item.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import RewardError
from ..items import Item
from ..text import clean, words
from ..yaml_files import read_yaml
from .fact_file import FactFile
from .phraselist import PhraseList
from .phrases import stem
from .selectors import Selector

FIELD = "facts"  # of the widened item
CACHED_ITEMS = 4096
Words = tuple[str, ...]


class FactsError(RewardError):
    """A facts file that cannot be read."""


@dataclass(frozen=True)
class Fact:
    """Fact that holds for some items: sayings that mean the same, and a selector of the items."""

    says: tuple[str, ...]
    where: Selector


@dataclass(frozen=True)
class Facts:
    """The facts of a shop.

    Parameters
    ----------
    facts
        Facts, and the items that each holds for.
    implies
        Saying -> what may be said of an item that says so; synonyms imply one another.
    never
        Phrases that no title of such an item may use.
    """

    facts: tuple[Fact, ...] = ()
    implies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    never: tuple[Fact, ...] = ()
    _cache: "OrderedDict[int, tuple[Item, Item]]" = field(default_factory=OrderedDict, compare=False, repr=False)

    @classmethod
    def read(cls, path: str | Path) -> "Facts":
        """The facts of a YAML file; ``docs/promises.md`` says what it may hold.

        Raises
        ------
        FactsError
            If it cannot be read, or an entry is malformed: in one line, with its place.
        """
        try:
            file = FactFile.model_validate(read_yaml(Path(path), "facts file", FactsError) or {})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            said = str(first["msg"]).removeprefix("Value error, ")
            raise FactsError(
                f"The facts file {path}: {place}: {said}. Got {first['input']!r:.60}. See docs/promises.md."
            ) from error
        implies = {saying: tuple(more) for saying, more in file.implies.items()}
        for group in file.synonyms:
            for saying in group:
                others = tuple(other for other in group if other != saying)
                implies[saying] = tuple(dict.fromkeys((*implies.get(saying, ()), *others)))
        facts, never = (
            tuple(Fact(one.say, Selector.of(one.where)) for one in entries) for entries in (file.facts, file.never)
        )
        return cls(facts, implies, never)

    def __bool__(self) -> bool:
        return bool(self.facts or self.implies or self.never)

    @property
    def fields(self) -> frozenset[str]:
        """The fields that the facts ask items for."""
        return frozenset(name for fact in (*self.facts, *self.never) for name in fact.where.fields)

    def widened(self, item: Item) -> Item:
        """``item`` with one more field: what holds for it, and what it implies; itself where nothing does."""
        if not self.facts and not self.implies:
            return item
        known = self._cache.get(id(item))
        if known is None or known[0] is not item:
            known = self._cache[id(item)] = item, self._widen(item)
            if len(self._cache) > CACHED_ITEMS:
                self._cache.popitem(last=False)
        return known[1]

    def forbidden(self, item: Item, title: str) -> list[str]:
        """Phrases of ``title`` that must never be said of ``item``."""
        return [
            phrase
            for where, phrases in self._never
            if (found := phrases.found(title)) and where.holds(item)
            for phrase in found
        ]

    def _widen(self, item: Item) -> Item:
        added = dict.fromkeys(saying for fact in self.facts if fact.where.holds(item) for saying in fact.says)
        open_texts = [*(value for values in item.fields.values() for value in values), *added]
        while open_texts:
            for more in self._implied(open_texts.pop()):
                if more not in added:
                    added[more] = None
                    open_texts.append(more)
        if not added:
            return item
        return replace(item, fields={FIELD: (*item.fields.get(FIELD, ()), *added), **_without(item.fields, FIELD)})

    def _implied(self, text: str) -> Iterable[str]:
        """Implications of the sayings in ``text``."""
        if not self.implies:
            return
        tokens = _spell(text)
        for start in range(len(tokens)):
            node = self._trie
            for token in tokens[start:]:
                node = node.get(token, {})
                if not node:
                    break
                yield from node.get("\0", ())

    @cached_property
    def _trie(self) -> dict[str, Any]:
        root: dict[str, Any] = {}
        for saying, more in self.implies.items():
            node = root
            for word in _spell(saying):
                node = node.setdefault(word, {})
            node["\0"] = (*node.get("\0", ()), *more)
        return root

    @cached_property
    def _never(self) -> tuple[tuple[Selector, PhraseList], ...]:
        """One list of phrases for all entries about the same items."""
        says: dict[Any, tuple[Selector, list[str]]] = {}
        for fact in self.never:
            says.setdefault(tuple(sorted(fact.where.tests.items(), key=str)), (fact.where, []))[1].extend(fact.says)
        return tuple((where, PhraseList(tuple(phrases))) for where, phrases in says.values())


def _without(fields: Mapping[str, tuple[str, ...]], name: str) -> dict[str, tuple[str, ...]]:
    return {key: values for key, values in fields.items() if key != name}


def _spell(text: str) -> Words:
    return tuple(map(stem, words(clean(text))))
