"""Dataclasses go to JSON and come back as themselves; what is damaged is told with file, key and value."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from reward.plain import Plain, plain, to_json
from reward.saved import SavedError


@dataclass(frozen=True)
class Part:
    size: float
    error: float | None


@dataclass(frozen=True)
class Whole(Plain):
    count: int
    parts: tuple[Part, ...]
    by_position: dict[int, float]
    side: Literal["train", "test"]
    best: Part | None = None

    @property
    def empty(self) -> bool:
        return not self.parts


WHOLE = Whole(3, (Part(1.5, None), Part(2.0, 0.25)), {1: 1.0, 12: 0.5}, "train")
GOOD = to_json(WHOLE)


def test_what_was_written_is_read_back() -> None:
    assert json.loads(GOOD) == {
        "count": 3,
        "parts": [{"size": 1.5, "error": None}, {"size": 2.0, "error": 0.25}],
        "by_position": {"1": 1.0, "12": 0.5},
        "side": "train",
        "best": None,
    }
    assert Whole.from_json(GOOD, "whole.json") == WHOLE
    newer = json.dumps({**json.loads(GOOD), "of_a_later_version": 1})
    assert Whole.from_json(newer, "whole.json") == WHOLE
    assert Whole.from_json(GOOD.replace("1.5", "2"), "whole.json").parts[0] == Part(2.0, None)


def test_numpy_paths_and_numbers_that_are_not_finite_become_json() -> None:
    found = plain({1: np.float32(0.5), "a": np.arange(3), "b": (float("nan"), Path("x") / "y", np.bool_(True))})
    assert found == {"1": 0.5, "a": [0, 1, 2], "b": [None, "x/y", True]}
    assert plain(Part(float("inf"), None)) == {"size": None, "error": None}
    assert plain([Part, 1])[1] == 1  # a class is no value


def test_a_layout_of_its_own_holds_wherever_the_class_stands() -> None:
    @dataclass(frozen=True)
    class Told(Whole):
        def to_dict(self) -> dict[str, object]:
            return {"count": self.count, "empty": self.empty}

    told = Told(0, (), {}, "test")
    assert plain({"all": [told]}) == {"all": [{"count": 0, "empty": True}]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": "3"}, r"count: Input should be a valid integer"),
        ({"count": 3.5}, r"count: Input should be a valid integer"),
        ({"count": True}, r"count: Input should be a valid integer"),
        (
            {"parts": [{"size": 1.0, "error": None}, {"size": None, "error": None}]},
            r"parts\.1\.size: Input should be a valid number",
        ),
        ({"parts": {}}, r"parts: Input should be a valid"),
        ({"parts": [{"error": None}]}, r"parts\.0\.size: Field required"),
        ({"by_position": {"first": 1.0}}, r"by_position\.first\.\[key\]: Input should be a valid integer"),
        ({"side": "judge"}, r"side: Input should be 'train' or 'test'"),
        ({"best": "\x1b[2J" + "x" * 500}, r"best: Input should be"),
    ],
)
def test_a_damaged_value_is_told_with_file_and_key(change: dict[str, object], said: str) -> None:
    text = json.dumps({**json.loads(GOOD), **change})
    with pytest.raises(SavedError, match=rf"^runs/a/whole\.json is damaged \({said}") as caught:
        Whole.from_json(text, Path("runs/a/whole.json"))
    assert len(str(caught.value)) < 250
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '"text"', "[" * 100_000, GOOD[:-5], GOOD.replace("1.5", "NaN"), GOOD + "x"]
)
def test_a_text_that_is_no_such_object_is_one_line(text: str) -> None:
    with pytest.raises(SavedError, match=r"^whole\.json is damaged \([^\n]+\)\. Run it again\.$"):
        Whole.from_json(text, "whole.json", "Run it again.")


def test_a_file_is_read_or_said_to_be_missing_or_no_text(tmp_path: Path) -> None:
    file = tmp_path / "whole.json"
    with pytest.raises(SavedError, match=r"whole\.json is missing\. Run rlopt fit-reward again"):
        Whole.read(file)
    file.write_bytes(b"\xff\xfe{}")
    with pytest.raises(
        SavedError, match=r"whole\.json is damaged \(it is not UTF-8 text\)\. Run rlopt fit-reward again"
    ):
        Whole.read(file)
    file.write_text(GOOD, encoding="utf-8")
    assert Whole.read(file) == WHOLE


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(number: str) -> None:
    with pytest.raises(SavedError, match=r"parts\.0\.size: Input should be a finite number"):
        Whole.from_json(GOOD.replace("1.5", number), "whole.json")


def test_a_notebook_shows_values_and_no_markup_of_theirs() -> None:
    @dataclass(frozen=True)
    class Found(Plain):
        file: str
        titles: int

    assert Found("<b>&", 3)._repr_html_() == (
        "<table><tr><th>file</th><td>&lt;b&gt;&amp;</td></tr><tr><th>titles</th><td>3</td></tr></table>"
    )
