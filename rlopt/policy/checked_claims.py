"""Selection of the claims to check in a shop's titles: promises, and those that people's own titles keep to."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from reward.features.facts import Facts
from reward.features.lexicon import KINDS, Kind, Lexicon
from reward.features.promises import PromiseList
from reward.items import Item

from .slots import some_of

MAX_BROKEN_SHARE = 0.2


def checked_claims(
    pairs: Sequence[tuple[Item, str]],
    kinds: Collection[Kind] | None = None,
    promises: PromiseList | None = None,
    facts: Facts | None = None,
) -> Lexicon | None:
    """Learn which claims titles need support for from their item; None where no claim can be checked.

    A claim that many people's titles make of items whose fields do not state it says more about the fields than about
    the titles: "printed" where the fields are a brand and a colour is no lie. Numbers, units and brands that the
    fields do not state mostly are one even there, and a promise always is: a shopper takes the shop's word for it.

    Parameters
    ----------
    pairs
        Logged (item, title) pairs.
    kinds
        Kinds of claims to look for. None: promises, and those that at most a fifth of the titles make where their
        item does not.
    promises
        Phrases that count as promises; None: the lists that come with rlopt.
    facts
        Facts about items beside their fields.
    """
    lexicon = Lexicon.learn(pairs, PromiseList.shipped() if promises is None else promises, facts)
    if kinds is None:
        broken = lexicon.broken_by(some_of(pairs))
        kinds = [kind for kind in KINDS if kind == "promise" or broken[kind] <= MAX_BROKEN_SHARE]
    return replace(lexicon, kinds=frozenset(kinds)) if kinds else None
