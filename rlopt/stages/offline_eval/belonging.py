"""Do the evaluated titles belong to their items, and do they read like titles: two scores learned from train titles."""

from dataclasses import dataclass

import numpy as np

from reward.arms import Arms
from reward.belonging.fluency import Fluency
from reward.belonging.relevance import Relevance
from reward.errors import ModelError
from reward.items import Item
from rlopt.stages.offline_eval.case import Case

MIN_ITEMS = 200
"""Train items under which what belongs to an item cannot be told from what a few items have in common."""


@dataclass(frozen=True)
class Belonging:
    """Shares of the evaluated titles; None where the train items are too few to tell by.

    Parameters
    ----------
    relevant
        That are like their item's titles, fields and texts, and not like those of others.
    fluent
        Whose wording is that of whole titles, not of shuffled or spliced ones.
    """

    relevant: float | None
    fluent: float | None


def belonging(train: Arms, case: Case) -> Belonging:
    """Both shares; a title is compared with its item's logged titles, but never with itself."""
    if len(train.items) < MIN_ITEMS:
        return Belonging(None, None)
    written, test = case.mine.written, case.test
    items = [test.items[i] for i in written.item]
    return Belonging(_relevant(train, case, items, written.title), _fluent(train, case, written.title))


def _relevant(train: Arms, case: Case, items: list[Item], titles: list[str]) -> float | None:
    test = case.test
    try:
        found = Relevance.fit(train.items, list(map(str, train.title)), train.item_index, seed=case.config.seed)
    except ModelError:  # too few to learn from
        return None
    known = found.with_titles(test.items, list(map(str, test.title)), test.item_index)
    return float(np.mean(~known.predict(items, titles).faulty))


def _fluent(train: Arms, case: Case, titles: list[str]) -> float | None:
    try:
        found = Fluency.fit(list(map(str, train.title)), train.item_index, seed=case.config.seed)
    except ModelError:
        return None
    return float(np.mean(~found.predict(titles).faulty))
