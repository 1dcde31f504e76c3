"""Titles of the policy for an item, and for the same item for the other sex or from another place.

Both titles are drawn with the same random numbers: they differ only because of the words that were swapped.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from reward.items import Item
from reward.text import same_text_key
from rlopt.report.attacks import SwapFigures
from rlopt.stages.probe.measure import MARGIN_OF_CHANGES, Examiner
from rlopt.stages.probe.swaps import swapped, swapped_item

Writer = Callable[[Sequence[Item]], Sequence[str]]


def written_for_swapped(
    writer: Writer,
    items: Sequence[Item],
    lists: Mapping[str, Mapping[str, str]],
    asked: Examiner,
    max_items: int,
    random: np.random.Generator,
) -> tuple[SwapFigures, ...]:
    """Figures of each kind of words that fields of the items hold.

    Parameters
    ----------
    writer
        A title for each item, with the same random numbers at each call.
    lists
        Kind ("gender", "place") -> word -> what takes its place.
    max_items
        If more items hold such words, this many are drawn at random.
    """
    found = []
    for kind, words in lists.items():
        pairs = [(item, other) for item in items if (other := swapped_item(words, item)) != item]
        chosen = [pairs[k] for k in sorted(random.permutation(len(pairs))[:max_items])]
        if chosen:
            found.append(_figures(kind, words, chosen, writer, asked))
    return tuple(found)


def _figures(
    kind: str, words: Mapping[str, str], pairs: Sequence[tuple[Item, Item]], writer: Writer, asked: Examiner
) -> SwapFigures:
    items, others = [item for item, _ in pairs], [other for _, other in pairs]
    titles, told = list(writer(items)), list(writer(others))
    wanted = [swapped(words, title) or title for title in titles]
    alike = [same_text_key(one) == same_text_key(other) for one, other in zip(wanted, told, strict=True)]
    change = asked.reward(others, told) / asked.reward(items, titles) - 1.0
    first = alike.index(False) if False in alike else 0
    return SwapFigures(
        kind,
        len(pairs),
        float(np.mean(alike)),
        float(np.median(change)),
        float((change > MARGIN_OF_CHANGES).mean()),
        float((change < -MARGIN_OF_CHANGES).mean()),
        _broken(items, titles, asked),
        _broken(others, told, asked),
        titles[first],
        told[first],
    )


def _broken(items: Sequence[Item], titles: Sequence[str], asked: Examiner) -> float:
    """Share of the titles that break a rule."""
    return float(np.mean([bool(asked.constraints.check(*pair)) for pair in zip(items, titles, strict=True)]))
