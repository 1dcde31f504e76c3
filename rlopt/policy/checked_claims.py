"""Which claims of a shop's titles are checked: promises, and those that people's own titles keep to."""

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
    """What titles may say of any item and what only of items that state it; None where nothing can be held to.

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
        What counts as one; None: the lists that come with rlopt.
    facts
        What holds for items beside their fields.
    """
    lexicon = Lexicon.learn(pairs, PromiseList.shipped() if promises is None else promises, facts)
    if kinds is None:
        broken = lexicon.broken_by(some_of(pairs))
        kinds = [kind for kind in KINDS if kind == "promise" or broken[kind] <= MAX_BROKEN_SHARE]
    return replace(lexicon, kinds=frozenset(kinds)) if kinds else None
