"""What a shop knows of its items beside their fields, from a YAML file: facts, synonyms, implications, and taboos.

Facts widen what an item states. So every rule on claims, the promises among them, knows them by looking at the item.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ..errors import RewardError
from ..items import Item
from ..text import clean, words
from .fact_file import FactFile
from .phraselist import PhraseList
from .phrases import stem
from .selectors import Selector

FIELD = "facts"  # of the widened item
MAX_BYTES = 5_000_000
MAX_DEPTH = 20
CACHED_ITEMS = 4096
Words = tuple[str, ...]


class FactsError(RewardError):
    """A facts file that cannot be read."""


@dataclass(frozen=True)
class Fact:
    """What holds for some items: sayings that mean the same, and which items."""

    says: tuple[str, ...]
    where: Selector


@dataclass(frozen=True)
class Facts:
    """The facts of a shop.

    Parameters
    ----------
    facts
        What holds, and for which items.
    implies
        Saying -> what may be said of an item that says so; synonyms imply one another.
    never
        What no title of such an item may say.
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
            When it cannot be read, or an entry is malformed: in one line, with its place.
        """
        try:
            file = FactFile.model_validate(_load(Path(path)))
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
        """What ``title`` says that must never be said of ``item``."""
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
        """What the sayings in ``text`` imply."""
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


_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, where PyYAML was built with it


class _Loader(_FAST):  # type: ignore[misc]
    """A safe loader that refuses a key given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise _refusal(f"the key {str(key.value)!r:.40} a second time", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _check_events(text: str) -> None:
    """Refuse aliases, which can stand for more than any memory holds, and what is nested deeply."""
    depth = 0
    for event in yaml.parse(text, Loader=_FAST):
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("an alias (*name), which is not read here,", event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _refusal(f"lists and mappings nested more than {MAX_DEPTH} deep", event.start_mark)


def _refusal(what: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=mark)


def _load(path: Path) -> Any:
    """What the YAML holds.

    Raises
    ------
    FactsError
        When it is missing, too large, or no YAML.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FactsError(f"The facts file {path} has more than {MAX_BYTES / 1e6:g} MB. Split or shorten it.")
        text = path.read_text(encoding="utf-8-sig")
        _check_events(text)
        return yaml.load(text, Loader=_Loader) or {}  # noqa: S506  # a safe one
    except OSError as error:
        raise FactsError(f"Cannot read the facts file {path}: {error.strerror or error}.") from error
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, FactsError):
            raise
        raise FactsError(f"The facts file {path} cannot be read: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    said = str(problem) if problem else (str(error).strip().split("\n", 1)[0] or type(error).__name__)
    return f"{said} in line {mark.line + 1}" if mark is not None else said.rstrip(".")
