"""Units hold every character once and are never broken; decoding is the exact maximum."""

import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rlopt.tagging.spans import LEAST, Span, Units, alternatives, decode, label_names, to_labels

KINDS = ("brand", "word")
TEXT = st.text(alphabet=st.sampled_from("红鞋 abZ12.,-é\u0301\u200d😀👩🏽م َहिन्दी\n\t<b>&"), max_size=40)


@given(TEXT)
def test_units_hold_every_character_but_blanks_once(text: str) -> None:
    title = Units.of(text)
    assert "".join(title.words()) == title.text.replace(" ", "")
    assert all(a < b for a, b in title.places)
    assert all(before[1] <= after[0] for before, after in zip(title.places, title.places[1:], strict=False))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nike耐克air max2", ["nike", "耐", "克", "air", "max", "2"]),
        ("15.6寸<b>", ["15.6", "寸", "<", "b", ">"]),
        ("हिन्दी مَرْحَبًا", ["हिन्दी", "مَرْحَبًا"]),
        ("cafe\u0301 ☕\ufe0f", ["cafe\u0301", "☕\ufe0f"]),
    ],
)
def test_words_and_marks_stay_together(text: str, words: list[str]) -> None:
    assert Units.of(text).words() == words


def sequences(n: int) -> list[tuple[int, ...]]:
    """All label sequences that IOB2 allows."""
    names = label_names(KINDS)
    allowed = []
    for path in product(range(len(names)), repeat=n):
        before = ["O", *(names[i] for i in path)]
        if all(b[0] != "I" or a in (f"B-{b[2:]}", b) for a, b in pairwise(before)):
            allowed.append(path)
    return allowed


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, (4, 5), elements=st.floats(-3, 3, width=32)))
def test_decoding_finds_the_likeliest_sequence(scores: np.ndarray) -> None:
    log_probs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    found = to_labels(decode(log_probs, KINDS), 4)
    names = label_names(KINDS)
    total = {path: sum(log_probs[t, label] for t, label in enumerate(path)) for path in sequences(4)}
    assert total[tuple(names.index(label) for label in found)] == pytest.approx(max(total.values()))


def test_value_and_probability_in_closed_form() -> None:
    p = np.array([[0.1, 0.2, 0.1, 0.5, 0.1], [0.2, 0.1, 0.1, 0.1, 0.5], [0.6, 0.1, 0.1, 0.1, 0.1]])
    (span,) = decode(np.log(p), KINDS)
    assert (span.start, span.end, span.kind) == (0, 2, "word")
    assert span.value == pytest.approx(math.log(0.5 * 0.5 / (0.1 * 0.2)))
    assert span.probability == pytest.approx(0.5 * 0.5 * (1 - 0.1))


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2), st.sampled_from(KINDS)), max_size=5))
def test_labels_say_the_spans_and_nothing_else(parts: list[tuple[int, int, str]]) -> None:
    spans, place = [], 0
    for length, gap, kind in parts:
        spans.append(Span(place + gap, place + gap + length, kind))
        place += gap + length
    names = label_names(KINDS)
    labels = to_labels(spans, place + 1)
    certain = np.log(np.array([[0.999 if name == label else 0.00025 for name in names] for label in labels]))
    assert [(s.start, s.end, s.kind) for s in decode(certain, KINDS)] == [(s.start, s.end, s.kind) for s in spans]
    assert decode(np.zeros((0, 5)), KINDS) == []


def test_alternatives_are_all_spans_with_their_chances() -> None:
    rng = np.random.default_rng(0)
    chances = rng.dirichlet([1.0] * 5, size=4)
    found = {(s.start, s.end, s.kind): s.probability for s in alternatives(np.log(chances), ("a", "b"))}
    for k, kind in enumerate("ab"):
        for start in range(4):
            for end in range(start + 1, 5):
                chance = chances[start, 1 + 2 * k] * np.prod(chances[start + 1 : end, 2 + 2 * k])
                chance *= 1 - chances[end, 2 + 2 * k] if end < 4 else 1
                assert found.get((start, end, kind), 0.0) == pytest.approx(chance if chance >= LEAST else 0.0)
    assert list(found.values()) == sorted(found.values(), reverse=True)
