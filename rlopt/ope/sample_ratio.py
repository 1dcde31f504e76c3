"""Sample-ratio checks of an A/B test: is the split of traffic the intended one, everywhere it should be.

A split that changes from day to day, or that was set item by item, is no fault: results are compared within days and
items. A split that is off in the whole, or in some items among many that keep to it, is: rows are missing in one arm,
or bots sit in it (Fabijan et al. 2019, diagnosing sample ratio mismatch in online controlled experiments).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reward.arrays import BoolArray, FloatArray, IntArray
from reward.plain import Plain

ALARM = 1e-3
"""The usual threshold: a split off by chance alone rings once in a thousand tests."""
_BY_DESIGN = 0.5  # share of items off the common split from which it was set item by item


@dataclass(frozen=True)
class SplitCheck(Plain):
    """Results of the split checks.

    Parameters
    ----------
    p_value
        Of the whole split against the intended one; None where the split changed in time or was set item by item, and
        the whole says nothing.
    first_share, last_share
        Share of the treatment on the first and on the last day that have impressions.
    changed
        True if it changed from day to day.
    by_item
        True if most items have splits of their own.
    mismatched
        Items whose split is not the others', worst first; empty where items have splits of their own.
    """

    p_value: float | None
    first_share: float
    last_share: float
    changed: bool
    by_item: bool
    mismatched: tuple[int, ...]

    @property
    def alarm(self) -> bool:
        """True if no comparison holds before this is explained."""
        return self.rings(ALARM)

    def rings(self, threshold: float) -> bool:
        """The same with another threshold for the whole, as several variants at once share one."""
        return bool(self.mismatched) or (self.p_value is not None and self.p_value < threshold)


def check_split(
    treated: BoolArray, item: IntArray, day: IntArray, impressions: FloatArray, treated_share: float
) -> SplitCheck:
    """Check the split of impressions over the whole, by day and by item.

    Impressions are taken as independent; where visitors are randomised, give counts of visitors.

    Parameters
    ----------
    treated, item, day, impressions
        Rows, shape (n,); item and day are integers from 0.
    treated_share
        Intended share of the treatment.
    """
    cells = _Cells.of(treated, item, day, impressions)
    share = _shares_by_day(cells.new, cells.shown, cells.day)
    changed = _changed(cells.new, cells.shown, cells.day)
    off, by_item = _items_off(cells, share[cells.day] if changed else None, treated_share)
    whole = stats.binomtest(round(float(cells.new.sum())), round(float(cells.shown.sum())), treated_share).pvalue
    return SplitCheck(
        p_value=None if changed or by_item else float(whole),
        first_share=float(share[0]),
        last_share=float(share[-1]),
        changed=changed,
        by_item=by_item,
        mismatched=() if by_item else off,
    )


def check_units(unit: IntArray, item: IntArray, treated: BoolArray, day: IntArray, treated_share: float) -> SplitCheck:
    """Check the split of randomised units (visitors) over the whole and by item.

    A unit counts once, on its first day, and once for each item that it has seen.

    Parameters
    ----------
    unit, item, treated, day
        Of each row, shape (n,); a unit has one arm.
    treated_share
        Intended share of the treatment.
    """
    order = np.lexsort((day, unit))
    first = order[np.unique(unit[order], return_index=True)[1]]
    new = np.bincount(day[first], treated[first]).astype(np.float64)
    total = np.bincount(day[first]).astype(np.float64)
    seen = np.flatnonzero(total)
    new, total = new[seen], total[seen]
    changed = _changed(new, total, np.arange(len(seen)))
    whole = stats.binomtest(round(float(new.sum())), round(float(total.sum())), treated_share).pvalue
    shares = new / total
    began = np.zeros(int(unit.max()) + 1, dtype=np.int64)
    began[unit[first]] = day[first]
    pairs = np.unique(unit * (int(item.max()) + 1) + item, return_index=True)[1]
    cells = _Cells.of(treated[pairs], item[pairs], began[unit[pairs]], np.ones(len(pairs)))
    expected = _shares_by_day(cells.new, cells.shown, cells.day)[cells.day] if changed else None
    off, by_item = _items_off(cells, expected, treated_share)
    return SplitCheck(
        p_value=None if changed else float(whole),
        first_share=float(shares[0]),
        last_share=float(shares[-1]),
        changed=changed,
        by_item=by_item,
        mismatched=() if by_item else off,
    )


def groups_off(
    counts: Sequence[tuple[FloatArray, FloatArray]], expected: Sequence[float | FloatArray]
) -> tuple[int, ...]:
    """Groups (segments) whose split is not the expected one, the worst first.

    Parameters
    ----------
    counts
        Units of the treatment and of both arms of each group, by day.
    expected
        Share of the treatment that each group should have, by day.
    """
    if not counts:
        return ()
    z, size = [], []
    for (new, shown), share in zip(counts, expected, strict=True):
        variance = float(np.sum(share * (1 - np.asarray(share)) * shown))
        z.append(float(np.sum(new - share * shown)) / np.sqrt(max(variance, 1e-300)))
        size.append(float(np.sum(shown)))
    scores = np.array(z)
    off = np.flatnonzero(_rejected(scores, np.array(size)))
    return tuple(int(i) for i in off[np.argsort(-np.abs(scores[off]), kind="stable")])


def day_shares(treated: BoolArray, item: IntArray, day: IntArray, impressions: FloatArray) -> FloatArray:
    """The treatment's share on each day, shape (n_days,), which a few broken items do not move."""
    cells = _Cells.of(treated, item, day, impressions)
    return _shares_by_day(cells.new, cells.shown, cells.day)


