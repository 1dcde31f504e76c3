"""Logged titles worth imitating: those that keep the rules, repeat nothing, and can be written whole."""

from collections import Counter
from collections.abc import Sequence

from reward.items import Item
from rlopt.errors import PolicyError
from rlopt.progress import note

from .checked_claims import checked_claims
from .constraints import Constraints
from .slots import Slots
from .title_policy import TitlePolicy

MIN_SOUND_SHARE = 0.5
MIN_HONEST_SHARE = 0.2

Pairs = list[tuple[Item, str]]


def sound_pairs(slots: Slots, pairs: Sequence[tuple[Item, str]], rules: Constraints | None = None) -> Pairs:
    """The (item, title) pairs without unstated claims, shouting, strings of symbols, or a value said twice.

    A small model does not learn a rule that its examples break now and then, and the mistakes it learns instead are
    more than theirs. Where less than half of the titles would remain they are not the exception, and are kept; values
    said twice go wherever the policy cannot write them (`Slots.once`), and promises that nothing bears out as in
    `honest_pairs`.

    Parameters
    ----------
    rules
        Rules for a title; None: those that people's titles mostly keep.
    """
    rules = rules or Constraints(checked_claims(pairs), formatting=True)
    once = [(item, title) for item, title in pairs if not (slots.once and _says_twice(slots, item, title))]
    kept = [(item, title) for item, title in once if not rules.check(item, title)]
    return kept if len(kept) >= MIN_SOUND_SHARE * len(once) else honest_pairs(once, rules)


def honest_pairs(pairs: Pairs, rules: Constraints) -> Pairs:
    """The pairs without a promise that nothing bears out and without what must never be said.

    A policy promises what it learns from. Where less than `MIN_HONEST_SHARE` of the titles would remain there is too
    little to learn from, and all are kept.
    """
    kept = [(item, title) for item, title in pairs if not rules.dishonest(item, title)]
    return kept if len(kept) >= MIN_HONEST_SHARE * len(pairs) else pairs


def say_what_is_promised(pairs: Pairs, kept: Pairs, rules: Constraints) -> None:
    """Tell how many of the logged titles promise too much, and whether they are learned from."""
    share, left = (sum(rules.dishonest(*pair) for pair in some) / max(1, len(some)) for some in (pairs, kept))
    if left:
        note(
            f"{left:.0%} of the titles to learn from promise what no field of their item says: too few do not. "
            "Say what holds in a facts file (constraints: {facts: FILE})"
        )
    elif share:
        note(f"{share:.1%} of the logged titles promise what no field of their item says, and are not learned from")


def short_enough(policy: TitlePolicy, pairs: Sequence[tuple[Item, str]]) -> Pairs:
    """The pairs whose title ``policy`` can write to its end: a model that learns cut titles learns to break off.

    Raises
    ------
    PolicyError
        If none is left.
    """
    limit = policy.max_title_tokens
    kept = [
        (item, title) for item, title in pairs if policy.target_ids(item, title)[-1] == policy.tokenizer.eos_token_id
    ]
    if len(kept) < len(pairs):
        long = f"{(len(pairs) - len(kept)) / len(pairs):.0%} of the titles have more than {limit} tokens"
        if not kept:
            raise PolicyError(f"{long}: nothing to learn from. In YAML (--config): sft: {{max_title_tokens: N}}")
        note(f"{long} and are not learned from; in YAML (--config) sft: {{max_title_tokens: N}} sets the limit")
    return kept


def says_values_once(slots: Slots, pairs: Sequence[tuple[Item, str]]) -> bool:
    """True if a title that says a value twice is the exception among ``pairs``."""
    twice = sum(_says_twice(slots, item, title) for item, title in pairs)
    return twice <= (1 - MIN_SOUND_SHARE) * len(pairs)


def _says_twice(slots: Slots, item: Item, title: str) -> bool:
    return any(count > 1 for count in Counter(slots.mentioned(item, title)).values())
