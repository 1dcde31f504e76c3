"""Selection of the targets, by closed forms: shrunken rates, better titles, weights by reward."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from reward.arms import Arms
from reward.items import Item
from rlopt.errors import PolicyError
from rlopt.stages.sft.data import TitleRates, best_pairs, improvement_pairs, reward_weights
from tests.stages.menu import make_arms


def arms_of(rows: list[tuple[str, str, float, float]]) -> Arms:
    """Arms from (item, title, impressions, clicks)."""
    ids = list(dict.fromkeys(row[0] for row in rows))
    shown = np.array([row[2] for row in rows])
    items = tuple(Item(name, {}, next(row[1] for row in rows if row[0] == name)) for name in ids)
    return Arms(
        items=items,
        item_index=np.array([ids.index(row[0]) for row in rows]),
        title=np.array([row[1] for row in rows], dtype=object),
        impressions=shown,
        clicks=np.array([row[3] for row in rows]),
        exposure=shown,
        propensity=np.full(len(rows), 0.5),
        propensity_logged=True,
    )


CLEAR = arms_of(
    [
        ("a", "dull", 100_000, 1_000), ("a", "good", 100_000, 2_000), ("a", "lucky", 10, 3),
        ("b", "same", 100_000, 1_500), ("b", "alike", 100_000, 1_500),
        ("c", "only", 100_000, 1_500),
    ]
)  # fmt: skip


def test_rates_are_shrunken_to_the_items_own() -> None:
    evidence = TitleRates.of(CLEAR, 1.0)
    item_rate = (3_003 + 0.5) / (200_010 + 1)
    assert evidence.rate[1] == pytest.approx(0.02, rel=1e-2)  # much evidence: its own rate
    assert item_rate < evidence.rate[2] < 0.02  # three clicks in ten are next to none
    assert (TitleRates.of(CLEAR, 1e9).rate[:2] == pytest.approx([item_rate] * 2, rel=1e-3)) is True


def test_the_chance_of_being_better_is_that_of_two_normals() -> None:
    evidence = TitleRates(np.array([0.03, 0.02]), np.array([9e-6, 16e-6]))
    assert evidence.better(0, 1) == pytest.approx(0.97725, abs=1e-5)  # two standard deviations
    assert evidence.better(0, 1) + evidence.better(1, 0) == pytest.approx(1)
    assert evidence.better(0, 0) == 0.5


def test_only_items_with_a_better_title_teach_to_optimize() -> None:
    pairs = improvement_pairs(CLEAR, TitleRates.of(CLEAR, 1.0))
    assert {item.item_id for item, _ in pairs} == {"a"}
    assert {title for _, title in pairs} == {"good"}
    current = [item.current_title for item, _ in pairs]
    assert current[0] == "dull"
    assert current[-1] is None
    assert "good" not in current


def test_the_best_title_of_each_item_is_its_example() -> None:
    found = {item.item_id: title for item, title in best_pairs(CLEAR, TitleRates.of(CLEAR, 1.0))}
    assert found["a"] == "good"
    assert found["c"] == "only"


def test_nothing_better_is_one_clear_error() -> None:
    arms = CLEAR.of_items({"b", "c"})
    with pytest.raises(PolicyError, match="No train item has a title that beats another"):
        improvement_pairs(arms, TitleRates.of(arms, 1.0))


def test_most_targets_are_the_truly_best_titles() -> None:
    arms = make_arms(200, impressions=20_000)
    pairs = improvement_pairs(arms, TitleRates.of(arms, 1.0))
    assert np.mean([title.startswith("new ") for _, title in pairs]) > 0.95
    assert len({item.item_id for item, _ in pairs}) > 150


def test_weights_are_exponential_in_the_effect_within_items() -> None:
    arms = arms_of([("a", "x", 1, 0), ("a", "y", 1, 0), ("b", "x", 1, 0), ("b", "y", 1, 0)])
    effects = {"a": {"x": 0.1, "y": 0.3}, "b": {"x": 5.1, "y": 5.3}}  # what differs between items does not count
    model = SimpleNamespace(
        predict=lambda items, titles: SimpleNamespace(
            effect=np.array([effects[item.item_id][title] for item, title in zip(items, titles, strict=True)])
        )
    )
    pairs = [(item, title) for item in arms.items for title in ("x", "y")]
    weights = reward_weights(model, arms, pairs)  # type: ignore[arg-type]
    e = np.exp([-1.0, 1.0, -1.0, 1.0])
    np.testing.assert_allclose(weights, e / e.mean())
    flat = SimpleNamespace(predict=lambda items, titles: SimpleNamespace(effect=np.zeros(len(titles))))
    np.testing.assert_array_equal(reward_weights(flat, arms, pairs), np.ones(4))  # type: ignore[arg-type]
    asked = [(replace(item, current_title="x"), title) for item, title in pairs]
    np.testing.assert_allclose(reward_weights(model, arms, asked), weights)  # type: ignore[arg-type]
