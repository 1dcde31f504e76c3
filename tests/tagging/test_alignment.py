"""Alignment: the words of a long title that are tagged, and those that its short title keeps."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from rlopt.tagging.alignment import align_entities, align_short, common_subsequence
from rlopt.tagging.spans import Units

WORDS = st.lists(st.sampled_from("abc"), max_size=7)


def runs(places: list[int]) -> int:
    return sum(i == 0 or places[i] != places[i - 1] + 1 for i in range(len(places)))


@settings(deadline=None)
@given(WORDS, WORDS)
def test_the_longest_common_subsequence_in_the_fewest_runs(a: list[str], b: list[str]) -> None:
    def is_subsequence(part: list[str]) -> bool:
        rest = iter(b)
        return all(word in rest for word in part)

    found = common_subsequence(a, b)
    assert is_subsequence([a[i] for i in found])
    assert found == sorted(set(found))
    every = [list(c) for n in range(len(a) + 1) for c in combinations(range(len(a)), n)]
    possible = [places for places in every if is_subsequence([a[i] for i in places])]
    longest = max(map(len, possible))
    assert len(found) == longest
    # neighbours in `a` must be neighbours in `b` to make one run; a run of `found` never counts more than that
    assert runs(found) >= min(runs(places) for places in possible if len(places) == longest)


@given(st.data())
def test_a_short_title_made_of_the_long_ones_words_is_found_whole(data: st.DataObject) -> None:
    words = data.draw(st.lists(st.sampled_from(["红", "鞋", "nike", "42", "air"]), min_size=1, max_size=12))
    kept = sorted(data.draw(st.sets(st.sampled_from(range(len(words))), min_size=1)))
    spans = align_short(Units.of(" ".join(words)), Units.of(" ".join(words[i].upper() for i in kept)))
    assert spans is not None
    assert [words[i] for span in spans for i in range(span.start, span.end)] == [words[i] for i in kept]


def test_neighbours_are_kept_together() -> None:
    spans = align_short(Units.of("背包 双肩背包 女"), Units.of("双肩背包"))
    assert spans is not None
    assert [(span.start, span.end) for span in spans] == [(2, 6)]


def test_pairs_that_do_not_align_are_refused() -> None:
    assert align_short(Units.of("red shoes for men"), Units.of("cheap boots")) is None
    assert align_short(Units.of("red shoes"), Units.of("")) is None
    assert align_short(Units.of(""), Units.of("red")) is None
    assert align_short(Units.of("a " * 2500), Units.of("a")) is None


def test_entities_are_found_in_their_order() -> None:
    title = Units.of("打印照片打印 Nike air max")
    spans = align_entities(title, [("p", "打印"), ("p", "打印"), ("b", "nike"), ("b", "AIR MAX")])
    assert spans is not None
    assert [title.slice(span.start, span.end) for span in spans] == ["打印", "打印", "Nike", "air max"]
    assert align_entities(title, [("b", "air max"), ("p", "照片")]) is not None  # in any order
    assert align_entities(title, []) == []


def test_entities_that_are_not_there_are_refused() -> None:
    title = Units.of("红鞋(a+b)*")
    assert align_entities(title, [("p", "鞋"), ("p", "鞋")]) is None
    assert align_entities(title, [("p", ".*")]) is None
    assert align_entities(title, [("p", " ")]) is None
    found = align_entities(title, [("p", "(a+b)*")])
    assert found is not None
    assert title.slice(found[0].start, found[0].end) == "(a+b)*"
