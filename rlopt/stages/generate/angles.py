"""Differences of each title from the item's others, in words: what it leads with, what it names, how long it is."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from reward.features.mentions import MentionScanner
from reward.features.phrases import joined
from reward.items import Item
from reward.text import display_width, is_cjk, words

MOST = 2  # differences told of a title
_APART = 0.15  # shorter or longer than the middle one by this share
_RARE = 0.5  # named by no more of the titles than this
_ENGLISH = {
    "leads": "leads with {}", "names": "names the {}", "shorter": "shorter", "longer": "longer", "says": "says {}",
    "plain": "like the others", "and": ", ",
}  # fmt: skip
_CHINESE = {
    "leads": "以{}开头", "names": "点出{}", "shorter": "较短", "longer": "较长", "says": "用词“{}”",
    "plain": "与其他标题相近", "and": "，",
}  # fmt: skip


def angles(item: Item, titles: Sequence[str], scanner: MentionScanner) -> list[str]:
    """The angle of each title among the others of its item, in the language of the titles.

    Parameters
    ----------
    item, titles
        The item and its titles.
    scanner
        Knows which words are values of which of the item's fields.
    """
    found = scanner.scan([item] * len(titles), titles)
    slots = scanner.vocabulary.slots
    named, first = ~np.isnan(found.position), found.position == 0
    width = np.array([display_width(title) for title in titles])
    spoken = [words(title) for title in titles]
    say = _CHINESE if is_cjk("".join(titles)) else _ENGLISH
    out = []
    for row, own in enumerate(spoken):
        told = [
            *_of_fields(say["leads"], slots, first[row], first.mean(axis=0)),
            *_of_fields(say["names"], slots, named[row] & ~first[row], named.mean(axis=0)),
            *_of_length(say, float(width[row] / np.median(width))),
        ]
        if not told:
            others = {word for other in (*spoken[:row], *spoken[row + 1 :]) for word in other}
            runs = [list(run) for new, run in groupby(own, key=lambda word: word not in others) if new]
            told = [say["says"].format(joined(max(runs, key=len)))] if runs else []
        out.append(say["and"].join(told[:MOST]) or say["plain"])
    return out


def _of_fields(text: str, slots: Sequence[str], own: np.ndarray, share: np.ndarray) -> list[str]:
    """Describe uses of a field that few of the titles share, the rarest first."""
    rare = np.flatnonzero(own & (share <= _RARE))
    return [text.format(slots[slot]) for slot in rare[np.argsort(share[rare], kind="stable")].tolist()]


def _of_length(say: dict[str, str], ratio: float) -> list[str]:
    if abs(ratio - 1) <= _APART:
        return []
    return [say["shorter" if ratio < 1 else "longer"]]
