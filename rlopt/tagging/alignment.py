"""Labels for the tagger: where tagged entities are in a title, and which units of a long title its short one keeps."""

import re
from collections.abc import Sequence
from itertools import pairwise

from reward.text import clean, same_text_key

from .spans import Span, Units

KEEP = "KEEP"
MAX_UNITS = 512  # of a title in a pair; alignment takes time in the product of both lengths
MIN_ALIGNED = 0.8  # share of a short title's units that must be in the long one, in their order
_MATCH = 1 << 20  # outweighs all breaks


def align_entities(title: Units, entities: Sequence[tuple[str, str]]) -> list[Span] | None:
    """Spans of tagged entities; None where one of them is not in the title, or only where another one is.

    An entity that ends within a unit takes the whole unit.

    Parameters
    ----------
    entities
        (kind, text). Of equal texts the first mention is taken that comes after the entity before.
    """
    spans: list[Span] = []
    place = 0
    for kind, text in entities:
        wanted = clean(text)
        if not wanted:
            return None
        found = [match.start() for match in re.finditer(re.escape(wanted), title.text, re.IGNORECASE)]
        for start in [at for at in found if at >= place] + [at for at in found if at < place]:
            span = _covering(title, start, start + len(wanted), kind)
            if all(span.end <= other.start or other.end <= span.start for other in spans):
                break
        else:
            return None
        spans.append(span)
        place = start + len(wanted)
    return sorted(spans, key=lambda span: span.start)


def _covering(title: Units, start: int, end: int, kind: str) -> Span:
    covered = [i for i, (first, past) in enumerate(title.places) if first < end and past > start]
    return Span(covered[0], covered[-1] + 1, kind)


def align_short(title: Units, short: Units) -> list[Span] | None:
    """Spans of ``title`` that ``short`` keeps, of kind `KEEP`: a longest common subsequence of units.

    Of all longest ones the alignment in the fewest runs is taken. None where less than `MIN_ALIGNED` of the short
    title's units are found, or a title has more than `MAX_UNITS`.
    """
    if not len(short) or max(len(title), len(short)) > MAX_UNITS:
        return None
    kept = common_subsequence([same_text_key(w) for w in title.words()], [same_text_key(w) for w in short.words()])
    if len(kept) < MIN_ALIGNED * len(short):
        return None
    breaks = [0, *(i for i in range(1, len(kept)) if kept[i] != kept[i - 1] + 1), len(kept)]
    return [Span(kept[first], kept[past - 1] + 1, KEEP) for first, past in pairwise(breaks)]


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> list[int]:
    """Places in ``a`` of a longest common subsequence with ``b``, of these one in the fewest runs of neighbours."""
    n, m = len(a), len(b)
    # best[i][j]: matches of a[:i] and b[:j], less their runs; ending[i][j]: the same where a[i-1] and b[j-1] match
    best = [[0] * (m + 1) for _ in range(n + 1)]
    ending = [[-_MATCH] * (m + 1) for _ in range(n + 1)]
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            if a[i - 1] == b[j - 1]:
                ending[i][j] = _MATCH + max(ending[i - 1][j - 1], best[i - 1][j - 1] - 1)
            best[i][j] = max(best[i - 1][j], best[i][j - 1], ending[i][j])
    kept = []
    i, j = n, m
    within = False  # the pair before belongs to the run that is being followed
    while i and j:
        if within or best[i][j] == ending[i][j]:
            kept.append(i - 1)
            within = ending[i][j] == _MATCH + ending[i - 1][j - 1]
            i, j = i - 1, j - 1
        elif best[i][j] == best[i - 1][j]:
            i -= 1
        else:
            j -= 1
    return kept[::-1]
