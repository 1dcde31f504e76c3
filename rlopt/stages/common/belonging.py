"""Belonging of titles to their items, learned from the titles of the train items, with or without clicks."""

from reward.arms import Arms
from reward.belonging.belonging import Belonging
from reward.encoders.encoder import Encoder
from reward.errors import ModelError
from reward.logs.splits import Splits
from rlopt.progress import note


def fit_belonging(arms: Arms, splits: Splits, encoder: Encoder | None, seed: int) -> Belonging | None:
    """Fit the model of belonging on all train items; None where their titles teach nothing.

    It is fitted after the models, whose titles are encoded by then.
    """
    train = arms.of_items(splits.train)
    note("Learning which titles belong to their items")
    try:
        return Belonging.fit(train.items, list(train.title), train.item_index, encoder=encoder, seed=seed)
    except ModelError as error:
        note(f"This run cannot check whether titles belong to their items: {error}")
        return None
