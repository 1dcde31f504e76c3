"""The monitor: a reward model on train items that the optimised reward has not seen, watched by PPO, not optimised.

It is not the judge. What chooses a checkpoint must not also grade it, so the monitor's items are train items.
"""

import numpy as np

from reward.arms import Arms
from reward.encoders.encoder import Encoder
from reward.errors import ModelError
from reward.logs.splits import title_groups
from reward.model.reward_model import RewardModel
from rlopt import threads
from rlopt.config import RewardConfig
from rlopt.progress import note
from rlopt.run import ENCODINGS, Run

MONITOR = "monitor"
MIN_ITEMS = 30
MAX_SHARE = 0.25
MEMBERS = 2


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


def fit_monitor(train: Arms, config: RewardConfig, encoder: Encoder | None) -> tuple[RewardModel | None, Arms]:
    """The monitor (None where its items would be too few, or teach nothing) and the arms left for the reward.

    A small ensemble does: only its mean is watched. It reads with the reward's encoder: the titles it will see are
    those that the reward encodes anyway.
    """
    chosen = set(monitor_items(train, config.monitor_share, config.seed))
    if not chosen:
        return None, train
    note(f"Fitting the monitor on {len(chosen)} train items of its own")
    try:
        model = RewardModel.fit(
            train.of_items(chosen),
            seed=config.seed,
            n_members=MEMBERS,
            click_weight=config.click_weight,
            conversion_weight=config.conversion_weight,
            revenue_weight=config.revenue_weight,
            threads=threads.available(),
            encoder=encoder,
        )
    except ModelError as error:
        note(f"No monitor: {error}")
        return None, train
    return model, train.of_items({item.item_id for item in train.items} - chosen)


def load_monitor(run: Run) -> RewardModel | None:
    """The run's monitor, None where it has none."""
    folder = run / MONITOR
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    return RewardModel.load(folder, encodings=run / ENCODINGS)
