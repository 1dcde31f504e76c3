"""Both scores of a title: does it belong to its item, and does it read like a title."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..encoders.encoder import Encoder
from ..errors import ModelError
from ..items import Item
from .faults import Soundness
from .fluency import Fluency
from .relevance import Relevance

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

RELEVANCE, FLUENCY = "relevance", "fluency"
"""The two scores, also names of what a title below a floor is found to lack."""
MIN_ITEMS = 200
"""Train items under which what belongs to an item cannot be told from what a few items have in common."""


@dataclass(frozen=True)
class Belongs:
    """Relevance and fluency of n titles.

    Parameters
    ----------
    relevance, fluency
        Chances that a title belongs to its item, and that it reads like a title, with their floors.
    """

    relevance: Soundness
    fluency: Soundness

    @property
    def faulty(self) -> BoolArray:
        """True for a title below either floor, shape (n,)."""
        return self.relevance.faulty | self.fluency.faulty

    @property
    def shortfall(self) -> FloatArray:
        """0 at and above both floors; below one of them 1 and how far below, at most 2 for each, shape (n,)."""
        return _below(self.relevance) + _below(self.fluency)

    def scores(self, name: str) -> FloatArray:
        """One of the scores, shape (n,); NaN where there is nothing to tell it by."""
        found = self._of(name)
        return np.where(_told(found), found.score, np.nan)

    def score(self, name: str, row: int) -> float | None:
        """One of the scores of one title; None where there is nothing to tell it by."""
        found = self._of(name)
        return float(found.score[row]) if found.threshold[row] > 0 else None

    def lacks(self, row: int) -> list[str]:
        """Names of the scores of one title that are below their floor."""
        return [name for name in (RELEVANCE, FLUENCY) if self._of(name).faulty[row]]

    def why(self, row: int) -> list[str]:
        """The same with figures, for a person: ``relevance: 0.03, below 0.21``."""
        found = [(name, self._of(name)) for name in self.lacks(row)]
        return [f"{name}: {one.score[row]:.2f}, below {one.threshold[row]:.2f}" for name, one in found]

    def _of(self, name: str) -> Soundness:
        return self.relevance if name == RELEVANCE else self.fluency


@dataclass(frozen=True)
class Belonging:
    """The two models, learned from the same logged titles; at least one is there.

    Parameters
    ----------
    relevance, fluency
        None where the titles do not teach it.
    """

    relevance: Relevance | None
    fluency: Fluency | None

    @classmethod
    def fit(
        cls,
        items: Sequence[Item],
        titles: Sequence[str],
        item_index: IntArray,
        *,
        encoder: Encoder | None = None,
        seed: int = 0,
    ) -> "Belonging":
        """Learn from train items and their logged titles; parameters are those of `Relevance.fit`.

        Raises
        ------
        ModelError
            If neither can be learned, or there are fewer than `MIN_ITEMS` items.
        """
        if len(items) < MIN_ITEMS:
            raise ModelError(
                f"what belongs to an item is learned from {MIN_ITEMS} train items and more. Got {len(items)}."
            )
        texts, why = list(map(str, titles)), ""
        relevance, fluency = None, None
        try:
            relevance = Relevance.fit(items, texts, item_index, encoder=encoder, seed=seed)
        except ModelError as error:
            why = str(error)
        try:
            fluency = Fluency.fit(texts, item_index, seed=seed)
        except ModelError as error:
            if relevance is None:
                raise ModelError(f"{why} And {error}") from error
        return cls(relevance, fluency)

    def predict(self, items: Sequence[Item], titles: Sequence[str]) -> Belongs:
        """Score n titles beside their items; a logged title is not compared with itself."""
        unknown = Soundness.unknown(len(titles))
        return Belongs(
            unknown if self.relevance is None else self.relevance.predict(items, titles),
            unknown if self.fluency is None else self.fluency.predict(titles),
        )

    def with_titles(self, items: Sequence[Item], titles: Sequence[str], item_index: IntArray) -> "Belonging":
        """The same, knowing the logged titles of further items."""
        if self.relevance is None:
            return self
        return replace(self, relevance=self.relevance.with_titles(items, titles, item_index))

    def save(self, folder: Path) -> None:
        """Write a folder for each model; the items' titles are not copied, the run's logs have them (`with_titles`)."""
        if self.relevance is not None:
            replace(self.relevance, own={}).save(folder / RELEVANCE)
        if self.fluency is not None:
            self.fluency.save(folder / FLUENCY)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        encoder: Encoder | None = None,
        policy: Path | None = None,
        encodings: Path | None = None,
    ) -> "Belonging":
        """Read what `save` wrote.

        Parameters
        ----------
        folder
            Folder that `save` wrote.
        encoder, policy, encodings
            As in `Relevance.load`.

        Raises
        ------
        ModelError
            If a model is damaged, or its encoder is another by now.
        """
        of_item, wording = folder / RELEVANCE, folder / FLUENCY
        return cls(
            Relevance.load(of_item, encodings, encoder=encoder, policy=policy) if of_item.is_dir() else None,
            Fluency.load(wording) if wording.is_dir() else None,
        )

    @staticmethod
    def kept_in(folder: Path) -> bool:
        """True if `save` wrote a model there."""
        return any((folder / name).is_dir() for name in (RELEVANCE, FLUENCY))


def _told(found: Soundness) -> BoolArray:
    return np.asarray(found.threshold > 0)


def _below(found: Soundness) -> FloatArray:
    """2 - score / floor, within [1, 2], of titles below the floor; 0 of the others, shape (n,)."""
    return np.clip(2.0 - found.score / np.maximum(found.threshold, 1e-12), 1.0, 2.0) * (found.faulty & _told(found))
