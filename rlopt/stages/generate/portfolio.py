"""``generate --diverse``: titles of an item in the order in which they add worth, and what their set is worth."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from reward.arrays import FloatArray
from reward.features.mentions import MentionScanner
from reward.items import Item
from reward.model.reward_model import RewardPrediction
from rlopt.exploring.portfolio import NEAR, diversity, expected_best, likeness, most_worth, worths
from rlopt.stages.generate.angles import angles
from rlopt.stages.generate.proposals import Means, NoReward

_LEAST = 1e-300  # of a reward whose logarithm is taken


def by_worth(rows: range, titles: Sequence[str], predicted: RewardPrediction, slope: float, n: int) -> list[int]:
    """The rows of one item: ``n`` that together are worth most, as they add to it, then the others by reward."""
    if not rows:
        return []
    best = sorted(rows, key=lambda row: -predicted.reward[row])
    near = best[: NEAR * n]
    alike = likeness([titles[row] for row in near])
    worth = _worths(predicted.reward[near], predicted.effect_std[near], alike, slope)
    taken = [near[place] for place in most_worth(worth, alike, n)]
    return [*taken, *(row for row in best if row not in taken)]


def with_portfolio(table: pa.Table, items: Sequence[Item], means: Means) -> pa.Table:
    """The output's rows of these items with three columns more.

    ``expected_best`` is the expected reward of the best of the item's titles, ``diversity`` their mean distance in
    words, ``angle`` what tells a title from the item's others; empty where there is no title.

    Raises
    ------
    TypeError
        If there is no reward model.
    """
    if isinstance(means.model, NoReward):
        raise TypeError("without a reward no set of titles is worth more than another")
    titles = table["title"].to_pylist()
    n = len(titles) // max(1, len(items))
    scanner = MentionScanner(means.model.features.vocabulary)
    rows = [row for row, title in enumerate(titles) if title is not None]
    predicted = means.model.predict([items[row // n] for row in rows], [titles[row] for row in rows])
    best: list[float | None] = [None] * len(titles)
    apart: list[float | None] = [None] * len(titles)
    told: list[str | None] = [None] * len(titles)
    place = {row: number for number, row in enumerate(rows)}
    for number, item in enumerate(items):
        own = [row for row in range(number * n, (number + 1) * n) if row in place]
        if not own:
            continue
        at, texts = [place[row] for row in own], [titles[row] for row in own]
        alike = likeness(texts)
        worth = _worths(predicted.reward[at], predicted.effect_std[at], alike, means.slope)
        for row, angle in zip(own, angles(item, texts, scanner), strict=True):
            best[row], apart[row], told[row] = expected_best(worth), diversity(alike), angle
    columns = {
        "expected_best": pa.array(best, pa.float64()),
        "diversity": pa.array(apart, pa.float64()),
        "angle": pa.array(told, pa.string()),
    }
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table


def _worths(reward: FloatArray, std: FloatArray, alike: FloatArray, slope: float) -> FloatArray:
    return worths(np.maximum(reward, _LEAST), std, alike, slope)
