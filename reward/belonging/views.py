"""Texts as the vectors that are compared: character n-grams, words, topics, and an encoder's sentence vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ..encoders.encoder import Encoder
from .grams import CHARACTER_BUCKETS, WORD_BUCKETS, character_matrix, inverse_frequency, word_matrix
from .topics import Topics

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

TITLE, FIELDS = 0, 1
"""Kinds of texts: a title, and what an item's fields say."""


@dataclass(frozen=True)
class Grams:
    """N-grams of n texts: ones in sparse matrices, one row a text."""

    characters: sp.csr_matrix
    words: sp.csr_matrix

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Grams":
        """Grams of ``texts``."""
        return cls(character_matrix(texts), word_matrix(texts))

    def take(self, rows: IntArray) -> "Grams":
        """Grams of these texts only."""
        return Grams(self.characters[rows], self.words[rows])


@dataclass(frozen=True)
class Texts:
    """n texts, one row each.

    Parameters
    ----------
    characters
        TF-IDF of character n-grams, rows of length one.
    words
        Words of each text, ones.
    topics
        Places among the topics, rows of length one.
    sentences
        An encoder's vectors, rows of length one, shape (n, d); d is 0 without an encoder.
    """

    characters: sp.csr_matrix
    words: sp.csr_matrix
    topics: Float32Array
    sentences: Float32Array

    def __len__(self) -> int:
        return len(self.topics)

    @property
    def says(self) -> npt.NDArray[np.bool_]:
        """True for a text of at least one word, shape (n,)."""
        return np.asarray(np.diff(self.words.indptr) > 0)

    def take(self, rows: IntArray) -> "Texts":
        """These texts only."""
        if len(rows) == len(self) and np.array_equal(rows, np.arange(len(self))):
            return self
        return Texts(self.characters[rows], self.words[rows], self.topics[rows], self.sentences[rows])

    def joined(self, other: "Texts") -> "Texts":
        """These texts and then the others."""
        return Texts(
            sp.vstack([self.characters, other.characters], format="csr"),
            sp.vstack([self.words, other.words], format="csr"),
            np.concatenate([self.topics, other.topics]),
            np.concatenate([self.sentences, other.sentences]),
        )


@dataclass(frozen=True)
class Reader:
    """Turns texts into vectors.

    Parameters
    ----------
    character_idf, word_idf
        Weight of each bucket: the fewer train items hold it, the more it says of one.
    topics
        Directions learned from the train items.
    encoder
        Gives sentence vectors; None: without.
    """

    character_idf: Float32Array
    word_idf: Float32Array
    topics: Topics
    encoder: Encoder | None = None

    @classmethod
    def fit(
        cls, titles: Grams, fields: Grams, item_index: IntArray, encoder: Encoder | None, rng: np.random.Generator
    ) -> "Reader":
        """Learn the weights and the topics.

        Parameters
        ----------
        titles, fields
            Of the logged titles and of the items' fields.
        item_index
            Item of each title.
        encoder
            As above.
        rng
            Of the topics.
        """
        n_items = fields.words.shape[0]
        owner = np.concatenate([item_index, np.arange(n_items)])
        words = sp.vstack([titles.words, fields.words], format="csr")
        characters = sp.vstack([titles.characters, fields.characters], format="csr")
        word_idf = inverse_frequency(words, owner, n_items)
        kind = np.repeat([TITLE, FIELDS], [len(item_index), n_items])
        return cls(
            inverse_frequency(characters, owner, n_items),
            word_idf,
            Topics.fit(words, owner, kind, word_idf, rng),
            encoder,
        )

    def read(self, texts: Sequence[str], kind: int, grams: Grams | None = None) -> Texts:
        """Vectors of ``texts``, which are of one kind; their grams where they are known already."""
        grams = Grams.of(texts) if grams is None else grams
        says = np.diff(grams.words.indptr) > 0
        sentences = np.zeros((len(texts), 0), np.float32)
        if self.encoder is not None:
            sentences = self.encoder.about(texts) * says[:, None].astype(np.float32)
        return Texts(
            _tf_idf(grams.characters, self.character_idf),
            grams.words,
            self.topics.transform(grams.words, kind),
            sentences,
        )

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays; `from_state` reads them back."""
        topics = {f"topics.{name}": value for name, value in self.topics.state().items()}
        return {"character_idf": self.character_idf, "word_idf": self.word_idf, **topics}

    @classmethod
    def from_state(cls, arrays: Mapping[str, npt.NDArray[Any]], encoder: Encoder | None) -> "Reader":
        """Reader from what `state` gave.

        Raises
        ------
        ValueError
            If the arrays do not fit together.
        """
        found = arrays["character_idf"], arrays["word_idf"]
        if [idf.shape for idf in found] != [(CHARACTER_BUCKETS,), (WORD_BUCKETS,)]:
            raise ValueError("the weights have another number of buckets")
        topics = {name.removeprefix("topics."): value for name, value in arrays.items() if name.startswith("topics.")}
        return cls(*found, Topics.from_state(topics, WORD_BUCKETS), encoder)


def rowwise(a: Any, b: Any) -> FloatArray:
    """Inner product of each row of ``a`` with that of ``b``, shape (n,)."""
    if sp.issparse(a):
        return np.asarray(a.multiply(b).sum(axis=1), dtype=np.float64).ravel()
    products: FloatArray = np.einsum("ij,ij->i", a, b, dtype=np.float64)
    return products


def scaled(held: sp.csr_matrix, weight: Float32Array) -> sp.csr_matrix:
    """``held`` with each column times its weight."""
    return sp.csr_matrix((held.data * weight[held.indices], held.indices, held.indptr), shape=held.shape)


def _tf_idf(held: sp.csr_matrix, idf: Float32Array) -> sp.csr_matrix:
    out = scaled(held, idf)
    counts = np.diff(out.indptr)
    row = np.repeat(np.arange(len(counts)), counts)
    length = np.sqrt(np.maximum(np.bincount(row, out.data**2, minlength=len(counts)), 1e-12))
    out.data /= np.repeat(length, counts).astype(np.float32)
    return out
