"""Scores of titles and comparison of an item's titles, by a run: the same numbers in a file and over HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reward.arrays import BoolArray, FloatArray
from reward.evidence.explain import SUPPORTED
from reward.items import Item
from reward.model.reward_model import RewardModel
from rlopt.stages.common.columns import SCORED
from rlopt.stages.common.familiar import Familiar
from rlopt.stages.common.opened import OpenedRun
from rlopt.wording import counted

Column = np.ndarray[Any, np.dtype[Any]]
FAR = np.array(["", "wording", "item", "item wording"], dtype=object)
_PREDICTED = (*SCORED, "effect", "effect_std")


@dataclass(frozen=True)
class Scorer:
    """A reward model with the limits of its validity.

    Parameters
    ----------
    model
        The reward model.
    familiar
        Items and words of the logs.
    slope
        Factor for lifts, and its standard error (`reward.evidence.slope`).
    """

    model: RewardModel
    familiar: Familiar
    slope: tuple[float, float]

    @classmethod
    def of(cls, opened: OpenedRun, model: RewardModel | None = None) -> "Scorer":
        """The run's; ``model`` is its reward model where the caller keeps one of its own."""
        return cls(model or opened.reward, Familiar.of(opened.arms), opened.trust)

    def predict(self, items: Sequence[Item], titles: Sequence[str]) -> dict[str, FloatArray]:
        """`SCORED`, ``effect`` and ``effect_std`` of n titles, shape (n,) each; NaN where the logs say nothing."""
        predicted = self.model.predict(items, titles)
        nothing = np.full(len(titles), np.nan)
        found = {name: getattr(predicted, name) for name in _PREDICTED}
        return {name: nothing if column is None else column for name, column in found.items()}

    def compare(
        self, items: Sequence[Item], titles: Sequence[str], predicted: dict[str, FloatArray]
    ) -> dict[str, Column]:
        """The columns of ``rlopt score`` for titles that belong together: those of one file, or of one request.

        Parameters
        ----------
        items, titles
            Of length n.
        predicted
            Predictions of `predict`.

        Returns
        -------
        `SCORED`, ``lift``, ``lift_std`` and ``far``, shape (n,) each.
        """
        ids = [item.item_id for item in items]
        lift, lift_std = lifts(ids, predicted["effect"], predicted["effect_std"], self.slope)
        far = FAR[unlike(predicted) + 2 * self.familiar.strange(items, titles)]
        return {**{name: predicted[name] for name in SCORED}, "lift": lift, "lift_std": lift_std, "far": far}


@dataclass(frozen=True)
class Reach:
    """Distance of titles and their items from the logs.

    Parameters
    ----------
    items
        Number of items.
    out_of_distribution
        Titles whose wording is unlike anything logged.
    new_items, far_items
        Items that the logs do not have, and those among them whose words the logs hardly know.
    """

    items: int
    out_of_distribution: int
    new_items: int
    far_items: int

    @classmethod
    def of(cls, items: Sequence[Item], far: Column, familiar: Familiar) -> "Reach":
        """Count the distant titles and items among these, ``far`` as `Scorer.compare` returns it."""
        ids = {item.item_id for item in items}
        distant = {item.item_id for item, word in zip(items, far, strict=True) if word.startswith("item")}
        wording = sum(word.endswith("wording") for word in far)
        return cls(len(ids), wording, len(ids - familiar.items), len(distant))

    def warnings(self) -> list[str]:
        """Warnings about titles far from the logs, a sentence or two each."""
        said = []
        if self.out_of_distribution:
            said.append(
                f"{counted(self.out_of_distribution, 'title is', 'titles are')} worded unlike anything logged (column "
                "far: wording): their rewards are guesses."
            )
        if self.far_items:
            said.append(
                f"{counted(self.far_items, 'item is', 'items are')} far from those of the logs, which hardly know "
                "their words (column far: item): what was learned need not hold there. Test a few titles before you "
                "trust it."
            )
        elif self.items and self.new_items == self.items:
            said.append(
                "None of these items is in the logs: nothing says that shoppers there like what shoppers liked here."
            )
        return said


def unlike(predicted: dict[str, FloatArray]) -> BoolArray:
    """True where a title is worded unlike anything logged, shape (n,)."""
    return np.asarray(predicted["support"] < SUPPORTED)


def lifts(
    item_ids: Sequence[str], effect: FloatArray, effect_std: FloatArray, slope: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """Lift of each title's clicks over the mean of its item's titles, and its standard deviation, shape (n,) each.

    Parameters
    ----------
    item_ids
        Items of the titles, n of them.
    effect, effect_std
        Effect on the log-odds of a click, shape (n,); NaN only where all are.
    slope
        Factor for differences, and its standard error.

    Returns
    -------
    NaN for an item's only title.
    """
    place: dict[str, int] = {}
    item = np.array([place.setdefault(item_id, len(place)) for item_id in item_ids], dtype=np.int64)
    n_titles = np.bincount(item)[item]
    beyond = np.where(n_titles > 1, effect - np.bincount(item, effect)[item] / n_titles, np.nan)
    lift = np.expm1(slope[0] * beyond)
    return lift, (1 + lift) * np.hypot(slope[0] * effect_std, slope[1] * beyond)
