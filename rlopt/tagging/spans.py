"""A title cut into units that are never broken, and spans of units that bear a name (a product word, a brand).

A unit is a CJK character, a run of letters, a number, or a symbol, each with its combining marks. The same rule
cuts titles here and inside the tiny tagger's tokenizer.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Regex, pre_tokenizers

from reward.arrays import FloatArray
from reward.text import clean

OUTSIDE = "O"
LEAST = 0.01  # chance of a span that is worth a look
_CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3040-\u30ff\uac00-\ud7af"
_UNIT = rf"[{_CJK}]\p{{M}}*|\p{{Nd}}+(?:[.,]\p{{Nd}}+)*\p{{M}}*|(?:(?![{_CJK}])\p{{L}}\p{{M}}*)+|.\p{{M}}*"


def unit_splitter() -> pre_tokenizers.PreTokenizer:
    """The rule that cuts texts into units, as a tokenizer takes it."""
    split = pre_tokenizers.Split(Regex(_UNIT), behavior="isolated")
    return pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), split])


_SPLITTER = unit_splitter()
_INSIDE_WORDS = frozenset("-\u2010\u2011'\u2019&_.")  # symbols with a part of a word on either side
_ENDING_WORDS, _BEGINNING_WORDS = frozenset("+%#°\u2032\u2033"), frozenset("$€£¥￥#@")
_HAS_NO_BLANKS = re.compile(f"[{_CJK}]")


@dataclass(frozen=True)
class Units:
    """A cleaned title and where its units are.

    Parameters
    ----------
    text
        The title without invisible characters, blanks folded.
    places
        (first character, past the last character) of each unit.
    """

    text: str
    places: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, title: str) -> "Units":
        """Cut ``title``."""
        text = clean(title)
        return cls(text, tuple(place for _, place in _SPLITTER.pre_tokenize_str(text)))

    def __len__(self) -> int:
        return len(self.places)

    def words(self) -> list[str]:
        """The units as written."""
        return [self.text[start:end] for start, end in self.places]

    def slice(self, start: int, end: int) -> str:
        """The text of the units ``start`` to ``end`` (exclusive), with the blanks between them."""
        return self.text[self.places[start][0] : self.places[end - 1][1]]

    def whole(self, start: int, end: int) -> tuple[int, int]:
        """The units ``start`` to ``end`` (exclusive) with what else belongs to their words.

        A word is what stands between blanks, commas, slashes, brackets and the like where blanks part words: "USB-C",
        "men's", "13inch", "C++", "$19.99". The units of scripts without blanks stand alone.
        """
        while start > 0 and self._goes_on(start):
            start -= 1
        while end < len(self) and self._goes_on(end):
            end += 1
        return start, end

    def _goes_on(self, unit: int) -> bool:
        """True where ``unit`` continues the word of the unit before."""
        before, here = self._unit(unit - 1), self._unit(unit)
        if not self._touch(unit):
            return False
        if here in _INSIDE_WORDS:
            return self._touch(unit + 1) and _is_part(before) and _is_part(self._unit(unit + 1))
        if before in _INSIDE_WORDS:
            return self._touch(unit - 1) and _is_part(self._unit(unit - 2)) and _is_part(here)
        if before in _BEGINNING_WORDS and _is_part(here):
            return True
        return all(_is_part(one) or one in _ENDING_WORDS for one in (before, here))

    def _touch(self, unit: int) -> bool:
        """True where no blank parts ``unit`` from the one before."""
        return 0 < unit < len(self) and self.places[unit - 1][1] == self.places[unit][0]

    def _unit(self, unit: int) -> str:
        first, past = self.places[unit]
        return self.text[first:past]


def _is_part(unit: str) -> bool:
    """True for letters and digits of scripts that part words by blanks."""
    return unit[0].isalnum() and not _HAS_NO_BLANKS.match(unit)


@dataclass(frozen=True)
class Span:
    """Consecutive units of one kind.

    Parameters
    ----------
    start, end
        First unit and past the last.
    kind
        "HCCX", "brand", "KEEP" ...
    value
        Log-odds against leaving these units out, in nats.
    probability
        Chance that exactly these units are such a span, taking units as independent.
    """

    start: int
    end: int
    kind: str
    value: float = 0.0
    probability: float = 1.0


def label_names(kinds: Sequence[str]) -> list[str]:
    """IOB2 labels of the model, in its order: O, then B- and I- of each kind."""
    return [OUTSIDE, *(f"{place}-{kind}" for kind in kinds for place in "BI")]


def to_labels(spans: Sequence[Span], n: int) -> list[str]:
    """IOB2 label of each of ``n`` units; ``spans`` do not overlap."""
    labels = [OUTSIDE] * n
    for span in spans:
        labels[span.start] = f"B-{span.kind}"
        labels[span.start + 1 : span.end] = [f"I-{span.kind}"] * (span.end - span.start - 1)
    return labels


def decode(log_probs: FloatArray, kinds: Sequence[str]) -> list[Span]:
    """The likeliest spans: Viterbi over sequences in which I-kind follows B-kind or I-kind alone.

    Parameters
    ----------
    log_probs
        Of each unit's label, shape (n, 1 + 2 * len(kinds)), in the order of `label_names`.
    """
    n, n_labels = log_probs.shape
    if n == 0:
        return []
    inside = np.arange(2, n_labels, 2)
    forbidden = np.zeros((n_labels, n_labels))
    forbidden[:, inside] = -np.inf
    forbidden[inside, inside] = forbidden[inside - 1, inside] = 0.0
    best = log_probs[0].copy()
    best[inside] = -np.inf
    back = np.zeros((n, n_labels), dtype=np.int64)
    for t in range(1, n):
        reach = best[:, None] + forbidden
        back[t] = reach.argmax(axis=0)
        best = reach.max(axis=0) + log_probs[t]
    path = [int(best.argmax())]
    for t in range(n - 1, 0, -1):
        path.append(int(back[t, path[-1]]))
    return _spans(path[::-1], log_probs, kinds)


def alternatives(log_probs: FloatArray, kinds: Sequence[str]) -> list[Span]:
    """Every span with a chance of `LEAST` at least, taking units as independent, the likeliest first; they overlap.

    What `decode` leaves out: other boundaries, and what is less likely than not. Parameters as there; values are 0.
    """
    chance, n = np.exp(log_probs), len(log_probs)
    found = []
    for k, kind in enumerate(kinds):
        begins, inside = chance[:, 1 + 2 * k], chance[:, 2 + 2 * k]
        for start in np.flatnonzero(begins >= LEAST).tolist():
            so_far, end = float(begins[start]), start + 1
            while so_far >= LEAST:
                here = so_far * (1.0 - float(inside[end])) if end < n else so_far
                if here >= LEAST:
                    found.append(Span(start, end, kind, 0.0, here))
                if end == n:
                    break
                so_far, end = so_far * float(inside[end]), end + 1
    return sorted(found, key=lambda span: (-span.probability, span.start, span.end))


def _spans(path: Sequence[int], log_probs: FloatArray, kinds: Sequence[str]) -> list[Span]:
    spans = []
    starts = [t for t, label in enumerate(path) if label % 2 == 1]
    for start in starts:
        inside = path[start] + 1
        end = start + 1
        while end < len(path) and path[end] == inside:
            end += 1
        said = log_probs[start, inside - 1] + log_probs[start + 1 : end, inside].sum()
        value = float(said - log_probs[start:end, 0].sum())
        stops = np.log1p(-np.exp(min(log_probs[end, inside], -1e-12))) if end < len(path) else 0.0
        spans.append(Span(start, end, kinds[(inside - 1) // 2], value, float(np.exp(said + stops))))
    return spans
