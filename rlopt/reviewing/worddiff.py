"""What changed between two titles, word by word; in Chinese character by character."""

import re
from difflib import SequenceMatcher

from reward.text import HAN

_PIECES = re.compile(rf"[{HAN}]|[^\W{HAN}]+(?:['’.-][^\W{HAN}]+)*|\s+|[^\w\s]", re.UNICODE)


def diff(old: str, new: str) -> list[tuple[str, str]]:
    """Pieces of both in order, as ("same" | "old" | "new", text); those not "old" add up to ``new``."""
    before, after = _PIECES.findall(old), _PIECES.findall(new)
    out: list[tuple[str, str]] = []
    for kind, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            out.append(("same", "".join(after[k:m])))
            continue
        if i < j:
            out.append(("old", "".join(before[i:j])))
        if k < m:
            out.append(("new", "".join(after[k:m])))
    return out
