"""The monitor: a reward model on train items that the optimised reward has not seen, watched by PPO, not optimised.

It is not the judge. What chooses a checkpoint must not also grade it, so the monitor's items are train items.
"""

import numpy as np

from reward.arms import Arms
from reward.logs.splits import title_groups

MONITOR = "monitor"
MIN_ITEMS = 30
MAX_SHARE = 0.25


def monitor_items(train: Arms, share: float, seed: int) -> tuple[str, ...]:
    """Train items to set aside, sorted; none where ``share`` is 0 or the items are too few.

    At least `MIN_ITEMS` (fewer teach nothing), at most `MAX_SHARE` of the items. Items that share a title text stay
    together, so that the monitor is held out as the judge is.
    """
    n = len(train.items)
    wanted = max(round(share * n), MIN_ITEMS)
    if share <= 0 or wanted > MAX_SHARE * n:
        return ()
    group = title_groups(train)
    size = np.bincount(group)
    chosen: list[str] = []
    for number in np.random.default_rng([seed, 1]).permutation(len(size)):
        if len(chosen) + size[number] <= wanted:
            chosen += [train.items[i].item_id for i in np.flatnonzero(group == number)]
    return tuple(sorted(chosen)) if 2 * len(chosen) >= wanted else ()
