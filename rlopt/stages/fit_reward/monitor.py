"""Fits the monitor, the reward model that PPO watches and does not optimise (`rlopt.stages.common.monitor`)."""

from reward.arms import Arms
from reward.encoders.encoder import Encoder
from reward.errors import ModelError
from reward.model.reward_model import RewardModel
from rlopt import threads
from rlopt.config import RewardConfig
from rlopt.progress import note
from rlopt.stages.common.monitor import monitor_items

MEMBERS = 2


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
