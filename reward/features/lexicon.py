"""Claims that need support from the item: numbers, units, brands, values, words that logged titles use as such, and
promises of the shop.

One definition serves the reward's vocabulary, the constraints on written titles and the faithfulness in reports.
"""

import re
import unicodedata
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Literal, get_args

from ..items import Item
from ..text import clean, words
from .facts import Facts
from .numerals import as_digits
from .phrases import is_cjk_word, units
from .promises import Found, PromiseList, Stated

_PERCENT = re.compile(r"(\d+(?:[.,]\d+)*)\s*%")
_PERCENT_SIGNS = "%％﹪"
_APART = "|"  # between the fields of an item: no word, so that nothing is read across
Kind = Literal["number", "unit", "brand", "value", "word", "promise"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Words = tuple[str, ...]

MIN_ITEMS_FOR_GENERIC = 3
UNSTATED_SHARE = 0.5
MAX_VALUE_WORDS = 6
MAX_VALUE_CHARACTERS = 60
MAX_ITEM_CHARACTERS = 100_000  # of an item's text that are read
CACHED_ITEMS = 4096
BRAND_FIELDS = frozenset({"brand", "brands", "brand name", "brand_name", "manufacturer", "maker", "品牌", "牌子"})


@dataclass(frozen=True, slots=True)
class Claim:
    """Words of a title that its item does not state."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class Lexicon:
    """Words that titles may use for any item, and those that need an item whose fields say so.

    Parameters
    ----------
    generic
        Words, and pairs of neighbouring CJK characters, that stand in titles of several items, mostly *not* because
        the item says so ("new", "with", "包邮"). A word that titles mostly use where the item states it ("red",
        "cotton") is a claim.
    values
        Word sequences of short field values of the train items, with True for a brand: claims as a whole ("白色"
        is none of an item whose text holds 白 and 色 apart). Values that titles mostly use for items without them
        are left out.
    units
        Words that follow a number in field values ("20 L", "15 寸"); they may follow only the item's own number, unless
        there stands what the item says by itself ("2022 秋季" of 2022 and 秋季). A number that is spelt before one
        counts as its digits ("三件" as "3件").
    kinds
        Kinds of claims that are looked for.
    promises
        Phrases that count as a promise of the shop, however many titles make it.
    facts
        Facts about items beside their fields.
    """

    generic: frozenset[str]
    values: Mapping[Words, bool] = field(default_factory=dict)
    units: frozenset[str] = frozenset()
    kinds: frozenset[Kind] = frozenset(KINDS)
    promises: PromiseList = field(default_factory=PromiseList)
    facts: Facts = field(default_factory=Facts)
    _cache: "OrderedDict[int, _Own]" = field(default_factory=OrderedDict, compare=False, repr=False)

    @classmethod
    def learn(
        cls, pairs: Iterable[tuple[Item, str]], promises: PromiseList | None = None, facts: Facts | None = None
    ) -> "Lexicon":
        """From logged (item, title) pairs of the training items; counted by item, not by title."""
        promises, facts = promises or PromiseList(), facts or Facts()
        items: dict[str, Item] = {}
        titles_of: defaultdict[str, set[str]] = defaultdict(set)
        for item, title in pairs:
            if item.item_id not in items:
                items[item.item_id] = facts.widened(item)
            titles_of[item.item_id].add(title)
        behind = frozenset(unit for item in items.values() for unit in _units_of(item))
        own = {item_id: _Own.of(item, behind) for item_id, item in items.items()}
        said = {
            item_id: {tuple(as_digits(words(title), behind)) for title in titles}
            for item_id, titles in titles_of.items()
        }
        used = {item_id: {unit for title in titles for unit in units(title)} for item_id, titles in said.items()}
        generic = mostly_unstated(((used[i], own[i].units) for i in items), MIN_ITEMS_FOR_GENERIC)
        values = _values(items.values(), behind)
        index = _by_first(values)
        right: Counter[Words] = Counter()
        wrong: Counter[Words] = Counter()
        for item_id, titles in said.items():
            found = {seq for title in titles for i in range(len(title)) for seq in _all_at(index, title, i)}
            for sequence in found:
                (right if own[item_id].says(sequence) else wrong)[sequence] += 1
        kept = {sequence: brand for sequence, brand in values.items() if wrong[sequence] <= right[sequence] + 1}
        return cls(generic, kept, behind, promises=promises, facts=facts)

    def unstated(self, item: Item, title: str) -> tuple[Claim, ...]:
        """Claims of ``title`` that ``item`` does not support, in the title's order.

        Read greedily from the left, the item's own values and the longest claims first.
        """
        own = self._own(item)
        percents = _percents(title) - own.percents
        if not self.promises:
            return tuple(claim for claim in self._unstated(own, words(title), percents) if claim.kind in self.kinds)
        tokens = words(clean(title))
        found: list[Claim] = []
        start = 0
        for promise, borne_out in self._promises(item, tokens):
            found += self._unstated(own, tokens[start : promise.start], percents)
            if not borne_out:
                found.append(Claim("promise", _joined(tokens[promise.start : promise.stop])))
            start = promise.stop
        found += self._unstated(own, tokens[start:], percents)
        return tuple(claim for claim in found if claim.kind in self.kinds)

    def broken_promises(self, item: Item, title: str) -> tuple[str, ...]:
        """The promises of ``title`` that nothing of ``item`` bears out."""
        if "promise" not in self.kinds:
            return ()
        tokens = words(clean(title))
        return tuple(
            _joined(tokens[p.start : p.stop]) for p, borne_out in self._promises(item, tokens) if not borne_out
        )

    def unstated_words(self, item: Item, title: str) -> tuple[str, ...]:
        """The texts of `unstated`."""
        return tuple(claim.text for claim in self.unstated(item, title))

    def broken_by(self, pairs: Sequence[tuple[Item, str]]) -> dict[Kind, float]:
        """Share of the titles that make a claim of each kind that their item does not state."""
        count = Counter(kind for item, title in pairs for kind in {c.kind for c in self.unstated(item, title)})
        return {kind: count[kind] / max(1, len(pairs)) for kind in KINDS}

    def _promises(self, item: Item, tokens: Sequence[str]) -> Iterable[tuple[Found, bool]]:
        """The promises in ``tokens``, each with whether something of the item bears it out."""
        for promise in self.promises.found(tokens):
            yield promise, self.promises.borne_out(self._own(item).stated, promise)

    def _unstated(self, own: "_Own", said: Sequence[str], percents: frozenset[str]) -> list[Claim]:
        """The claims of every kind in a stretch without promises."""
        tokens = as_digits(said, self.units)
        found: list[Claim] = []
        i = 0
        while i < len(tokens):
            mine = _longest(own.index, tokens, i)
            claim = _longest(self._index, tokens, i)
            if mine and len(mine) >= len(claim):
                i += len(mine)
            elif claim and own.states(claim):
                i += len(claim)
            elif claim and (kind := "brand" if self.values[claim] else "value") in self.kinds:
                found.append(Claim(kind, _joined(claim)))
                i += len(claim)
            elif claim:  # of the values that need not be stated the numbers may have to be
                found += filter(None, (self._single(own, tokens, j) for j in _numbers(tokens, i, i + len(claim))))
                i += len(claim)
            else:
                single = self._single(own, tokens, i)
                if single is None and tokens[i] in percents:  # the number is the item's, but not as a percentage
                    single = Claim("number", f"{tokens[i]}%")
                if single is not None:
                    found.append(single)
                i += 2 if single is not None and single.kind == "unit" else 1
        return found

    def _single(self, own: "_Own", tokens: Sequence[str], i: int) -> Claim | None:
        word, before, after = tokens[i], *(tokens[i - 1 : i] or [""]), *(tokens[i + 1 : i + 2] or [""])
        if word[0].isdigit():
            if word not in own.words:
                return Claim("number", word)
            if after in self.units and (word, after) not in own.numbered and not own.says_apart(tokens, i + 1):
                return Claim("unit", f"{word} {after}")
            return None
        if word in own.words or word in self.generic:
            return None
        pairs = (before + word, word + after) if is_cjk_word(word) else ()
        return None if self.generic.intersection(pairs) else Claim("word", word)

    def _own(self, item: Item) -> "_Own":
        """The item's words; the entry keeps the item alive, so that its id stays its own."""
        known = self._cache.get(id(item))
        if known is None:
            known = self._cache[id(item)] = _Own.of(self.facts.widened(item), self.units, self.promises, item)
            if len(self._cache) > CACHED_ITEMS:
                self._cache.popitem(last=False)
        return known

    @cached_property
    def _index(self) -> dict[str, list[Words]]:
        return _by_first(self.values)


def mostly_unstated(of_items: Iterable[tuple[Iterable[str], Iterable[str]]], min_items: int) -> frozenset[str]:
    """Words of titles that are generic: used for at least ``min_items`` items, mostly of items that do not say them.

    Parameters
    ----------
    of_items
        For each item the words of its titles, each once, and the words of its fields.
    min_items
        Items that do not state a word, as many as it needs.
    """
    used: Counter[str] = Counter()
    unstated: Counter[str] = Counter()
    for said, own in of_items:
        said = set(said)
        used.update(said)
        unstated.update(said.difference(own))
    return frozenset(w for w, n in unstated.items() if n >= min_items and n >= UNSTATED_SHARE * used[w])


@dataclass(frozen=True)
class _Own:
    """Statements of one item: words, text, short values, numbers with the word behind them, percentages, promises."""

    item: Item  # before facts widened it
    words: frozenset[str]
    units: frozenset[str]
    text: str
    index: Mapping[str, list[Words]]
    numbered: frozenset[tuple[str, str]]
    percents: frozenset[str]
    stated: Stated

    @classmethod
    def of(
        cls,
        item: Item,
        unit_words: frozenset[str],
        promises: PromiseList | None = None,
        narrow: Item | None = None,
    ) -> "_Own":
        tokens = as_digits(_said(item), unit_words)
        numbered = frozenset((a, b) for a, b in pairwise(tokens) if a[0].isdigit())
        text = f" {' '.join(tokens)} "
        return cls(
            narrow or item,
            frozenset(tokens),
            frozenset(units(tokens)),
            text,
            _by_first(_values([item], unit_words)),
            numbered,
            _percents(item.text()[:MAX_ITEM_CHARACTERS]),
            (promises or PromiseList()).stated(item),
        )

    def says(self, sequence: Words) -> bool:
        """True where the item's fields hold ``sequence`` word by word."""
        return f" {' '.join(sequence)} " in self.text

    def says_apart(self, tokens: Sequence[str], i: int) -> bool:
        """True where a value of the item begins at ``i``, or two CJK characters that it says, never behind a number."""
        if _longest(self.index, tokens, i):
            return True
        pair = tuple(tokens[i : i + 2])
        counted = any(unit == tokens[i] for _, unit in self.numbered)
        return len(pair) == 2 and all(map(is_cjk_word, pair)) and not counted and self.says(pair)

    def states(self, sequence: Words) -> bool:
        """True where the item says it; of Latin words also where it says each, and behind a number the same one."""
        if self.says(sequence):
            return True
        apart = self.words.issuperset(sequence) and not any(map(is_cjk_word, sequence))
        return apart and all(pair in self.numbered for pair in pairwise(sequence) if pair[0][0].isdigit())


def _said(item: Item) -> list[str]:
    """The words of the item's fields, as titles spell them; the fields apart, the values of one side by side."""
    tokens: list[str] = []
    left = MAX_ITEM_CHARACTERS
    for values in item.fields.values():
        text = " ".join(values)[:left]
        left -= len(text)
        tokens += [*words(clean(text)), _APART]
    return tokens


def _units_of(item: Item) -> Iterable[str]:
    """The words that follow a number in the item's fields."""
    return (b for a, b in pairwise(_said(item)) if a[0].isdigit() and not b[0].isdigit() and b != _APART)


def _percents(text: str) -> frozenset[str]:
    """The numbers before a percent sign."""
    if not any(sign in text for sign in _PERCENT_SIGNS):
        return frozenset()
    return frozenset(_PERCENT.findall(unicodedata.normalize("NFKC", text)))


def _values(items: Iterable[Item], unit_words: frozenset[str]) -> dict[Words, bool]:
    """Word sequences of the short values, with True for a brand."""
    found: dict[Words, bool] = {}
    for item in items:
        for name, texts in item.fields.items():
            brand = name.strip().casefold() in BRAND_FIELDS
            for text in texts:
                if len(text) > MAX_VALUE_CHARACTERS:
                    continue
                if sequence := _value(text, unit_words):
                    found[sequence] = found.get(sequence, False) or brand
    return found


@lru_cache(maxsize=1 << 14)
def _value(text: str, unit_words: frozenset[str]) -> Words:
    """The words of a short value, none for prose, a lone number or a lone character."""
    sequence = tuple(as_digits(words(clean(text)), unit_words))
    latin = sum(not is_cjk_word(word) for word in sequence)
    lone = len("".join(sequence)) < 2 or all(word[0].isdigit() for word in sequence)
    return () if lone or latin > MAX_VALUE_WORDS else sequence


def _by_first(sequences: Iterable[Words]) -> dict[str, list[Words]]:
    """Sequences by their first word, longest first."""
    index: dict[str, list[Words]] = {}
    for sequence in sorted(sequences, key=lambda s: (-len(s), s)):
        index.setdefault(sequence[0], []).append(sequence)
    return index


def _all_at(index: Mapping[str, list[Words]], tokens: Sequence[str], start: int) -> Iterable[Words]:
    """Every sequence that stands at ``start``, longest first."""
    for sequence in index.get(tokens[start], ()):
        if tuple(tokens[start : start + len(sequence)]) == sequence:
            yield sequence


def _longest(index: Mapping[str, list[Words]], tokens: Sequence[str], start: int) -> Words:
    return next(iter(_all_at(index, tokens, start)), ())


def _numbers(tokens: Sequence[str], start: int, end: int) -> Iterable[int]:
    return (i for i in range(start, end) if tokens[i][0].isdigit())


def _joined(sequence: Sequence[str]) -> str:
    return "".join(sequence) if any(map(is_cjk_word, sequence)) else " ".join(sequence)
