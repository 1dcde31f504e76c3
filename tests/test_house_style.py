"""The house style's list finds its phrases in documents, over line ends, in comments and in texts of code."""

import runpy
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def checker(root: Path) -> dict[str, Any]:
    return runpy.run_path(str(root / ".ci" / "house_style.py"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("It judges\nanew each time.", 1),
        ("x = 1  # it judges\n# anew", 1),
        ('y = (\n    f"it judges "\n    f"anew {y}"\n)', 2),
        ("JUDGES ANEW", 1),
    ],
)
def test_a_phrase_is_found_where_it_begins(checker: dict[str, Any], text: str, line: int) -> None:
    assert list(checker["found"](text, {"judges anew": "re-evaluates"})) == [(line, "judges anew")]


@pytest.mark.parametrize("text", ["renewed judges, anew", "rejudges anew", "judges-anew", "judges: anew"])
def test_other_words_are_left_alone(checker: dict[str, Any], text: str) -> None:
    assert list(checker["found"](text, {"judges anew": "re-evaluates"})) == []


def test_the_place_and_the_better_phrase_are_told(
    checker: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("Fine.\n\nAll none the worse.\n", encoding="utf-8")
    assert checker["main"]([str(page)]) == 1
    assert capsys.readouterr().err == f'{page}:3: "none the worse": write without loss\n'
    page.write_text("Fine.\n", encoding="utf-8")
    assert checker["main"]([str(page)]) == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('def f():\n    """What it does."""', [2]),
        ('"""Whether it holds."""', [1]),
        ('"""Whatever it takes."""', []),
        ('x = "what"  # what it is', []),
        ('"""Rows that match, and what they hold."""', []),
    ],
)
def test_docstrings_begin_with_their_subject(checker: dict[str, Any], text: str, found: list[int]) -> None:
    assert [line for line, _ in checker["found"](text, checker["style"]())] == found
