"""Wording of titles: how likely each word is after those before it, and how well the halves go together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ..features.ngrams import word_hash
from ..features.phrases import repeated, stems
from ..text import words
from .grams import WORD_BUCKETS, halves_matrices, inverse_frequency
from .joins import Joins
from .kneser_ney import KneserNey, Sequences
from .topics import Topics
from .views import rowwise

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

WORD_ORDER, CHARACTER_ORDER = 3, 4
_MAX_CHARACTERS = 2_000  # of one title that are read
N_MEASUREMENTS = 14
_UNSEEN_CHARACTERS = 100  # number of possible new ones, which share the probability of an unseen one
_LEAST_LOG = -60.0  # of a word's spelling
_END = 0.1  # base probability that a title ends
_MOST_GAIN = 3.0  # nats above which a word in its place is simply right
_CUTS = (1 / 3, 1 / 2, 2 / 3)
_TOKEN = 7  # keeps the hashes of words away from the marks


@dataclass(frozen=True)
class Wording:
    """Models of logged titles.

    Parameters
    ----------
    language
        Of words.
    spelling
        Of the characters of words: what a word that was never logged is judged by.
    n_characters
        Different characters that were logged.
    joins
        Words side by side.
    topics
        Of halves of titles: which words stand in one title.
    """

    language: KneserNey
    spelling: KneserNey
    n_characters: int
    joins: Joins
    topics: Topics

    @classmethod
    def fit(cls, titles: Sequence[str], item_index: IntArray, rng: np.random.Generator) -> "Wording":
        """From logged titles and the item (n,) that each belongs to, which counts once."""
        index = np.unique(item_index, return_inverse=True)[1]
        tokens = [tokens_of(title) for title in titles]
        vocabulary = sorted({word for own in tokens for word in own})
        sequences = _hashed(tokens)
        language = KneserNey.fit(sequences, index, WORD_ORDER)
        spelling = KneserNey.fit(_spelt(vocabulary), np.arange(len(vocabulary)), CHARACTER_ORDER)
        halves = sp.vstack(halves_matrices(titles), format="csr")
        owner = np.concatenate([index, index])
        idf = inverse_frequency(halves, owner, int(index.max()) + 1)
        topics = Topics.fit(halves, owner, np.zeros(len(owner), dtype=np.int64), idf, rng)
        return cls(language, spelling, len(set("".join(vocabulary))), Joins.fit(sequences, index), topics)

    def measure(self, titles: Sequence[str]) -> FloatArray:
        """Measurements of titles of at least one word, shape (n, `N_MEASUREMENTS`); each is higher for sound titles."""
        tokens = [tokens_of(title) for title in titles]
        sequences = _hashed(tokens)
        first, last, length = sequences.starts[:-1], sequences.starts[1:] - 1, np.diff(sequences.starts)
        log = self.language.log_probabilities(sequences, self._base(tokens))
        gain = log[-1] - log[0]  # evidence of the words before for this one
        known = self.language.grams[1].get(sequences.grams(2))[:, 0] > 0
        lowest = _lowest(gain, sequences)
        below = np.minimum(gain, 0.0) * _inner(sequences)
        again = [repeated(stems(title, _MAX_CHARACTERS)) / len(own) for title, own in zip(titles, tokens, strict=True)]
        pairs, triples = self.joins.log_chances(sequences)
        columns = {
            "log-probability of a word": np.add.reduceat(log[-1], first) / length,
            "gain by the words before": np.add.reduceat(gain, first) / length,
            "loss where they speak against it": np.add.reduceat(below, first) / np.maximum(length - 2, 1),
            "lowest gain": lowest[:, 0],
            "two lowest gains": lowest.mean(axis=1),
            "pairs of words that were logged": np.add.reduceat(known.astype(np.float64), first) / length,
            "least likely join": np.minimum.reduceat(pairs, first),
            "joins": np.add.reduceat(pairs, first) / length,
            "least likely join of three": np.minimum.reduceat(triples, first),
            "joins of three": np.add.reduceat(triples, first) / length,
            "gain of the first word": gain[first],
            "gain of the end": gain[last],
            "parts of one topic": self._together(titles),
            "words that are new": -np.array(again),
        }
        return np.column_stack(list(columns.values()))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays; `from_state` reads them back."""
        parts = {name: getattr(self, name).state() for name in ("language", "spelling", "joins", "topics")}
        arrays = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()}
        return {**arrays, "n_characters": np.array(self.n_characters)}

    @classmethod
    def from_state(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "Wording":
        """Wording from what `state` gave.

        Raises
        ------
        ValueError
            If the arrays do not fit together.
        """

        def part(name: str) -> dict[str, npt.NDArray[Any]]:
            prefix = f"{name}."
            return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}

        language, spelling = (KneserNey.from_state(part(name)) for name in ("language", "spelling"))
        if len(language.grams) != WORD_ORDER or len(spelling.grams) != CHARACTER_ORDER:
            raise ValueError("a language model is of another order")
        n_characters = int(arrays["n_characters"])
        if n_characters < 0:
            raise ValueError("the number of characters is negative")
        joins, topics = Joins.from_state(part("joins")), Topics.from_state(part("topics"), WORD_BUCKETS)
        return cls(language, spelling, n_characters, joins, topics)

    def _together(self, titles: Sequence[str]) -> FloatArray:
        """Similarity of the topics before and after a cut, at the worst of the cuts, shape (n,)."""
        parts = [[self.topics.transform(part, 0) for part in halves_matrices(titles, at)] for at in _CUTS]
        nearness: FloatArray = np.minimum.reduce([rowwise(before, after) for before, after in parts])
        return nearness

    def _base(self, tokens: Sequence[Sequence[str]]) -> FloatArray:
        """Chance of each word by its spelling, and of each title's end, when the words before are not looked at."""
        vocabulary = sorted({word for own in tokens for word in own})
        spelt = _spelt(vocabulary)
        one = np.full(len(spelt.tokens), 1.0 / (self.n_characters + _UNSEEN_CHARACTERS))
        log = self.spelling.log_probabilities(spelt, one)[-1]
        chance = np.exp(np.maximum(np.add.reduceat(log, spelt.starts[:-1]), _LEAST_LOG))
        of_word = dict(zip(vocabulary, chance, strict=True))
        return np.array([p for own in tokens for p in (*(of_word[word] for word in own), _END)], dtype=np.float64)


