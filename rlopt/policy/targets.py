"""Which logged titles are worth imitating: those that keep the rules and say nothing twice."""

from collections import Counter
from collections.abc import Sequence

from reward.items import Item

from .claims import held_claims
from .constraints import Constraints
from .slots import Slots

MIN_SOUND_SHARE = 0.5

Pairs = list[tuple[Item, str]]


def sound_pairs(slots: Slots, pairs: Sequence[tuple[Item, str]]) -> Pairs:
    """The (item, title) pairs without unsupported claims, shouting, strings of symbols, or a value said twice.

    A small model does not learn a rule that its examples break now and then, and the mistakes it learns instead are
    more than theirs. Where less than half of the titles would remain they are not the exception, and are kept; values
    said twice go wherever the policy cannot write them (`Slots.once`).
    """
    rules = Constraints(held_claims(pairs), formatting=True)
    once = [(item, title) for item, title in pairs if not (slots.once and _says_twice(slots, item, title))]
    kept = [(item, title) for item, title in once if not rules.check(item, title)]
    return kept if len(kept) >= MIN_SOUND_SHARE * len(once) else once


def says_values_once(slots: Slots, pairs: Sequence[tuple[Item, str]]) -> bool:
    """Whether a title that says a value twice is the exception among ``pairs``."""
    twice = sum(_says_twice(slots, item, title) for item, title in pairs)
    return twice <= (1 - MIN_SOUND_SHARE) * len(pairs)


def _says_twice(slots: Slots, item: Item, title: str) -> bool:
    return any(count > 1 for count in Counter(slots.mentioned(item, title)).values())
