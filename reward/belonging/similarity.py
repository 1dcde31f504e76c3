"""Similarity of a title to its item's texts, relative to how similar titles are in general.

Every similarity is centred: the inner product of two vectors, each less the average of its kind, so that a title of
words that all titles share is like none. The weaker half of a title counts by itself: there half a title of another
item is found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .grams import of_items
from .views import TITLE, Reader, Texts, rowwise, scaled

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_VIEWS = ("characters", "topics", "sentences")
_RARE_WORDS = 1.5  # power of the idf in the share of words covered: words that most items hold hardly count


@dataclass(frozen=True)
class Source:
    """Texts of one kind that are known of n items.

    Parameters
    ----------
    texts
        m texts.
    owner
        Number of the title that each text belongs to, shape (m,).
    kind
        Of the texts: `views.TITLE` or `views.FIELDS`.
    """

    texts: Texts
    owner: IntArray
    kind: int

    def known(self, n: int) -> npt.NDArray[np.bool_]:
        """Mask of the rows with a text, shape (n,)."""
        return np.bincount(self.owner, minlength=n) > 0

    def best(self, values: FloatArray, n: int) -> FloatArray:
        """The largest of the values (m,) that belong to each title, shape (n,)."""
        out = np.full(n, -np.inf)
        np.maximum.at(out, self.owner, values)
        return out

    def take(self, rows: IntArray) -> "Source":
        """Restrict the source to these titles, in ascending order."""
        place = np.searchsorted(rows, self.owner)
        kept = np.flatnonzero(np.append(rows, -1)[place] == self.owner)
        return Source(self.texts.take(kept), place[kept], self.kind)


@dataclass(frozen=True)
class Centers:
    """Average vectors of train texts: view -> kind -> vector."""

    vectors: Mapping[str, tuple[Float32Array, ...]]

    @classmethod
    def of(cls, texts: Sequence[Texts]) -> "Centers":
        """Averages of the texts of each kind."""
        return cls({view: tuple(_mean(getattr(kind, view)) for kind in texts) for view in _VIEWS})

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays; `from_state` reads them back."""
        return {view: np.stack(vectors) for view, vectors in self.vectors.items()}

    @classmethod
    def from_state(cls, arrays: Mapping[str, npt.NDArray[Any]], reader: Reader) -> "Centers":
        """Centers from what `state` gave.

        Raises
        ------
        ValueError
            If they are not of the reader's vectors.
        """
        centers = cls({view: tuple(arrays[view]) for view in _VIEWS})
        like = reader.read([""], TITLE)
        for view, vectors in centers.vectors.items():
            if len(vectors) != 2 or any(v.shape != (getattr(like, view).shape[1],) for v in vectors):
                raise ValueError(f"the averages of {view} have another width")
        return centers


def measure(
    title: Texts, halves: Sequence[sp.csr_matrix], sources: Sequence[Source], reader: Reader, centers: Centers
) -> FloatArray:
    """Measurements of n titles, shape (n, d): each view by source, words covered, the weaker half's words and topics.

    Parameters
    ----------
    title
        The titles.
    halves
        Word sets of the first and the second half of each.
    sources
        Sources on the items; each holds a text for every title.
    reader, centers
        Vectoriser and averages learned from the train texts.
    """
    n = len(title)
    columns: list[FloatArray] = []
    for view in _VIEWS if title.sentences.shape[1] else _VIEWS[:2]:
        columns += [source.best(_centred(title, source, view, centers), n) for source in sources]
    texts = sp.vstack([source.texts.words for source in sources], format="csr")
    known = of_items(texts, np.concatenate([source.owner for source in sources]), n)
    known.sort_indices()
    weight = np.maximum(reader.word_idf - 1.0, 0.0) ** _RARE_WORDS
    columns.append(_covered(title.words, known, weight))
    columns.append(np.minimum(*(_covered(half, known, weight) for half in halves)))
    places = [reader.topics.transform(half, TITLE) for half in halves]
    near = [[s.best(rowwise(place[s.owner], s.texts.topics), n) for s in sources] for place in places]
    columns.append(np.minimum(*(np.maximum.reduce(half) for half in near)))
    return np.column_stack(columns)


def n_measurements(n_sources: int, with_sentences: bool) -> int:
    """Columns that `measure` gives."""
    return (2 + with_sentences) * n_sources + 3


def _centred(title: Texts, source: Source, view: str, centers: Centers) -> FloatArray:
    """(title - average title) . (text - average of its kind) for each text of the source, shape (m,)."""
    mine, other = centers.vectors[view][TITLE], centers.vectors[view][source.kind]
    asked, texts = getattr(title, view), getattr(source.texts, view)
    common: FloatArray = (asked @ other)[source.owner] + texts @ mine - float(mine @ other)
    return rowwise(asked[source.owner], texts) - common


def _covered(words: sp.csr_matrix, known: sp.csr_matrix, weight: Float32Array) -> FloatArray:
    """Share of the words' weight that stands in the known ones, shape (n,); 0 for no word."""
    weighted = scaled(words, weight)
    total = np.asarray(weighted.sum(axis=1), dtype=np.float64).ravel()
    return rowwise(weighted, known) / np.maximum(total, 1e-9)


def _mean(vectors: Any) -> Float32Array:
    total: Float32Array = np.asarray(vectors.sum(axis=0), dtype=np.float32).ravel()
    return total / np.float32(max(vectors.shape[0], 1))