def _lowest(gain: FloatArray, sequences: Sequences) -> FloatArray:
    """The two lowest gains of each title's words after its first, ascending, at most `_MOST_GAIN`: shape (n, 2)."""
    place, length = sequences.place(), np.diff(sequences.starts)
    out = np.full((len(length), max(int(length.max(initial=0)), 2)), _MOST_GAIN)
    inner = _inner(sequences)
    out[sequences.owner()[inner], place[inner]] = np.minimum(gain[inner], _MOST_GAIN)
    return np.sort(out, axis=1)[:, :2]


def _inner(sequences: Sequences) -> npt.NDArray[np.bool_]:
    """True for words that have one before them in their title, shape (m,)."""
    inner = np.ones(len(sequences.tokens), dtype=bool)
    inner[sequences.starts[:-1]] = inner[sequences.starts[1:] - 1] = False
    return inner


def tokens_of(title: str) -> list[str]:
    """Words of a title that its wording is judged by."""
    return words(title[:_MAX_CHARACTERS])


def _hashed(tokens: Sequence[Sequence[str]]) -> Sequences:
    return Sequences.of([[word_hash(word) << 8 | _TOKEN for word in own] for own in tokens])


def _spelt(vocabulary: Sequence[str]) -> Sequences:
    return Sequences.of([[ord(character) << 8 | _TOKEN for character in word] for word in vocabulary])
