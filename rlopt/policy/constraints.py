"""Constraints on titles: one definition for decoding, the PPO reward, generation and the reports."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

from reward.features.facts import Facts
from reward.features.harm import HarmList
from reward.features.lexicon import Lexicon
from reward.features.phraselist import PhraseList
from reward.features.phrases import units
from reward.items import Item
from reward.text import display_width, words
from rlopt.config import RulesConfig
from rlopt.errors import ConfigError

RULES = (
    "empty", "too_long", "unreadable", "repeated", "banned", "required", "superlative", "harmful", "capitals",
    "punctuation", "promise", "unsupported",
)  # fmt: skip
"""Every kind of `Violation` that a title can be found to have."""
REPLACEMENT = "\ufffd"  # stands where bytes spell no character
SHOUT_LETTERS = 4
MAX_SYMBOL_SHARE = 0.25
FREE_SYMBOLS = 6
_DOUBLED = frozenset("!?！？。,，|~*★☆◆")
USUAL = RulesConfig()


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
        Decides which promises, numbers, units, brands, values and words the item must state; None switches that rule
        off.
    max_width
        Longest title in display columns (a Chinese character counts two).
    max_chars, max_words
        Longest title in characters and in words (a Chinese character is a word); None: any.
    max_repeats
        Number of times that one word of two letters or more, or two CJK characters side by side, may occur.
    banned
        Phrases that no title may hold (`PhraseList` says how they are compared).
    required
        Phrases that every title must hold.
    superlatives
        Phrases that advertising law forbids or wants proved, allowed where the item itself states them.
    harmful
        Phrases that may harm people or that the law forbids, whatever the item states.
    formatting
        True if capitals (more than half of the Latin letters, not counting what the item itself shouts) and
        punctuation (doubled marks, symbols beyond a quarter of the characters) are violations.
    facts
        Facts that the shop states of its items, and phrases that must never be said of them.
    """

    lexicon: Lexicon | None = None
    max_width: int = USUAL.max_width
    max_chars: int | None = None
    max_words: int | None = None
    max_repeats: int = USUAL.max_repeats
    banned: PhraseList = field(default_factory=PhraseList)
    required: tuple[str, ...] = ()
    superlatives: PhraseList = field(default_factory=PhraseList)
    harmful: HarmList = field(default_factory=HarmList)
    formatting: bool = False
    facts: Facts = field(default_factory=Facts)

    @classmethod
    def of(cls, config: RulesConfig, lexicon: Lexicon | None = None, facts: Facts | None = None) -> "Constraints":
        """The rules as configured, and the claims that the item must state.

        Raises
        ------
        PhraseListError
            If a word list cannot be read.
        ConfigError
            If a required phrase breaks another rule.
        """
        law = PhraseList.superlatives() if config.superlatives is None else PhraseList.collect(config.superlatives)
        rules = cls(
            lexicon,
            config.max_width,
            config.max_chars,
            config.max_words,
            config.max_repeats,
            PhraseList.collect(config.banned),
            config.required,
            law,
            HarmList.shipped() if config.harmful is None else HarmList.collect(config.harmful),
            config.formatting,
            facts or Facts(),
        )
        rules.check_required()
        return rules

    def check_required(self) -> None:
        """Refuse a required phrase that no title can hold.

        Raises
        ------
        ConfigError
            If another rule forbids what it says, or it is too long.
        """
        apart_from_claims = replace(self, lexicon=None)  # an item may bear out what it promises
        for phrase in self.required:
            if kind := apart_from_claims.broken_for_good(Item(""), phrase):
                raise ConfigError(f"No title can hold the required phrase {phrase!r}: it breaks the rule {kind!r}.")

    def check(self, item: Item, title: str) -> list[Violation]:
        """Every rule ``title`` breaks; empty for a good title."""
        tokens = words(title)
        if not tokens:
            return [Violation("empty", "the title has no words")]
        found = [*self._length(title, tokens)]
        if REPLACEMENT in title:
            found.append(Violation("unreadable", "a character that cannot be read (U+FFFD)"))
        if repeated := self._repeated(tokens):
            found.append(Violation("repeated", " ".join(repeated)))
        if banned := self._banned(item, title):
            found.append(Violation("banned", ", ".join(banned)))
        if missing := [phrase for phrase, one in self._required if not one.found(title)]:
            found.append(Violation("required", ", ".join(missing)))
        if superlatives := self._superlatives(item, title):
            found.append(Violation("superlative", ", ".join(superlatives)))
        if harmful := self.harmful.found(title):
            found.append(Violation("harmful", ", ".join(harmful)))
        if self.formatting:
            found += _formatting(self.facts.widened(item), title)
        return found + self._claims(item, title)

    def dishonest(self, item: Item, title: str) -> bool:
        """True if ``title`` makes a promise that the item does not support, or says what must never be said of it."""
        promises = self.lexicon is not None and self.lexicon.broken_promises(item, title)
        return bool(promises) or bool(self.facts.forbidden(item, title))

    def broken_for_good(self, item: Item, beginning: str) -> str | None:
        """Kind of the rule that every title with this ``beginning`` breaks; None while there is hope."""
        tokens = words(beginning)
        if any(self._length(beginning, tokens)):
            return "too_long"
        if self._banned(item, beginning):
            return "banned"
        if self._superlatives(item, beginning):
            return "superlative"
        if self.harmful.found(beginning):
            return "harmful"
        if self.lexicon is not None and self.lexicon.broken_promises(item, beginning):
            return "promise"
        return "repeated" if self._repeated(tokens) else None

    def _length(self, title: str, tokens: list[str]) -> Iterable[Violation]:
        if (width := display_width(title)) > self.max_width:
            yield Violation("too_long", f"{width} columns wide, at most {self.max_width}")
        if self.max_chars is not None and len(title) > self.max_chars:
            yield Violation("too_long", f"{len(title)} characters, at most {self.max_chars}")
        if self.max_words is not None and len(tokens) > self.max_words:
            yield Violation("too_long", f"{len(tokens)} words, at most {self.max_words}")

    def _repeated(self, tokens: list[str]) -> list[str]:
        counts = Counter(word for word in units(tokens) if len(word) > 1)
        return sorted(word for word, count in counts.items() if count > self.max_repeats)

    def _banned(self, item: Item, title: str) -> list[str]:
        return [*self.banned.found(title), *self.facts.forbidden(item, title)]

    def _claims(self, item: Item, title: str) -> list[Violation]:
        """Promises that nothing bears out, and what else the item does not state."""
        claims = () if self.lexicon is None else self.lexicon.unstated(item, title)
        promises = [claim.text for claim in claims if claim.kind == "promise"]
        others = [f"{claim.kind} {claim.text}" for claim in claims if claim.kind != "promise"]
        kinds_found = (("promise", promises), ("unsupported", others))
        return [Violation(kind, ", ".join(texts)) for kind, texts in kinds_found if texts]

    def _superlatives(self, item: Item, title: str) -> list[str]:
        found = self.superlatives.found(title)
        if not found:
            return found
        own = self.superlatives.found(self.facts.widened(item).text())
        return [phrase for phrase in found if phrase not in own]

    @cached_property
    def _required(self) -> tuple[tuple[str, PhraseList], ...]:
        return tuple((phrase, PhraseList((phrase,))) for phrase in self.required)


