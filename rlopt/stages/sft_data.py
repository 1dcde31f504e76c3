"""What SFT learns from: titles of the train items' logs."""

from dataclasses import dataclass

import numpy as np

from reward.arms import Arms
from reward.text import clean
from rlopt.policy.targets import Pairs

MAX_TITLES_AN_ITEM = 8
MAX_HELD_OUT = 512  # titles: more would cost time at every checkpoint and change little


@dataclass(frozen=True)
class Lesson:
    """What is learned, and what only watches; no item is in both."""

    pairs: Pairs
    held_out: Pairs


def logged_pairs(arms: Arms) -> Pairs:
    """(item, title) pairs to learn from: each item's most shown titles, at most `MAX_TITLES_AN_ITEM`."""
    order = np.lexsort((arms.title.astype(str), -arms.impressions, arms.item_index))
    taken: dict[int, int] = {}
    pairs: Pairs = []
    for row in order:
        index = int(arms.item_index[row])
        title = clean(str(arms.title[row]))
        if title and taken.get(index, 0) < MAX_TITLES_AN_ITEM:
            taken[index] = taken.get(index, 0) + 1
            pairs.append((arms.items[index], title))
    return pairs


def hold_out(pairs: Pairs, share: float, seed: int) -> Lesson:
    """All titles of a random ``share`` of the items are held out, at least those of one item and never all."""
    items = list(dict.fromkeys(item.item_id for item, _ in pairs))
    if len(items) < 2:
        return Lesson(pairs, [])
    rng = np.random.default_rng(seed)
    number = min(max(1, round(share * len(items))), len(items) - 1)
    watched = {items[i] for i in rng.permutation(len(items))[:number]}
    held_out = [pair for pair in pairs if pair[0].item_id in watched]
    chosen = np.sort(rng.permutation(len(held_out))[:MAX_HELD_OUT])
    return Lesson([pair for pair in pairs if pair[0].item_id not in watched], [held_out[i] for i in chosen])
