"""Differences between two titles, word by word; in Chinese character by character."""

import re
from difflib import SequenceMatcher

from reward.text import HAN

_PIECES = re.compile(rf"[{HAN}]|[^\W{HAN}]+(?:['’.-][^\W{HAN}]+)*|\s+|[^\w\s]")


def diff(old: str, new: str) -> list[tuple[str, str]]:
    """Pieces of both in order, as ("same" | "old" | "new", text); those not "old" add up to ``new``.

    A blank that is all that two changes have between them belongs to both: what is replaced stands in one piece.
    """
    before, after = _PIECES.findall(old), _PIECES.findall(new)
    steps = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    out: list[tuple[str, str]] = []
    gone = come = ""
    for number, (kind, i, j, k, m) in enumerate(steps):
        own, theirs = "".join(before[i:j]), "".join(after[k:m])
        between = kind == "equal" and theirs.isspace() and 0 < number < len(steps) - 1
        if kind != "equal" or between:
            gone, come = gone + own, come + theirs
            continue
        out += _changed(gone, come)
        gone = come = ""
        out.append(("same", theirs))
    return out + _changed(gone, come)


def _changed(gone: str, come: str) -> list[tuple[str, str]]:
    return [(kind, text) for kind, text in (("old", gone), ("new", come)) if text]
