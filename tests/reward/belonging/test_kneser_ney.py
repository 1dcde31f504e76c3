"""Language models of titles: the formulas computed by hand, and chances that sum to one."""

from collections import defaultdict

import numpy as np
import pytest

from reward.belonging.joins import Joins
from reward.belonging.kneser_ney import END, START, KneserNey, Sequences

A, B, C, D = 11, 12, 13, 14
TEXTS = [[A, B, C], [A, B, D], [B, C, A, B], [D], [A, B, C], [C, C, C]]
GROUP = np.arange(len(TEXTS))


def by_hand(groups: list[int], order: int, history: list[int], token: int, base: float) -> float:
    """Interpolated Kneser-Ney of `TEXTS` with dictionaries, straight from the formula."""
    start = [int(START)] * (order - 1)
    marked = [([*start, *text, int(END)], group) for text, group in zip(TEXTS, groups, strict=True)]
    chance = base
    for k in range(1, order + 1):
        seen: dict[tuple[int, ...], set[object]] = defaultdict(set)
        for text, group in marked:
            for end in range(order - 1, len(text)):
                gram = tuple(text[end - k + 1 : end + 1])
                seen[gram].add(group if k == order else text[end - k])
        counts = {gram: len(found) for gram, found in seen.items()}
        once, twice = (sum(count == c for count in counts.values()) for c in (1, 2))
        discount = min(max((once + 0.5) / (once + 2 * twice + 1.0), 0.1), 0.95)
        before = tuple([*start, *history][-(k - 1) :]) if k > 1 else ()
        after = {gram: count for gram, count in counts.items() if gram[:-1] == before}
        total = sum(after.values())
        if total:
            chance = (max(after.get((*before, token), 0) - discount, 0) + discount * len(after) * chance) / total
    return chance


@pytest.mark.parametrize("order", [1, 2, 3])
def test_chances_are_those_of_the_formula(order: int) -> None:
    groups = [0, 1, 1, 2, 0, 3]
    model = KneserNey.fit(Sequences.of(TEXTS), np.array(groups), order)
    asked = [[A, B, C, D], [D, D], [], [C, A, B, 99]]
    sequences = Sequences.of(asked)
    base = np.linspace(0.05, 0.2, len(sequences.tokens))
    found = np.exp(model.log_probabilities(sequences, base)[-1])
    flat = [(text[:place], token) for text in asked for place, token in enumerate([*text, int(END)])]
    expected = [by_hand(groups, order, *asked_for, b) for asked_for, b in zip(flat, base, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("history", [[], [A], [A, B], [C, C], [D, A], [99]])
def test_chances_after_any_words_sum_to_one(history: list[int]) -> None:
    vocabulary = [A, B, C, D, 99]
    model = KneserNey.fit(Sequences.of(TEXTS), GROUP, 3)
    sequences = Sequences.of([[*history, token] for token in vocabulary] + [history])
    share = np.full(len(sequences.tokens), 1 / (len(vocabulary) + 1))
    chances = np.exp(model.log_probabilities(sequences, share))
    last = [*(sequences.starts[1:-1] - 2), sequences.starts[-1] - 1]  # each token after the history, and the end
    np.testing.assert_allclose(chances[:, last].sum(axis=1), 1.0, rtol=1e-12)


def test_titles_of_one_item_count_once() -> None:
    several = KneserNey.fit(Sequences.of([[A, B]] * 5 + [[A, C]]), np.array([0, 0, 0, 0, 0, 1]), 2)
    once = KneserNey.fit(Sequences.of([[A, B], [A, C]]), np.array([0, 1]), 2)
    asked = Sequences.of([[A, B], [A, C], [B, A]])
    base = np.full(len(asked.tokens), 0.1)
    np.testing.assert_array_equal(several.log_probabilities(asked, base), once.log_probabilities(asked, base))


def test_a_model_comes_back_from_its_arrays() -> None:
    model = KneserNey.fit(Sequences.of(TEXTS), GROUP, 3)
    asked = Sequences.of([[A, C, B], [D, 99]])
    base = np.full(len(asked.tokens), 0.1)
    again = KneserNey.from_state(model.state())
    np.testing.assert_array_equal(again.log_probabilities(asked, base), model.log_probabilities(asked, base))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("discounts", np.array([0.5, 2.0, 0.5])),
        ("discounts", np.zeros(0)),
        ("grams.0.keys", np.array([3, 2, 1], dtype=np.uint64)),
        ("grams.0.keys", np.array([1.0, 2.0])),
        ("grams.1.counts", np.zeros((3, 2), dtype=np.int32)),
        ("contexts.2.counts", np.full((1, 2), -1, dtype=np.int32)),
    ],
)
def test_arrays_that_are_no_model_are_refused(name: str, value: np.ndarray) -> None:
    state = KneserNey.fit(Sequences.of(TEXTS), GROUP, 3).state() | {name: value}
    with pytest.raises(ValueError):
        KneserNey.from_state(state)


def test_a_join_is_surprising_where_hardly_anything_new_follows_or_stands_before() -> None:
    made, of, by = 21, 22, 23
    stuffs, brands = [31, 32, 33], list(range(41, 61))
    texts = [[made, of, stuff] for stuff in stuffs for _ in range(10)] + [[by, brand] for brand in brands]
    joins = Joins.fit(Sequences.of(texts), np.arange(len(texts)))
    asked = Sequences.of([[made, of, brands[0]], [by, stuffs[0]], [made, of, stuffs[0]], [by, 99]])
    pairs, triples = joins.log_chances(asked)
    ends = asked.starts[1:] - 1
    last = ends - 1
    # After "of" came 3 things 30 times, none of them once; before brand 0 came 1 thing once.
    of_then_new, new_then_brand = np.log(0.5 / 31), np.log(1.5 / 2)
    by_then_new, new_then_stuff = np.log(20.5 / 21), np.log(0.5 / 11)
    expected = [of_then_new + new_then_brand, by_then_new + new_then_stuff, 0.0, by_then_new + np.log(0.5 / 1)]
    np.testing.assert_allclose(pairs[last], expected)
    np.testing.assert_allclose(triples[last[0]], of_then_new + np.log(1.5 / 2))  # "by" before brand 0 and the end
    assert not pairs[asked.starts[:-1]].any()  # no join before the first word
    assert not pairs[ends].any()  # nor at the end


def test_joins_come_back_from_their_arrays() -> None:
    joins = Joins.fit(Sequences.of(TEXTS), GROUP)
    asked = Sequences.of([[A, D, B], [C], []])
    np.testing.assert_array_equal(Joins.from_state(joins.state()).log_chances(asked), joins.log_chances(asked))
