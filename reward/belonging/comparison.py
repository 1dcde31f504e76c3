"""Titles next to the sources of their items, ready to be measured against any of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ..items import Item
from .grams import halves_matrices
from .shelf import Shelf
from .similarity import Centers, Source, measure
from .views import TITLE, Reader, Texts

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

EVIDENCE = {"titles and fields": (0, 1), "titles": (1,), "fields": (0,)}
"""Evidence that a title can be compared with, best first: positions among the sources that `Shelf.sources` gives."""


@dataclass(frozen=True)
class Comparison:
    """n titles and the texts that each is compared with.

    Parameters
    ----------
    title
        The titles.
    halves
        Word sets of the first and the second half of each.
    sources
        Fields and own titles of the items.
    """

    title: Texts
    halves: tuple[sp.csr_matrix, sp.csr_matrix]
    sources: tuple[Source, Source]

    @classmethod
    def of(
        cls, reader: Reader, shelf: Shelf, items: Sequence[Item], titles: Sequence[str], apart: Sequence[str]
    ) -> "Comparison":
        """Read n titles; ``apart`` are the items' titles that they are not compared with."""
        return cls(reader.read(titles, TITLE), halves_matrices(titles), shelf.sources(items, apart))

    def allows(self, evidence: str) -> BoolArray:
        """Mask of the titles for which all sources of this evidence are known, shape (n,)."""
        known = [self.sources[k].known(len(self.title)) for k in EVIDENCE[evidence]]
        return np.asarray(np.logical_and.reduce(known))

    def measure(self, rows: IntArray, evidence: str, reader: Reader, centers: Centers) -> FloatArray:
        """Measurements of these titles (ascending) by one evidence, which they must allow; shape (len(rows), d)."""
        halves: Sequence[sp.csr_matrix] = self.halves
        sources = [self.sources[k] for k in EVIDENCE[evidence]]
        if len(rows) < len(self.title):
            halves, sources = [half[rows] for half in halves], [source.take(rows) for source in sources]
        return measure(self.title.take(rows), halves, sources, reader, centers)
