"""Lift by fields of the items, with simultaneous limits; and the split within each segment."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from reward.arrays import FloatArray, IntArray
from reward.items import Item
from rlopt.errors import EvaluationError
from rlopt.ope.abtest import MIN_EVENTS, TestOutcome, interval_of
from rlopt.ope.comparison import Comparison, Counts, compare
from rlopt.ope.rounds import RoundsError
from rlopt.ope.sample_ratio import day_shares, groups_off
from rlopt.ope.segments import Segment, group_items
from rlopt.ope.simultaneous import correlation, max_critical
from rlopt.stages.ab.results import Results


def segments_of(
    results: Results, counts: Counts, whole: Comparison, items: Sequence[Item], fields: Sequence[str], confidence: float
) -> tuple[Segment, ...]:
    """Lifts of the segments by ``fields``, the worst first; those with too few events in an arm are left out.

    All intervals hold simultaneously at one look (largest |t| of correlated comparisons); q-values control false
    discoveries (Benjamini and Hochberg 1995).

    Raises
    ------
    EvaluationError
        No item of the results has such a field.
    """
    kept: list[tuple[str, str, int, Comparison]] = []
    for (column, name), members in _groups(results, items, fields).items():
        inside = np.zeros(len(results.items), dtype=bool)
        inside[members] = True
        part = counts.take(inside[counts.item])
        sides = (part.events[part.treated].sum(), part.events[~part.treated].sum())
        if len(part.item) == 0 or min(sides) < MIN_EVENTS:
            continue
        try:
            kept.append((column, name, len(np.unique(part.item)), compare(part, whole.design)))
        except RoundsError:  # one item, or nothing that varies: it has no interval of its own
            continue
    if not kept:
        return ()
    compared = [comparison for *_, comparison in kept]
    freedom = [max(min(c.effective, c.clusters - 1), 1.0) for c in compared]
    critical = max_critical(correlation(compared), confidence, np.inf)
    value = np.array([c.ratio.value for c in compared])
    error = np.array([c.std_error for c in compared])
    tail = 0.5 + confidence / 2
    few = stats.t.ppf(tail, df=np.array(freedom)) / stats.norm.ppf(tail)
    p_value = 2 * stats.t.sf(np.abs(value) / error, df=np.array(freedom))
    q_value = stats.false_discovery_control(p_value)
    out = [
        Segment(
            column,
            name,
            size,
            float(np.expm1(value[k])),
            *interval_of(float(value[k]), float(critical * few[k] * error[k])),
            float(p_value[k]),
            float(q_value[k]),
        )
        for k, (column, name, size, _) in enumerate(kept)
    ]
    return tuple(sorted(out, key=lambda segment: segment.lift))


def _groups(results: Results, items: Sequence[Item], fields: Sequence[str]) -> Mapping[tuple[str, str], IntArray]:
    known = {item.item_id: item for item in items}
    groups: dict[tuple[str, str], IntArray] = {}
    for column in fields:
        values = [
            None if item not in known else (known[item].fields.get(column) or (None,))[0] for item in results.items
        ]
        if not any(value is not None for value in values):
            names = sorted({name for item in items[:100] for name in item.fields})
            raise EvaluationError(
                f"No item of the results has the field {column!r:.60} (--by). Fields: {', '.join(names)}."
            )
        groups |= group_items(column, values)
    return groups


def segments_off(
    results: Results, counts: Counts, whole: TestOutcome, items: Sequence[Item], fields: Sequence[str]
) -> tuple[str, ...]:
    """Segments in which the split of one variant against the control is not that of the others, the worst first.

    None are looked for where whole items or periods were split, or each item has a split of its own.
    """
    split = whole.split
    if split is None or split.by_item or (counts.visitor is not None and split.changed):
        return ()
    shares = (
        day_shares(counts.treated, counts.item, counts.days, counts.impressions)
        if split.changed
        else np.full(int(counts.days.max()) + 1, _common_share(counts))
    )
    names, sides, expected = [], [], []
    for (column, value), members in _groups(results, items, fields).items():
        inside = np.zeros(len(results.items), dtype=bool)
        inside[members] = True
        part = counts.take(inside[counts.item])
        if len(part.item):
            names.append(f"{column}: {value}")
            sides.append(_units(part, len(shares)))
            expected.append(shares)
    return tuple(names[i] for i in groups_off(sides, expected))


def _common_share(counts: Counts) -> float:
    """The treatment's share over all segments: that of the whole is tested apart."""
    new, shown = _units(counts, int(counts.days.max()) + 1)
    return float(new.sum() / shown.sum())


def _units(counts: Counts, days: int) -> tuple[FloatArray, FloatArray]:
    """Units of the treatment and of both arms by day: impressions, or visitors, which count once."""
    if counts.visitor is None:
        size, rows = counts.impressions, np.arange(len(counts.item))
    else:
        rows = np.unique(counts.visitor, return_index=True)[1]
        size = np.ones(len(counts.item))
    day = counts.days[rows]
    new = np.bincount(day, size[rows] * counts.treated[rows], minlength=days).astype(np.float64)
    return new, np.bincount(day, size[rows], minlength=days).astype(np.float64)
