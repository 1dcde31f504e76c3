"""Metrics of a tagger: whole entities, and the parts of people's tags that short titles keep."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import precision_recall_fscore_support

from reward.text import same_text_key

from .shorten import Limits, ShortTitle
from .spans import Span, Units

ALL = "all"


@dataclass(frozen=True)
class Scores:
    """Precision, recall and F1 of whole entities: right where both ends and the kind are; ``support`` are the true."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Kept:
    """Parts of a title that short titles keep.

    Parameters
    ----------
    titles
        Titles that are too long for the limit.
    shortened
        Share that got a short title.
    keeps_required
        Share of short titles with a true word of the required kind, whole, among the titles of which one fits; None
        where no kind is required.
    precision, recall
        Of the units kept, against the units of true spans.
    mean_chars
        Length of the short titles.
    """

    titles: int
    shortened: float | None
    keeps_required: float | None
    precision: float | None
    recall: float | None
    mean_chars: float | None


def entity_scores(truth: Sequence[Sequence[Span]], found: Sequence[Sequence[Span]]) -> dict[str, Scores]:
    """Kind -> scores of its spans, ``"all"`` is their micro average; spans of one title do not overlap."""
    true, said = (
        {(n, span.start, span.end): span.kind for n, row in enumerate(spans) for span in row}
        for spans in (truth, found)
    )
    places, kinds = sorted(true.keys() | said.keys()), sorted({*true.values(), *said.values()})
    if not kinds:
        return {ALL: Scores(0.0, 0.0, 0.0, 0)}
    labels = [[at.get(place, "") for place in places] for at in (true, said)]
    rows = zip(kinds, *precision_recall_fscore_support(*labels, labels=kinds, zero_division=0), strict=True)
    scores = {kind: Scores(float(p), float(r), float(f1), int(n)) for kind, p, r, f1, n in rows}
    precision, recall, f1, _ = precision_recall_fscore_support(*labels, labels=kinds, average="micro", zero_division=0)
    return scores | {ALL: Scores(float(precision), float(recall), float(f1), len(true))}


def kept_scores(
    titles: Sequence[Units],
    truth: Sequence[Sequence[Span]],
    short: Sequence[ShortTitle],
    limits: Limits,
    required: str | None,
) -> Kept:
    """Scores of the short titles of those titles that are too long for ``limits``."""
    rows = [row for row in zip(titles, truth, short, strict=True) if not limits.hold_text(row[0].text)]
    required_kept = []
    right = kept = wanted = 0
    for title, spans, result in rows:
        words = [title.slice(span.start, span.end) for span in spans if span.kind == required]
        fitting = [same_text_key(word) for word in words if limits.hold_text(word)]
        if fitting:
            required_kept.append(any(word in same_text_key(result.text or "") for word in fitting))
        said = {unit for span in result.kept for unit in range(span.start, span.end)}
        true = {unit for span in spans for unit in range(span.start, span.end)}
        right, kept, wanted = right + len(said & true), kept + len(said), wanted + len(true)
    texts = [result.text for _, _, result in rows if result.text is not None]
    return Kept(
        titles=len(rows),
        shortened=len(texts) / len(rows) if rows else None,
        keeps_required=float(np.mean(required_kept)) if required_kept else None,
        precision=right / kept if kept else None,
        recall=right / wanted if wanted else None,
        mean_chars=float(np.mean([len(text) for text in texts])) if texts else None,
    )
