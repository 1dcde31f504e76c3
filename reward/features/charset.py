"""Character classes and widths as lookup tables, so that counting them over many titles is one NumPy pass."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from ..arrays import IntArray, Uint32Array
from ..text import display_width, is_cjk

CLASSES = (
    "other",
    "space",
    "lower",
    "upper",
    "digit",
    "cjk",
    "comma",
    "stop",
    "exclamation",
    "question",
    "colon",
    "dash",
    "bar",
    "bracket",
    "quote",
    "currency",
    "symbol",
)
_CODE = {name: i for i, name in enumerate(CLASSES)}
_BY_CHARACTER = {
    **dict.fromkeys(",;，；、", "comma"),
    **dict.fromkeys(".。…", "stop"),
    **dict.fromkeys("!！", "exclamation"),
    **dict.fromkeys("?？", "question"),
    **dict.fromkeys(":：", "colon"),
    **dict.fromkeys("|/\\·•｜／", "bar"),
}
_BY_CATEGORY = {"Pd": "dash", "Ps": "bracket", "Pe": "bracket", "Pi": "quote", "Pf": "quote", "Sc": "currency"}
_BMP = 0x10000


def _class_of(character: str) -> str:
    if character in _BY_CHARACTER:
        return _BY_CHARACTER[character]
    if character in "\"'":
        return "quote"
    if is_cjk(character):
        return "cjk"
    category = unicodedata.category(character)
    if category in _BY_CATEGORY:
        return _BY_CATEGORY[category]
    if category in ("Lu", "Lt"):
        return "upper"
    if category[0] == "L" or category[0] == "M":
        return "lower"
    if category == "Nd":
        return "digit"
    if category[0] == "Z":
        return "space"
    return "symbol" if category[0] in "SP" else "other"


def _class_code(character: str) -> int:
    return _CODE[_class_of(character)]


@cache
def _table(function: Callable[[str], int]) -> npt.NDArray[np.uint8]:
    """Value of ``function`` for every character of the basic plane."""
    return np.fromiter((function(chr(c)) for c in range(_BMP)), dtype=np.uint8, count=_BMP)


def _look_up(function: Callable[[str], int], codes: Uint32Array) -> npt.NDArray[np.uint8]:
    """``function`` of each character; the rare ones above the basic plane one by one."""
    out = _table(function)[np.minimum(codes, _BMP - 1)]
    for code in np.unique(codes[codes >= _BMP]).tolist():
        out[codes == code] = function(chr(code))
    return out


@dataclass(frozen=True)
class Characters:
    """The characters of n texts laid end to end, with one blank after each text.

    Parameters
    ----------
    codes
        Unicode code points, shape (n_characters,).
    starts
        Start of each text, shape (n,).
    lengths
        Characters of each text without the closing blank, shape (n,).
    """

    codes: Uint32Array
    starts: IntArray
    lengths: IntArray

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Characters":
        """Characters of ``texts``."""
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        joined = " ".join(texts) + " "
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        starts = np.concatenate([[0], np.cumsum(lengths + 1)[:-1]]).astype(np.int64) if len(texts) else lengths
        return cls(codes, starts, lengths)

    def classes(self) -> npt.NDArray[np.uint8]:
        """Class code (position in ``CLASSES``) of each character."""
        return _look_up(_class_code, self.codes)

    def widths(self) -> npt.NDArray[np.uint8]:
        """Display width of each character in terminal columns."""
        return _look_up(display_width, self.codes)

    def text_index(self) -> IntArray:
        """Text each character belongs to (its closing blank too)."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths + 1)
