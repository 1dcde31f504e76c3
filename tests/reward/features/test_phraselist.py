"""Phrase lists of users: hostile text, found as it stands."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward.features.phraselist import PhraseList, PhraseListError


@pytest.mark.parametrize(
    ("phrase", "title", "found"),
    [
        ("best", "The BEST lamp", True),
        ("best", "bestow", False),
        ("no.1", "Our No.1 lamp", True),
        ("100% safe", "１００％　SAFE toy", True),
        ("100%", "100 lamps", False),
        ("top-rated", "Top rated lamp", True),
        ("c++", "learn c++ fast", True),
        ("(.*)+", "aaaaaaaaaaaaaaaaaaaaaaaa!", False),
        ("[sale]", "[SALE] lamp", True),
        ("第一", "全国第一品牌", True),
        ("第一", "全国第 一品牌", True),
        ("best buy", "bestbuy", False),
        ("nike", "正品Nike鞋", True),
        ("", "anything", False),
        ("top rated", "Top\u2010rated lamp", True),
        ("risk-free", "risk\u2011free trial", True),
        ("number one", "our number\u2013one lamp", True),
        ("world's finest", "World\u2019s finest lamp", True),
        ("best", "be\u034fst lamp", True),
        ("最好", "最\ufe0f好的灯", True),
        ("最好", "最·好", True),
        ("最好", "最_好", True),
        ("国家级", "中国国家，级别高", False),
        ("лучший", "наилучший выбор", False),
        ("лучший", "Лучший выбор", True),
        ("ดีที่สุด", "โคมไฟดีที่สุดในโลก", True),
    ],
)
def test_phrases_are_found_as_they_stand(phrase: str, title: str, found: bool) -> None:
    assert PhraseList((phrase,)).found(title) == ([phrase] if found else [])


def test_an_exception_hides_only_what_stands_inside_it() -> None:
    words = PhraseList.of(["第一", "!第一次"])
    assert words.found("宝宝第一次旅行") == []
    assert words.found("第一次买第一品牌") == ["第一"]


def test_the_shipped_superlatives_know_both_languages() -> None:
    law = PhraseList.superlatives()
    assert set(law.found("World's best dress, lowest price")) == {"best", "world's best", "lowest price"}
    assert law.found("The #1 bag") == ["#1"]
    assert law.found("国家级非遗 全网最低价") != []
    assert law.found("红色连衣裙 新款 送礼") == []
    assert law.found("red dress with pockets") == []


def test_a_file_is_read_line_by_line_or_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("# comment\n#\n#1\n cheap \n\n!dirt cheap\n.*\n", encoding="utf-8")
    assert PhraseList.read(path) == PhraseList(("#1", "cheap", ".*"), ("dirt cheap",))
    with pytest.raises(PhraseListError, match=r"Cannot read the word list .*none\.txt"):
        PhraseList.read(tmp_path / "none.txt")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PhraseListError, match="not UTF-8"):
        PhraseList.read(path)
    path.write_text("a" * 100_000, encoding="utf-8")
    with pytest.raises(PhraseListError, match="Line 1 of the word list"):
        PhraseList.read(path)


@given(st.text(min_size=1, max_size=30), st.text(max_size=60))
def test_no_text_breaks_the_search(phrase: str, title: str) -> None:
    assert set(PhraseList((phrase,)).found(title)) <= {phrase}
