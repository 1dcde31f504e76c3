"""Predictions of a run for titles beside the current ones: lift, chance, rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from scipy.stats import norm

from reward.arrays import FloatArray
from reward.belonging.belonging import FLUENCY, RELEVANCE
from reward.items import Item
from rlopt.reviewing.checks import Broken, Checked
from rlopt.stages.common.opened import OpenedRun

REACH = float(norm.ppf(0.975))


@dataclass(frozen=True)
class Lifts:
    """Predicted lifts of the clicks over current titles, arrays of shape (n,); NaN without a current title.

    Parameters
    ----------
    lift, low, high
        With its 95% interval.
    chance
        Of being better.
    support
        Similarity of the new title to logged ones.
    """

    lift: FloatArray
    low: FloatArray
    high: FloatArray
    chance: FloatArray
    support: FloatArray


class RunChecks:
    """A run that answers the pages; one question at a time, as its models are not made for threads."""

    def __init__(self, opened: OpenedRun) -> None:
        self._opened, self._lock = opened, Lock()
        self._slope = opened.trust

    def warm_up(self) -> None:
        """Load what the first question would wait for."""
        with self._lock:
            _ = self._opened.reward, self._opened.constraints, self._opened.belonging

    def lifts(self, items: Sequence[Item], titles: Sequence[str]) -> Lifts:
        """Lifts of ``titles`` over the items' current titles.

        Two effects count as independent and normal on the log-odds; their difference is multiplied by the slope that
        the title effect had on held-out items where that is below 1, and takes over its error.
        """
        old = [row for row, item in enumerate(items) if item.current_title]
        pairs = [*items, *(items[row] for row in old)]
        predicted = self._opened.reward.predict(pairs, [*titles, *(str(items[row].current_title) for row in old)])
        n = len(items)
        beyond, spread = np.full(n, np.nan), np.full(n, np.nan)
        beyond[old] = predicted.effect[old] - predicted.effect[n:]
        slope, error = self._slope
        spread[old] = np.hypot(
            slope * np.hypot(predicted.effect_std[old], predicted.effect_std[n:]), error * beyond[old]
        )
        middle = slope * beyond
        same = np.array([item.current_title == title for item, title in zip(items, titles, strict=True)], dtype=bool)
        spread = np.where(same, 0.0, np.maximum(spread, 1e-9))
        with np.errstate(invalid="ignore", divide="ignore"):
            chance = np.where(same, 0.5, norm.cdf(middle / spread))
        low, high = middle - REACH * spread, middle + REACH * spread
        return Lifts(np.expm1(middle), np.expm1(low), np.expm1(high), chance, np.asarray(predicted.support[:n]))

    def check(self, item_id: str, facts: dict[str, tuple[str, ...]], current: str | None, title: str) -> Checked:
        """Check one title; see `rlopt.reviewing.checks.Checks`."""
        with self._lock:
            item = self._opened.with_known_fields([Item(item_id, facts, current)])[0]
            found = self.lifts([item], [title])
            broken = tuple(Broken(one.kind, one.detail) for one in self._opened.constraints.check(item, title))
            thought = self._opened.belonging.predict([item], [title]) if self._opened.belonging else None
        lift, low, high, chance = (_number(x[0]) for x in (found.lift, found.low, found.high, found.chance))
        return Checked(
            broken,
            lift,
            low,
            high,
            chance,
            _number(found.support[0]),
            None if thought is None else thought.score(RELEVANCE, 0),
            None if thought is None else thought.score(FLUENCY, 0),
        )


def _number(value: float) -> float | None:
    return None if value != value else float(value)
