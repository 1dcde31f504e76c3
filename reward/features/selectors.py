"""Selectors of items: conditions on their fields."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator

from ..items import Item
from ..text import numbers, same_text_key

_COMPARED = re.compile(r"(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?)")
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)\s*\.\.\s*(-?\d+(?:\.\d+)?)")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
ANY = "*"
_YES = frozenset({"yes", "true", "1", "y", "on", "是", "有"})
_NO = frozenset({"no", "false", "0", "n", "off", "否", "无", "無"})


@dataclass(frozen=True)
class Interval:
    """Numbers from ``low`` to ``high``."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def holds(self, value: float) -> bool:
        """True if ``value`` lies in the range."""
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below


Test = Interval | frozenset[str]
"""Condition on a value: a number in an interval, or one of these texts (`ANY`: any value)."""


def parse(value: Any) -> tuple[Test, ...]:
    """Tests of which one must hold, from a text, a number, yes or no, or a list of such.

    Raises
    ------
    ValueError
        For anything else.
    """
    several = value if isinstance(value, (list, tuple)) else [value]
    if not several or any(not isinstance(one, (str, bool, int, float)) for one in several):
        raise ValueError("a condition is a text, a number, yes or no, a comparison such as '>= 35', or a list of such")
    return tuple(_test(one) for one in several)


Condition = Annotated[Any, BeforeValidator(parse)]


def _test(one: str | bool | float) -> Test:
    if isinstance(one, bool):
        return _YES if one else _NO
    if not isinstance(one, str):
        if not math.isfinite(one):
            raise ValueError("a number must be finite")
        return Interval(float(one), float(one))
    text = one.strip()
    if match := _COMPARED.fullmatch(text):
        sign, number = match.group(1), float(match.group(2))
        if sign.startswith(">"):
            return Interval(low=number, low_open=sign == ">")
        return Interval(high=number, high_open=sign == "<")
    if match := _RANGE.fullmatch(text):
        low, high = float(match.group(1)), float(match.group(2))
        if low > high:
            raise ValueError("a range goes from the lower to the higher number")
        return Interval(low, high)
    if not text:
        raise ValueError("a condition is not empty")
    if text[0] in "<>":
        raise ValueError("a comparison is a sign and a number, such as '>= 35'")
    return frozenset({text if text == ANY else same_text_key(text)})


@dataclass(frozen=True)
class Selector:
    """Items whose fields fit: each named field has a value that passes one of its tests.

    Parameters
    ----------
    tests
        Field name, in lower case -> tests.
    """

    tests: Mapping[str, tuple[Test, ...]]

    @classmethod
    def of(cls, where: Mapping[str, tuple[Test, ...]]) -> "Selector":
        """From parsed conditions by field."""
        return cls({same_text_key(name): tests for name, tests in where.items()})

    @property
    def fields(self) -> frozenset[str]:
        """The fields asked for, in lower case."""
        return frozenset(self.tests)

    def holds(self, item: Item) -> bool:
        """True if ``item`` fits; one that lacks a field that is asked for does not."""
        if not self.tests:
            return True
        own: dict[str, list[str]] = {}
        for name, values in item.fields.items():
            own.setdefault(same_text_key(name), []).extend(values)
        return all(any(_passes(v, t) for v in own.get(name, ()) for t in tests) for name, tests in self.tests.items())


def _passes(value: str, test: Test) -> bool:
    if isinstance(test, Interval):
        found = number_of(value)
        return found is not None and test.holds(found)
    return ANY in test or same_text_key(value) in test


def number_of(text: str) -> float | None:
    """The first number of a text such as "$1,299.00", None without any."""
    found = numbers(text)
    if not found:
        return None
    first = found[0].replace(",", "") if _THOUSANDS.fullmatch(found[0]) else found[0].replace(",", ".")
    try:
        return float(first)
    except ValueError:  # a date such as 2024.05.01
        return None
