"""Items and the titles that were logged for them, as the two scores learn from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..items import Item
from ..logs.splits import groups_by_title

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_MOST_TITLES = 50  # of one item that others are compared with


@dataclass(frozen=True)
class Logged:
    """Items and their logged titles.

    Parameters
    ----------
    items
        Each once.
    titles
        Texts, length n.
    index
        Item of each title, shape (n,).
    """

    items: Sequence[Item]
    titles: Sequence[str]
    index: IntArray

    def of(self, chosen: BoolArray) -> "Logged":
        """These items (mask) and their titles only."""
        rows = np.flatnonzero(chosen[self.index]).tolist()
        items = [item for item, kept in zip(self.items, chosen.tolist(), strict=True) if kept]
        return Logged(items, [self.titles[row] for row in rows], (np.cumsum(chosen) - 1)[self.index[rows]])

    def some(self, most_items: int, most_titles: int, rng: np.random.Generator) -> "Logged":
        """Random items: at most this many, and no further one once they have that many titles."""
        counts = np.bincount(self.index, minlength=len(self.items))
        order = rng.permutation(len(self.items))[:most_items]
        chosen = np.zeros(len(self.items), dtype=bool)
        chosen[order[np.cumsum(counts[order]) - counts[order] < most_titles]] = True
        return self.of(chosen)

    def folds(self, k: int, rng: np.random.Generator) -> IntArray:
        """Fold of each item, shape (n_items,): items that share a title are in one. Empty where there are too few."""
        group = groups_by_title(len(self.items), self.index, self.titles)
        n_groups = int(group.max(initial=-1)) + 1
        return (rng.permutation(n_groups) % k)[group] if n_groups >= k else np.zeros(0, dtype=np.int64)

    def own(self) -> dict[str, tuple[str, ...]]:
        """Item id -> its titles, of very many the first."""
        found: dict[str, dict[str, None]] = {item.item_id: {} for item in self.items}
        for title, index in zip(self.titles, self.index.tolist(), strict=True):
            found[self.items[index].item_id][title] = None
        return {item_id: tuple(titles)[:_MOST_TITLES] for item_id, titles in found.items()}
