"""Short titles by extraction: the spans of highest value that fit, in their order, none of them broken."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reward.text import display_width

from .spans import Span, Units

ALONE = 0.1  # chance of a less likely reading that stands for itself


@dataclass(frozen=True)
class Limits:
    """Limits on the length of a short title; None: any length.

    Parameters
    ----------
    chars
        Characters.
    width
        Display columns (a Chinese character counts two).
    """

    chars: int | None = None
    width: int | None = None

    def hold(self, chars: int, width: int) -> bool:
        """True where a text of these lengths fits."""
        return (self.chars is None or chars <= self.chars) and (self.width is None or width <= self.width)

    def hold_text(self, text: str) -> bool:
        """True where ``text`` fits."""
        return self.hold(len(text), display_width(text))

    def __str__(self) -> str:
        parts = [f"{self.chars} characters"] * (self.chars is not None)
        parts += [f"{self.width} columns"] * (self.width is not None)
        return " and ".join(parts)


@dataclass(frozen=True)
class ShortTitle:
    """Result of shortening a title.

    Parameters
    ----------
    text
        The short title, None where nothing fits.
    kept
        The spans it consists of.
    reason
        Reason why there is none, or why it is an unusual one; None for the usual case.
    """

    text: str | None
    kept: tuple[Span, ...] = ()
    reason: str | None = None

    @property
    def confidence(self) -> float | None:
        """Probability of the least certain span that was kept; None where the title was not cut."""
        return min((span.probability for span in self.kept), default=None)


def shorten(
    title: Units, spans: Sequence[Span], limits: Limits, required: str | None = None, others: Sequence[Span] = ()
) -> ShortTitle:
    """The best short title made of ``spans``; what room they leave goes to ``others``.

    Parameters
    ----------
    title
        The long title.
    spans
        Spans to keep, not overlapping, in the title's order. Each grows to whole words where blanks separate words
        ("C" to "USB-C"); a span whose words a longer one contains appears only once.
    limits
        Of the short title.
    required
        Kind of which at least one span is kept, where there is one.
    others
        Less likely readings (`rlopt.tagging.spans.alternatives`), the likeliest first. A kept span gives way to
        one that holds it, so that a word whose boundary is in doubt is kept whole; others stand beside the kept
        ones where they have a chance of `ALONE` and more than one unit. The likeliest of the required kind is
        kept where ``spans`` has none.
    """
    if not len(title):
        return ShortTitle(None, reason="the title is empty")
    if limits.hold_text(title.text):
        return ShortTitle(title.text, reason="short enough as it is")
    spans = _whole_words(title, spans, required)
    others = [_grown(title, span) for span in others]
    sure = required is None or any(span.kind == required for span in spans)
    guess = [] if sure else [one for one in others if one.kind == required and _fits(title, one, limits)][:1]
    spans = sorted([*(span for span in spans if not any(_meet(span, one) for one in guess)), *guess], key=_place)
    if not spans:
        return ShortTitle(None, reason="nothing worth keeping was found")
    has_required = any(span.kind == required for span in spans)
    kept = best_spans(title, _said_once(title, spans, limits, required), limits, required if has_required else None)
    if not kept:
        what = f"no {required}" if has_required else "nothing worth keeping"
        return ShortTitle(None, reason=f"{what} fits in {limits}")
    kept = _widened(title, kept, others, limits)
    missing = None if sure else f"no {required} was found{' for sure' if guess else ''}"
    return ShortTitle(_joined(title, kept), tuple(kept), missing)


def _whole_words(title: Units, spans: Sequence[Span], required: str | None) -> list[Span]:
    """``spans`` grown to whole words (`Units.whole`); those that share a word become one."""
    out: list[Span] = []
    for span in sorted(spans, key=_place):
        span = _grown(title, span)
        if out and span.start < out[-1].end:
            span = _united(out.pop(), span, required)
        out.append(span)
    return out


def _grown(title: Units, span: Span) -> Span:
    start, end = title.whole(span.start, span.end)
    return replace(span, start=start, end=end)


def _united(one: Span, other: Span, required: str | None) -> Span:
    """One span for two that share a word: of the required kind if either is, else of the more valuable one's."""
    first = max(one, other, key=lambda span: (span.kind == required, span.value))
    return Span(
        min(one.start, other.start),
        max(one.end, other.end),
        first.kind,
        one.value + other.value,
        min(one.probability, other.probability),
    )


