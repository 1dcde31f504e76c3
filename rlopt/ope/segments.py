"""Lift by segment of the items, with simultaneous intervals and controlled false discoveries."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import stats

from reward.arrays import BoolArray, FloatArray, IntArray
from reward.plain import Plain

from .direct import TitleDraws, item_ratios
from .quantities import numbers_of
from .rounds import RoundsError

MIN_ITEMS = 5  # smaller segments go to the rest: their interval would only widen everybody's
MAX_VALUES = 12
BANDS = 4
REST = "(other)"
MISSING = "(none)"


@dataclass(frozen=True)
class Segment(Plain):
    """Lift over the logged titles on the items of one segment.

    Parameters
    ----------
    column, value
        Its definition: "price", "19.9 – 49"; the value is `REST` for the other values, `MISSING` for items without one.
    n_items
        Items in it.
    lift, low, high
        Posterior median and simultaneous limits over all segments.
    p_value, q_value
        Two-sided, of no lift; q is the false discovery rate at which the segment is reported (Benjamini-Hochberg).
    """

    column: str
    value: str
    n_items: int
    lift: float
    low: float
    high: float
    p_value: float
    q_value: float


def segment_lifts(
    policy: TitleDraws,
    logged: TitleDraws,
    item_rate: FloatArray,
    groups: Mapping[tuple[str, str], IntArray],
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    widening: float = 1.0,
) -> tuple[Segment, ...]:
    """Lifts of all segments from the same draws, the worst first.

    Simultaneous limits by max-t: the quantile, over draws, of the largest standardised deviation among the segments
    replaces the normal quantile, so that dependence between overlapping segments is used and not paid for. Reference:
    Westfall & Young (1993), *Resampling-based multiple testing*; Benjamini & Hochberg (1995).

    Parameters
    ----------
    policy, logged, item_rate, rng, confidence, widening
        As in `rlopt.ope.direct.estimate_lift`.
    groups
        (column, value) -> positions of its items; at least two in each.
    """
    if not groups:
        return ()
    n_draws, n_items = item_rate.shape
    new = item_rate * item_ratios(policy, logged, n_items, widening)
    dirichlet = rng.standard_exponential((n_draws, n_items))
    new, base = dirichlet * new, dirichlet * item_rate
    log_ratio = np.stack([np.log(new[:, i].sum(axis=1) / base[:, i].sum(axis=1)) for i in groups.values()], axis=1)
    size = np.array([len(i) for i in groups.values()])
    if size.min() < 2:
        raise RoundsError("A segment needs at least two items. Leave smaller ones out.")
    middle, spread = np.median(log_ratio, axis=0), np.maximum(log_ratio.std(axis=0, ddof=1), 1e-12)
    largest = np.abs((log_ratio - middle) / spread).max(axis=1)
    tail = 0.5 + confidence / 2
    few = stats.t.ppf(tail, df=size - 1) / stats.norm.ppf(tail)
    reach = np.quantile(largest, confidence) * few * spread
    p_value = 2 * stats.t.sf(np.abs(middle) / spread, df=size - 1)
    q_value = stats.false_discovery_control(p_value)  # Benjamini & Hochberg (1995)
    out = [
        Segment(
            column,
            value,
            int(size[k]),
            float(np.expm1(middle[k])),
            float(np.expm1(middle[k] - reach[k])),
            float(np.expm1(middle[k] + reach[k])),
            float(p_value[k]),
            float(q_value[k]),
        )
        for k, (column, value) in enumerate(groups)
    ]
    return tuple(sorted(out, key=lambda segment: segment.lift))


def group_items(column: str, values: Sequence[str | None]) -> dict[tuple[str, str], IntArray]:
    """Items by the values of one column: quantile bands where it is numeric, else its most frequent values.

    Parameters
    ----------
    column
        Name, for the keys.
    values
        Value of each item, None where it has none.

    Returns
    -------
    dict
        (column, value) -> item positions; segments below `MIN_ITEMS` are joined as `REST`, or left out if that stays
        too small.
    """
    labels = _bands(values) or [MISSING if value is None else value for value in values]
    positions: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        positions.setdefault(label, []).append(i)
    ranked = sorted(positions.keys() - {REST}, key=lambda label: (-len(positions[label]), label))
    kept = [label for label in ranked[:MAX_VALUES] if len(positions[label]) >= MIN_ITEMS]
    rest = [i for label in positions if label not in kept for i in positions[label]]
    groups = {(column, label): np.array(positions[label], dtype=np.int64) for label in kept}
    if len(rest) >= MIN_ITEMS:
        groups[column, REST] = np.array(sorted(rest), dtype=np.int64)
    return groups


def _bands(values: Sequence[str | None]) -> list[str] | None:
    """Quantile bands of a column whose values are mostly numbers, many or rare ones; None for any other.

    Values that are no number, or one of another unit, stay where `MIN_ITEMS` items have them; `REST` stands for others.
    """
    numbers, unit = numbers_of(values)
    known: BoolArray = np.isfinite(numbers)
    given = sum(value is not None for value in values)
    distinct, counts = np.unique(numbers[known], return_counts=True)
    if known.sum() < max(given / 2, 2 * MIN_ITEMS):
        return None
    if len(distinct) <= MAX_VALUES and counts[counts >= MIN_ITEMS].sum() >= given / 2:
        return None
    bands = min(BANDS, int(known.sum()) // (MIN_ITEMS + 1))
    edges = np.unique(np.quantile(numbers[known], np.linspace(0, 1, bands + 1)))
    band = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    names = [f"{low:,.6g} – {high:,.6g} {unit}".rstrip() for low, high in pairwise(edges)]
    often = {value for value, n in Counter(values).items() if value is not None and n >= MIN_ITEMS}
    others = [MISSING if value is None else value if value in often else REST for value in values]
    return [names[band[i]] if known[i] else other for i, other in enumerate(others)]
