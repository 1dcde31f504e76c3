"""Surface features of a title whatever the item is: lengths, digits, capitals, punctuation. All titles in one pass."""

from collections.abc import Sequence

import numpy as np

from ..arrays import BoolArray, Float32Array
from .charset import CLASSES, Characters

_COUNTED = CLASSES[CLASSES.index("comma") :]
NAMES = (
    "length: characters",
    "length: display width",
    "share of digits",
    "share of capitals",
    "share of CJK characters",
    *(f"count: {name}" for name in _COUNTED),
    "count: numbers",
    "count: words in capitals",
    "share of capitalised words",
    "mean length of a Latin word",
    "starts with a number",
    "ends with punctuation",
)


def lexical_features(titles: Sequence[str]) -> Float32Array:
    """Numbers of each title's look, shape (n, len(NAMES)), finite for every text (the empty one too)."""
    n = len(titles)
    if n == 0:
        return np.zeros((0, len(NAMES)), dtype=np.float32)
    characters = Characters.of(titles)
    classes, index = characters.classes(), characters.text_index()
    counts = np.bincount(index * len(CLASSES) + classes, minlength=n * len(CLASSES)).reshape(n, -1).astype(np.float32)
    counts[:, CLASSES.index("space")] -= 1.0  # the closing blank
    count = {name: counts[:, i] for i, name in enumerate(CLASSES)}
    length = characters.lengths.astype(np.float32)
    width = np.bincount(index, weights=characters.widths(), minlength=n) - 1.0

    upper = classes == CLASSES.index("upper")
    letter = upper | (classes == CLASSES.index("lower"))
    digit = classes == CLASSES.index("digit")

    def total(mask: BoolArray) -> Float32Array:
        return np.bincount(index[mask], minlength=n).astype(np.float32)

    # A title ends in a blank, so neighbours never reach over the border between two titles.
    before = np.concatenate([[False], letter[:-1]])
    after_upper = np.concatenate([upper[1:], [False]])
    before_upper = np.concatenate([[False], upper[:-1]])
    word_starts = total(letter & ~before)
    numbers = total(digit & ~np.concatenate([[False], digit[:-1]]))
    last = classes[characters.starts + np.maximum(characters.lengths - 1, 0)]
    some = np.maximum(length, 1.0)
    columns = [
        length,
        width,
        count["digit"] / some,
        count["upper"] / np.maximum(count["upper"] + count["lower"], 1.0),
        count["cjk"] / some,
        *(count[name] for name in _COUNTED),
        numbers,
        total(upper & after_upper & ~before_upper & ~before),
        total(upper & ~before) / np.maximum(word_starts, 1.0),
        (count["upper"] + count["lower"]) / np.maximum(word_starts, 1.0),
        digit[characters.starts],
        (last >= CLASSES.index("comma")) & (characters.lengths > 0),
    ]
    return np.column_stack([np.asarray(column, dtype=np.float32) for column in columns])
