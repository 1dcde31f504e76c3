"""A title that does not belong to its item is not chosen while another one does."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reward.belonging.belonging import Belongs
from reward.belonging.faults import Soundness
from reward.items import Item
from rlopt.config import Decoding, GenerateConfig
from rlopt.policy.constraints import Constraints
from rlopt.policy.title_policy import GeneratedTitle
from rlopt.stages.generate.choice import Choice, choose_titles
from rlopt.stages.generate.proposals import Means, Shop
from rlopt.stages.generate.table import TableTotals, from_table, to_table
from tests.stages.menu import MenuPolicy, MenuReward, make_arms, style_of, title_of

ITEMS = make_arms(40).items
BEST = "magic"  # the style with the highest reward


class Writer(MenuPolicy):
    def write(
        self, items: Sequence[Item], n: int, how: Decoding, _: Constraints | None = None
    ) -> list[list[GeneratedTitle]]:
        return self.generate(items, n, temperature=how.temperature, seed=how.seed)


class Strange:
    """Titles in the best style belong to nobody."""

    def predict(self, items: Sequence[Item], titles: Sequence[str]) -> Belongs:
        n = len(titles)
        score = np.array([0.1 if style_of(title) == BEST else 0.8 for title in titles])
        return Belongs(Soundness(score, np.full(n, 0.4), np.full(n, "", dtype=object)), Soundness.unknown(n))


def chosen(shares: dict[str, float], items: Sequence[Item] = ITEMS, **settings: Any) -> tuple[list[Choice], Shop]:
    config = GenerateConfig(**{"keep_current": False, "best_of": 6, **settings})
    means = Means(Writer(shares), MenuReward(), Constraints(), config, Strange())  # type: ignore[arg-type]
    shop = Shop()
    return [choice for own in choose_titles(items, means, shop, 0) for choice in own], shop


MIXED = {"plain": 0.2, "long": 0.2, "new": 0.2, "magic": 0.4}
ONLY = {"plain": 0.0, "long": 0.0, "new": 0.0, "magic": 1.0}


def styles(choices: Sequence[Choice]) -> set[str]:
    return {style_of(str(choice.title)) for choice in choices}


def test_the_best_by_reward_is_passed_over_where_it_does_not_belong() -> None:
    choices, shop = chosen(MIXED)
    assert BEST not in styles(choices)
    assert shop.stopped["relevance"] > 0
    assert {choice.relevance for choice in choices} == {0.8}
    assert {choice.fluency for choice in choices} == {None}  # not known


def test_switched_off_it_is_chosen_and_reported() -> None:
    choices, _ = chosen(MIXED, belonging=False)
    best = [choice for choice in choices if style_of(str(choice.title)) == BEST]
    assert len(best) > len(ITEMS) / 2
    assert {choice.report for choice in best} == {("relevance: 0.10, below 0.40",)}


def test_it_is_chosen_where_there_is_no_other() -> None:
    choices, _ = chosen(ONLY)
    assert styles(choices) == {BEST}
    table = to_table([[choice] for choice in choices], {})
    totals = TableTotals()
    totals.add(table)
    assert totals.not_belonging == len(ITEMS)
    assert [choice.relevance for (choice,) in from_table(table, ITEMS)] == [0.1] * len(ITEMS)


@pytest.mark.parametrize("shares", [MIXED, ONLY])
def test_the_current_title_stays_rather(shares: dict[str, float]) -> None:
    items = [replace(item, current_title=title_of(item, "new")) for item in ITEMS]
    choices, _ = chosen(shares, items, keep_current=True, confidence=0.5)
    assert BEST not in styles(choices)
    assert {choice.relevance for choice in choices} == {0.8}
