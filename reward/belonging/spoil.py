"""Titles made faulty on purpose: what the two scores learn to tell from sound ones."""

from collections.abc import Sequence

import numpy as np

_LEAST_PIECES = 4


def pieces(text: str) -> tuple[list[str], str]:
    """Parts of a title that can change places, and what joins them: words, or characters where it has few blanks."""
    parts = text.split()
    return (parts, " ") if len(parts) >= _LEAST_PIECES else (list(text), "")


def spliced(first: str, second: str, rng: np.random.Generator) -> str:
    """The beginning of one title and the end of another, each cut between 30 and 70% of its length."""
    (left, joint), (right, _) = pieces(first), pieces(second)
    at = rng.uniform(0.3, 0.7)
    begin, end = left[: max(round(at * len(left)), 1)], right[min(round(at * len(right)), len(right) - 1) :]
    parts = (joint.join(begin), (" " if len(second.split()) >= _LEAST_PIECES else "").join(end))
    return (joint or ("" if not second.isascii() else " ")).join(parts)


def shuffled(title: str, rng: np.random.Generator) -> str:
    """The title's words, or characters, or pairs of characters, in random order."""
    parts, joint = pieces(title)
    if not joint and rng.random() < 0.5:
        parts = [title[i : i + 2] for i in range(0, len(title), 2)]
    return joint.join(parts[i] for i in rng.permutation(len(parts)))


def repeated(title: str, rng: np.random.Generator) -> str:
    """A third of the title once more, in place or at its end."""
    parts, joint = pieces(title)
    length = max(len(parts) // 3, 2)
    start = int(rng.integers(max(len(parts) - length, 0) + 1))
    again = parts[start : start + length]
    end = start + length if rng.random() < 0.5 else len(parts)
    return joint.join([*parts[:end], *again, *parts[end:]])


def garbled(title: str, alphabet: Sequence[str], rng: np.random.Generator) -> str:
    """The title with the letters of most words in random order; of a text without blanks, with other characters.

    Parameters
    ----------
    title
        A sound title.
    alphabet
        Characters that take the place of others.
    rng
        Draws.
    """
    parts, joint = pieces(title)
    if joint:
        return joint.join("".join(rng.permutation(list(part))) if rng.random() < 0.6 else part for part in parts)
    return "".join(str(rng.choice(alphabet)) if rng.random() < 0.4 else part for part in parts)
