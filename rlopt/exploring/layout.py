"""Titles of items in rows, and the same as a table of items by titles, which is what beliefs are about."""

from dataclasses import dataclass

import numpy as np

from reward.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Layout:
    """Layout of m rows in a table of n items by k titles.

    Parameters
    ----------
    item, place
        Row and column, shape (m,).
    shape
        (n, k).
    """

    item: IntArray
    place: IntArray
    shape: tuple[int, int]

    @classmethod
    def of(cls, item: IntArray) -> "Layout":
        """From the item of each row, 0 to n - 1, each with a row at least; its rows keep their order."""
        counts = np.bincount(item)
        order = np.argsort(item, kind="stable")
        place = np.empty(len(item), dtype=np.int64)
        place[order] = np.arange(len(item)) - np.repeat(np.cumsum(counts) - counts, counts)
        return cls(item, place, (len(counts), int(counts.max(initial=0))))

    @property
    def present(self) -> BoolArray:
        """Mask of the cells that hold a title, shape (n, k)."""
        return self.lay(np.ones(len(self.item))) > 0

    def lay(self, values: FloatArray, fill: float = 0.0) -> FloatArray:
        """The table of values (m, ...), shape (n, k, ...)."""
        out = np.full((*self.shape, *values.shape[1:]), fill)
        out[self.item, self.place] = values
        return out

    def rows(self, table: FloatArray) -> FloatArray:
        """Back to rows: (n, k) to (m,)."""
        out: FloatArray = table[self.item, self.place]
        return out