def kinds(violations: Iterable[Violation]) -> list[str]:
    """The broken rules' kinds, each once, sorted."""
    return sorted({violation.kind for violation in violations})


def duplicate_key(title: str) -> tuple[str, ...]:
    """Key under which two titles are near-duplicates: the same words, in whatever order, case and punctuation."""
    return tuple(sorted(words(title)))


def _formatting(item: Item, title: str) -> Iterable[Violation]:
    text = unicodedata.normalize("NFKC", title)
    pieces = [piece for piece in text.split() if any(map(str.isalpha, piece)) and piece.isascii()]
    shouted = [piece for piece in pieces if piece.isupper()]
    loud = 2 * sum(map(_letters, shouted)) > sum(map(_letters, pieces))
    if loud and any(_letters(piece) >= SHOUT_LETTERS for piece in shouted):
        own = item.text()
        if alien := [piece for piece in shouted if piece not in own]:
            yield Violation("capitals", " ".join(alien))
    doubled = [a for a, b in pairwise("".join(title.split())) if a == b and a in _DOUBLED]
    symbols = sum(not (c.isalnum() or c.isspace() or unicodedata.combining(c)) for c in title)
    if doubled:
        yield Violation("punctuation", f"doubled {doubled[0]}")
    elif symbols > FREE_SYMBOLS and symbols > MAX_SYMBOL_SHARE * len(title):
        yield Violation("punctuation", f"{symbols} symbols in {len(title)} characters")


def _letters(piece: str) -> int:
    return sum(map(str.isalpha, piece))
