"""The same words may be worth something else in another category, and the judge learns it."""

from pathlib import Path

import numpy as np
import pytest

from reward.arms import Arms
from reward.arrays import FloatArray
from reward.items import Item
from reward.model.judge import Judge

PHRASES = ("clean lines", "easy care", "light feel", "soft touch", "quiet design", "calm mood", "daily use", "dry feet")
MODELS = ("Lumera", "Tavoni", "Seldar", "Finmo", "Bariul", "Pexila")


def shop(rng: np.random.Generator, n_items: int = 120) -> tuple[Arms, FloatArray]:
    """Items of two categories, four titles of two phrases each, which are worth the opposite in the other category."""
    worth = np.array([0.3, -0.3, 0.2, -0.2, 0.1, -0.1, 0.25, -0.25])
    items, titles, index, effect = [], [], [], []
    for i in range(n_items):
        sign, category = (1, "lamps") if i % 2 else (-1, "shoes")
        items.append(Item(f"i{i}", {"category": (category,), "size": (str(rng.integers(1, 4)),)}))
        for _ in range(4):
            a, b = rng.permutation(len(PHRASES))[:2].tolist()
            titles.append(f"{MODELS[i % 6]} {i} {PHRASES[a]} {PHRASES[b]}")
            index.append(i)
            effect.append(sign * (worth[a] + worth[b]))
    shown = np.full(len(titles), 3000.0)
    rate = 0.05 * np.exp(0.3 * rng.standard_normal(n_items))[index] * np.exp(effect)
    clicks = rng.binomial(3000, np.minimum(rate, 1)).astype(float)
    arms = Arms(
        items=tuple(items),
        item_index=np.array(index),
        title=np.array(titles, dtype=object),
        impressions=shown,
        clicks=clicks,
        exposure=shown,
        propensity=np.full(len(titles), 0.25),
        propensity_logged=True,
    )
    return arms, np.array(effect)


def of_items(arms: Arms, first: int, after: int) -> np.ndarray:  # type: ignore[type-arg]
    return (arms.item_index >= first) & (arms.item_index < after)


@pytest.fixture(scope="module")
def fitted() -> tuple[Arms, FloatArray, Judge]:
    arms, effect = shop(np.random.default_rng(0))
    return arms, effect, Judge.fit(arms.take(of_items(arms, 0, 80)), seed=0)


def test_words_have_effects_of_their_own_in_every_category(fitted: tuple[Arms, FloatArray, Judge]) -> None:
    arms, effect, judge = fitted
    names = judge.features.category_names
    assert judge.columns.wording_by == names.index("category")
    held = of_items(arms, 80, 120)
    rest = arms.take(held)
    found = judge.mean_effect(rest.arm_items, list(rest.title))
    assert np.corrcoef(found, effect[held])[0, 1] > 0.8
    mean, _ = judge.effect(rest.arm_items, list(rest.title))
    np.testing.assert_allclose(found, mean, atol=1e-6)


def test_an_item_of_an_unknown_category_has_the_effects_common_to_all(fitted: tuple[Arms, FloatArray, Judge]) -> None:
    arms, _, judge = fitted
    stranger = Item("new", {"category": ("boats",)})
    block = judge.features.transform([stranger], [str(arms.title[0])])
    assert not judge.columns.apart(judge.columns.embedding.transform(judge.features, block), block).any()


def test_saved_and_loaded_it_tells_the_same(fitted: tuple[Arms, FloatArray, Judge], tmp_path: Path) -> None:
    arms, _, judge = fitted
    judge.save(tmp_path)
    rest = arms.take(of_items(arms, 80, 120))
    loaded = Judge.load(tmp_path)
    for before, after in zip(
        judge.effect(rest.arm_items, list(rest.title)), loaded.effect(rest.arm_items, list(rest.title)), strict=True
    ):
        np.testing.assert_array_equal(before, after)
