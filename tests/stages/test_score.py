"""Scores of titles side by side, and of items far from the logs."""

import numpy as np
import pytest

from reward.items import Item
from rlopt.stages.common.familiar import Familiar
from rlopt.stages.common.scorer import lifts


def test_lifts_are_over_the_items_titles_times_the_slope() -> None:
    effect = np.log([1.0, 1.21, 3.0, 2.0, 2.0])
    lift, std = lifts(["a", "a", "b", "c", "c"], effect, np.full(5, 0.1), (1.0, 0.0))
    assert lift[:2] == pytest.approx([1 / 1.1 - 1, 0.1])
    assert np.isnan(lift[2])  # alone
    assert lift[3:] == pytest.approx([0, 0])
    assert std[1] == pytest.approx(1.1 * 0.1)
    half, wider = lifts(["a", "a", "b", "c", "c"], effect, np.full(5, 0.1), (0.5, 0.2))
    assert half[1] == pytest.approx(1.1**0.5 - 1)
    assert wider[1] == pytest.approx((1 + half[1]) * np.hypot(0.05, 0.2 * np.log(1.1)))


def test_no_titles_have_no_lifts() -> None:
    lift, std = lifts([], np.zeros(0), np.zeros(0), (1.0, 0.0))
    assert len(lift) == len(std) == 0


def test_new_items_of_unknown_words_are_far() -> None:
    known = Familiar(frozenset(["a"]), frozenset(["red", "linen", "shirt", "by", "acme"]))
    items = [Item("a", {}), Item("b", {"brand": ("Acme",)}), Item("c", {"brand": ("Zorg",)}), Item("c", {})]
    titles = ["quantum flux", "red shirt", "quantum shirt flux", "red quantum"]
    assert known.strange(items, titles).tolist() == [False, False, True, True]