@dataclass(frozen=True)
class _Cells:
    """Units of the treatment and of both arms by item and day, shape (n_cells,) each."""

    item: IntArray
    day: IntArray
    new: FloatArray
    shown: FloatArray

    @classmethod
    def of(cls, treated: BoolArray, item: IntArray, day: IntArray, size: FloatArray) -> "_Cells":
        items = int(item.max()) + 1
        cells, where = np.unique(day * items + item, return_inverse=True)
        new, shown = (np.bincount(where, values).astype(np.float64) for values in (size * treated, size))
        return cls(cells % items, cells // items, new, shown)


def _items_off(cells: _Cells, expected: FloatArray | None, treated_share: float) -> tuple[tuple[int, ...], bool]:
    """Items whose split is not the others', worst first, and whether that is most of them.

    ``expected`` is the share of each cell where it changed from day to day; else the intended one is, or where most
    items differ from that, what they have in common.
    """
    items, share = len(np.unique(cells.item)), np.full(len(cells.item), treated_share) if expected is None else expected
    off = _off(cells, share)
    if expected is None and len(off) > _BY_DESIGN * items:
        share = np.full(len(cells.item), float(np.median(cells.new / np.maximum(cells.shown, 1e-300))))
        off = _off(cells, share)
    return off, len(off) > _BY_DESIGN * items


def _off(cells: _Cells, share: FloatArray) -> tuple[int, ...]:
    variance = np.bincount(cells.item, np.maximum(share * (1 - share), 1e-9) * cells.shown)
    surplus = np.bincount(cells.item, cells.new - share * cells.shown)
    z = surplus / np.sqrt(np.maximum(variance, 1e-300))
    size = np.bincount(cells.item, cells.shown).astype(np.float64)
    off = np.flatnonzero(_rejected(z, size))
    return tuple(int(i) for i in off[np.argsort(-np.abs(z[off]), kind="stable")])


def _shares_by_day(new: FloatArray, shown: FloatArray, day: IntArray) -> FloatArray:
    """The treatment's share on each day: the median of the items', which a few broken ones do not move."""
    out = np.zeros(int(day.max()) + 1)
    for number in range(len(out)):
        own = day == number
        weight = shown[own]
        order = np.argsort(new[own] / np.maximum(weight, 1e-300), kind="stable")
        middle = np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)
        out[number] = (new[own] / np.maximum(weight, 1e-300))[order][min(middle, len(order) - 1)]
        if len(order) < 20:  # too few to have a broken minority
            out[number] = new[own].sum() / max(weight.sum(), 1e-300)
    return out


def _changed(new: FloatArray, shown: FloatArray, day: IntArray) -> bool:
    """True if the days' splits differ by more than chance and by more than a point."""
    treated, total = np.bincount(day, new), np.bincount(day, shown)
    share = treated / np.maximum(total, 1e-300)
    common = float(new.sum() / shown.sum())
    statistic = float(np.sum((treated - common * total) ** 2 / np.maximum(common * (1 - common) * total, 1e-300)))
    return bool(len(share) > 1 and np.ptp(share) > 0.01 and stats.chi2.sf(statistic, len(share) - 1) < ALARM)


def _rejected(z: FloatArray, size: FloatArray) -> BoolArray:
    """False-discovery control in which large groups weigh more: half of alpha is shared alike, half by size.

    Weights with a mean of 1 keep it valid: Genovese, Roeder and Wasserman (2006), false discovery control with p-value
    weighting.
    """
    seen = size > 0
    weight = 0.5 + 0.5 * size / size[seen].mean()
    p_value = np.minimum(2 * stats.norm.sf(np.abs(z)) / weight, 1.0)
    out = np.zeros(len(z), dtype=bool)
    out[seen] = stats.false_discovery_control(p_value[seen]) < ALARM
    return out