def _widened(title: Units, kept: Sequence[Span], others: Sequence[Span], limits: Limits) -> list[Span]:
    """``kept`` with each of ``others`` that fits, in their order; see `shorten`."""
    now = list(kept)
    for other in others:
        inside = [span for span in now if other.start <= span.start and span.end <= other.end]
        rest = [span for span in now if span not in inside]
        alone = other.probability >= ALONE and other.end - other.start > 1
        said = title.slice(other.start, other.end).casefold() in _joined(title, rest).casefold()
        same = any((span.start, span.end) == (other.start, other.end) for span in inside)
        if same or any(_meet(other, span) for span in rest) or not (inside or (alone and not said)):
            continue
        either = other.probability + max((span.probability for span in inside), default=0.0)  # they exclude each other
        wider = sorted([*rest, replace(other, probability=min(1.0, either))], key=_place)
        if limits.hold_text(_joined(title, wider)):
            now = wider
    return now


def _fits(title: Units, span: Span, limits: Limits) -> bool:
    return limits.hold_text(title.slice(span.start, span.end))


def _meet(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def _place(span: Span) -> int:
    return span.start


def best_spans(title: Units, spans: Sequence[Span], limits: Limits, required: str | None) -> list[Span]:
    """The spans of highest total value whose text fits: a knapsack, solved exactly.

    Where two neighbours of the short title would run into one word, the blank between them counts. The dynamic
    programme goes over the spans and keeps the best value for each length, last character and whether the required
    kind is in.

    Returns
    -------
    The spans in their order; empty where none fits with the required kind.
    """
    # (chars, width, the last span ends in a letter that needs a blank, required is in) -> (value, kept)
    states: dict[tuple[int, int, bool, bool], tuple[float, _Chain | None]] = {}
    states[0, 0, False, required is None] = (0.0, None)
    for span in spans:
        text = title.slice(span.start, span.end)
        chars, width = len(text), display_width(text)
        opens, closes = not _is_wide(text[0]), not _is_wide(text[-1])
        for (c, w, open_end, has), (value, chain) in list(states.items()):
            blank = int(open_end and opens)
            key = (c + blank + chars, w + blank + width, closes, has or span.kind == required)
            if limits.hold(*key[:2]) and value + span.value > states.get(key, (float("-inf"), None))[0]:
                states[key] = (value + span.value, _Chain(span, chain))
    found = [(value, chain) for (*_, has), (value, chain) in states.items() if has and chain is not None]
    if not found:
        return []
    chain = max(found, key=lambda pair: pair[0])[1]
    kept = []
    while chain is not None:
        kept.append(chain.span)
        chain = chain.before
    return kept[::-1]


@dataclass(frozen=True)
class _Chain:
    span: Span
    before: "_Chain | None"


def _joined(title: Units, spans: Sequence[Span]) -> str:
    text = ""
    for span in spans:
        piece = title.slice(span.start, span.end)
        text += " " * bool(text and not _is_wide(text[-1]) and not _is_wide(piece[0])) + piece
    return text


def _is_wide(character: str) -> bool:
    """True for characters that need no blank beside them: Chinese, full-width, emoji."""
    return unicodedata.east_asian_width(character) in "WF"


def _said_once(title: Units, spans: Sequence[Span], limits: Limits, required: str | None) -> list[Span]:
    """``spans`` without those whose words are part of another one that fits; of equal ones the most valuable stays."""
    units = [word.casefold() for word in title.words()]
    words = [tuple(units[span.start : span.end]) for span in spans]
    fits = [limits.hold_text(title.slice(span.start, span.end)) for span in spans]
    out = []
    for i, span in enumerate(spans):
        for k, other in enumerate(spans):
            serves = fits[k] and (other.kind == span.kind or span.kind != required)
            longer = len(words[k]) > len(words[i])
            better = words[k] == words[i] and (other.value, -k) > (span.value, -i)
            if k != i and serves and (better or (longer and _holds(words[k], words[i]))):
                break
        else:
            out.append(span)
    return out


def _holds(long: tuple[str, ...], part: tuple[str, ...]) -> bool:
    return any(long[i : i + len(part)] == part for i in range(len(long) - len(part) + 1))
