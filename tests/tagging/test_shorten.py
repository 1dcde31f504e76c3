"""Short titles: the best spans that fit, found exactly."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward.text import display_width
from rlopt.tagging.shorten import Limits, best_spans, shorten
from rlopt.tagging.spans import Span, Units

TITLE = Units.of("nike耐克air max跑步鞋白色 2024新款shoes")


def spans_of(title: Units, *texts: str, kinds: str = "", values: tuple[float, ...] = ()) -> list[Span]:
    out = []
    for n, text in enumerate(texts):
        place = title.text.index(text)
        units = [i for i, (start, _) in enumerate(title.places) if place <= start < place + len(text)]
        kind = kinds[n] if kinds else "x"
        out.append(Span(units[0], units[-1] + 1, kind, values[n] if values else 1.0, 0.9))
    return out


def joined(title: Units, spans: list[Span]) -> str:
    """The rule of blanks, said anew: between two characters neither of which is wide."""
    text = ""
    for span in spans:
        piece = title.slice(span.start, span.end)
        narrow = bool(text) and display_width(text[-1]) < 2 and display_width(piece[0]) < 2
        text += (" " if narrow else "") + piece
    return text


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_choice_of_spans_that_fits_is_worth_more(data: st.DataObject) -> None:
    words = data.draw(st.lists(st.sampled_from(["红", "跑步鞋", "nike", "air max", "42", "x"]), min_size=1, max_size=7))
    title = Units.of(" ".join(words))
    spans, place = [], 0
    for word in words:
        n = len(Units.of(word))
        kind, value = data.draw(st.sampled_from("pb")), data.draw(st.floats(-2, 5, width=16))
        spans.append(Span(place, place + n, kind, value))
        place += n
    limits = Limits(data.draw(st.none() | st.integers(1, 15)), data.draw(st.none() | st.integers(1, 20)))
    required = data.draw(st.sampled_from([None, "p"]))
    choices = [list(c) for n in range(1, len(spans) + 1) for c in combinations(spans, n)]
    fitting = [
        c
        for c in choices
        if limits.hold_text(joined(title, c)) and (required is None or any(s.kind == required for s in c))
    ]
    found = best_spans(title, spans, limits, required)
    if not fitting:
        assert found == []
        return
    assert found in fitting
    assert sum(s.value for s in found) == pytest.approx(max(sum(s.value for s in c) for c in fitting))


def test_a_knapsack_whose_best_is_not_the_greedy_one() -> None:
    spans = spans_of(TITLE, "air max", "跑步鞋", "白色", values=(6.0, 4.0, 3.0))
    kept = best_spans(TITLE, spans, Limits(chars=7), None)
    assert [TITLE.slice(s.start, s.end) for s in kept] == ["跑步鞋", "白色"]  # 7 in 5 characters, against 6 in 7


def test_the_required_kind_is_in_whatever_it_is_worth() -> None:
    spans = spans_of(TITLE, "耐克", "air max", "鞋", kinds="bbp", values=(5.0, 5.0, -3.0))
    result = shorten(TITLE, spans, Limits(chars=3), "p")
    assert result.text == "耐克鞋"
    assert result.reason is None
    assert result.confidence == 0.9
    assert shorten(TITLE, spans[:2], Limits(chars=9), "p").text == "耐克air max"
    assert shorten(TITLE, spans[:2], Limits(chars=9), "p").reason == "no p was found"


def test_blanks_keep_words_apart_and_count() -> None:
    spans = spans_of(TITLE, "nike", "2024", "shoes", "耐克")
    spans.sort(key=lambda span: span.start)
    assert shorten(TITLE, spans, Limits(chars=17)).text == "nike耐克2024 shoes"
    assert shorten(TITLE, [spans[0], spans[2]], Limits(chars=9)).text == "nike 2024"
    assert len(shorten(TITLE, [spans[0], spans[2]], Limits(chars=8)).text or "") == 4


def test_width_counts_columns() -> None:
    spans = spans_of(TITLE, "跑步鞋", "白色", values=(2.0, 3.0))
    assert shorten(TITLE, spans, Limits(width=5)).text == "白色"
    assert shorten(TITLE, spans, Limits(chars=5, width=10)).text == "跑步鞋白色"
    assert str(Limits(5, 10)) == "5 characters and 10 columns"


def test_nothing_is_said_twice() -> None:
    title = Units.of("婴儿手推车 推车 手推车 轻便折叠推车")
    spans = [Span(2, 5, "p", 2.0), Span(5, 7, "p", 9.0), Span(7, 10, "p", 3.0), Span(10, 14, "a", 1.0)]
    assert shorten(title, spans, Limits(chars=15)).text == "手推车轻便折叠"
    assert shorten(title, spans, Limits(chars=2), "p").text == "推车"  # where the longer word does not fit


@pytest.mark.parametrize(
    ("title", "spans", "limit", "text", "reason"),
    [
        ("", [], 15, None, "the title is empty"),
        (" \u200b ", [], 15, None, "the title is empty"),
        ("短 title", [], 15, "短 title", "short enough as it is"),
        ("a long title without words", [], 15, None, "nothing worth keeping was found"),
        ("a long title without words", [Span(3, 4, "p", 1.0)], 5, None, "no p fits in 5 characters"),
    ],
)
def test_reasons(title: str, spans: list[Span], limit: int, text: str | None, reason: str) -> None:
    result = shorten(Units.of(title), spans, Limits(chars=limit), "p")
    assert (result.text, result.reason) == (text, reason)
    assert result.confidence is None


def test_thousands_of_spans_are_no_trouble() -> None:
    title = Units.of(" ".join(f"w{chr(97 + i % 26)}{'abcdefghij'[i % 10]}" for i in range(1200))[:5000])
    spans = [Span(i, i + 1, "x", 1.0 + i % 7) for i in range(len(title))]
    result = shorten(title, spans, Limits(chars=15, width=30))
    assert result.text is not None
    assert len(result.text) <= 15


def test_a_word_whose_boundary_is_in_doubt_is_kept_whole_where_it_fits() -> None:
    title = Units.of("儿童游泳池新款浴盆")
    pool, basin = Span(2, 4, "p", 3.0, 0.5), Span(7, 9, "p", 2.0, 0.9)  # 游泳, 浴盆
    longer = Span(2, 5, "p", 0.0, 0.3)  # 游泳池
    assert shorten(title, [pool, basin], Limits(chars=6), "p", [longer]).text == "游泳池浴盆"
    assert shorten(title, [pool, basin], Limits(chars=4), "p", [longer]).text == "游泳浴盆"
    kept = shorten(title, [pool, basin], Limits(chars=6), "p", [longer]).kept
    assert [span.probability for span in kept] == [0.8, 0.9]  # one of two readings that exclude each other


def test_room_goes_to_less_likely_words_that_stand_for_themselves() -> None:
    title = Units.of("儿童游泳池新款浴盆")
    basin = Span(7, 9, "p", 2.0, 0.9)
    others = [Span(2, 5, "p", 0.0, 0.2), Span(5, 7, "p", 0.0, 0.05), Span(6, 8, "p", 0.0, 0.05)]
    assert shorten(title, [basin], Limits(chars=8), "p", others).text == "游泳池浴盆"  # 新款 is too unlikely
    assert shorten(title, [basin], Limits(chars=4), "p", others).text == "浴盆"


def test_the_likeliest_product_is_kept_where_none_is_sure() -> None:
    title = Units.of("羚跑 新款 游泳池 包邮")
    brand, likely = Span(0, 2, "b", 3.0, 0.9), Span(4, 7, "p", 0.0, 0.3)
    result = shorten(title, [brand], Limits(chars=5), "p", [likely])
    assert (result.text, result.reason) == ("羚跑游泳池", "no p was found for sure")
    assert shorten(title, [brand], Limits(chars=5), "p").reason == "no p was found"


@given(st.data())
def test_what_is_kept_stays_in_and_the_limit_holds(data: st.DataObject) -> None:
    n = len(TITLE)
    cut = sorted(data.draw(st.sets(st.integers(0, n), min_size=2, max_size=6)))
    spans = [Span(a, b, "x", data.draw(st.floats(0.1, 3)), 0.6) for a, b in pairwise(cut)][::2]
    ends = st.tuples(st.integers(0, n - 1), st.integers(1, 6))
    others = [Span(a, min(a + w, n), "x", 0.0, 0.3) for a, w in data.draw(st.lists(ends, max_size=8))]
    limits = Limits(chars=data.draw(st.integers(1, 20)))
    plain, wide = shorten(TITLE, spans, limits, "x"), shorten(TITLE, spans, limits, "x", others)
    assert wide.text is None or limits.hold_text(wide.text)
    inside = all(any(w.start <= k.start and k.end <= w.end for w in wide.kept) for k in plain.kept)
    assert inside
    assert all(a.end <= b.start for a, b in pairwise(wide.kept))


def test_words_between_blanks_are_not_cut() -> None:
    title = Units.of("Anker USB-C cable 13inch men's A/B 快充Type-C数据线 -20")
    whole = {"USB": "USB-C", "-": "USB-C", "13": "13inch", "'s": "men's", "A/": "A", "B ": "B", "Type": "Type-C"}
    for part, word in {**whole, "数": "数", "20": "20"}.items():
        unit = [start for start, _ in title.places].index(title.text.index(part))
        assert title.slice(*title.whole(unit, unit + 1)) == word, part
    title = Units.of("Learn C++ and C# with node.js, 50% off $19.99 at 50°C +")
    words = {"node": "node.js", "js": "node.js", "50": "50%", "19": "$19.99", "C#": "C#", "C+": "C++", "Learn": "Learn"}
    for part, word in words.items():
        unit = [start for start, _ in title.places].index(title.text.index(part))
        assert title.slice(*title.whole(unit, unit + 1)) == word, part
    assert title.slice(*title.whole(len(title) - 1, len(title))) == "+"
    assert title.slice(*title.whole(len(title) - 2, len(title) - 1)) == "50°C"
    title = Units.of("Anker USB-C cable 13inch men's A/B 快充Type-C数据线 -20")
    place = title.words().index("USB")
    usb, c = Span(place, place + 1, "k", 3.0, 0.9), Span(place + 2, place + 3, "p", 1.0, 0.9)
    for limit, text in ((20, "USB-C"), (4, None)):
        result = shorten(title, [usb, c], Limits(chars=limit), "p")
        assert result.text == text
    kept = shorten(title, [usb, c], Limits(chars=20), "p").kept
    assert [(title.slice(s.start, s.end), s.kind, s.value) for s in kept] == [("USB-C", "p", 4.0)]


@given(st.data())
def test_every_word_of_a_short_title_is_one_of_the_long_title(data: st.DataObject) -> None:
    words = data.draw(
        st.lists(st.sampled_from(["USB-C", "men's", "x", "3-in-1", "H&M", "50ml", "C++", "$9"]), min_size=2)
    )
    title = Units.of(" ".join(words))
    cut = sorted(data.draw(st.sets(st.integers(0, len(title)), min_size=2, max_size=8)))
    spans = [Span(a, b, "x", data.draw(st.floats(0.1, 3)), 0.6) for a, b in pairwise(cut)][::2]
    ends = st.tuples(st.integers(0, len(title) - 1), st.integers(1, 3))
    others = [Span(a, min(a + w, len(title)), "x", 0.0, 0.3) for a, w in data.draw(st.lists(ends, max_size=4))]
    short = shorten(title, spans, Limits(chars=data.draw(st.integers(1, 30))), "x", others).text
    assert set((short or "").split()) <= set(words)
