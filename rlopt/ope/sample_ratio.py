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
_BY_DESIGN = 0.5  # where more items than this differ from the common split, it was set item by item


@dataclass(frozen=True)
class SplitCheck(Plain):
    """What the checks found.

    Parameters
    ----------
    p_value
        Of the whole split against the intended one; None where the split changed in time or was set item by item, and
        the whole says nothing.
    first_share, last_share
        Share of the treatment on the first and on the last day that have impressions.
    changed
        Whether it changed from day to day.
    by_item
        Whether most items have splits of their own.
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
        """Whether no comparison holds before this is explained."""
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
    cell = day * (int(item.max()) + 1) + item
    cells, where = np.unique(cell, return_inverse=True)
    new = np.bincount(where, impressions * treated).astype(np.float64)
    shown = np.bincount(where, impressions).astype(np.float64)
    cell_day, cell_item = cells // (int(item.max()) + 1), cells % (int(item.max()) + 1)
    share = _shares_by_day(new, shown, cell_day)
    changed = _changed(new, shown, cell_day)
    expected = share[cell_day] if changed else np.full(len(cells), treated_share)
    z = _by_item(new - expected * shown, expected * (1 - expected) * shown, cell_item)
    off = np.flatnonzero(_rejected(z))
    by_item = len(off) > _BY_DESIGN * len(np.unique(cell_item))
    if by_item and not changed:  # perhaps the whole split is another one, the same for all items
        common = float(np.median(new / np.maximum(shown, 1e-300)))
        variance = float(max(common * (1 - common), 1e-9)) * shown
        z = _by_item(new - common * shown, variance, cell_item)
        off = np.flatnonzero(_rejected(z))
        by_item = len(off) > _BY_DESIGN * len(np.unique(cell_item))
    whole = stats.binomtest(round(float(new.sum())), round(float(shown.sum())), treated_share).pvalue
    worst = off[np.argsort(-np.abs(z[off]), kind="stable")]
    return SplitCheck(
        p_value=None if changed or by_item else float(whole),
        first_share=float(share[0]),
        last_share=float(share[-1]),
        changed=changed,
        by_item=by_item,
        mismatched=() if by_item else tuple(int(i) for i in worst),
    )


def check_units(unit: IntArray, treated: BoolArray, day: IntArray, treated_share: float) -> SplitCheck:
    """Check the split of randomised units (visitors), each of which counts once, on its first day.

    Parameters
    ----------
    unit, treated, day
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
    return SplitCheck(None if changed else float(whole), float(shares[0]), float(shares[-1]), changed, False, ())


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
    z = []
    for (new, shown), share in zip(counts, expected, strict=True):
        variance = float(np.sum(share * (1 - np.asarray(share)) * shown))
        z.append(float(np.sum(new - share * shown)) / np.sqrt(max(variance, 1e-300)))
    scores = np.array(z)
    off = np.flatnonzero(_rejected(scores))
    return tuple(int(i) for i in off[np.argsort(-np.abs(scores[off]), kind="stable")])


def day_shares(treated: BoolArray, item: IntArray, day: IntArray, impressions: FloatArray) -> FloatArray:
    """The treatment's share on each day, shape (n_days,), which a few broken items do not move."""
    cell = day * (int(item.max()) + 1) + item
    cells, where = np.unique(cell, return_inverse=True)
    new = np.bincount(where, impressions * treated).astype(np.float64)
    shown = np.bincount(where, impressions).astype(np.float64)
    return _shares_by_day(new, shown, cells // (int(item.max()) + 1))


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
    """Whether the days' splits differ by more than chance and by more than a point."""
    treated, total = np.bincount(day, new), np.bincount(day, shown)
    share = treated / np.maximum(total, 1e-300)
    common = float(new.sum() / shown.sum())
    statistic = float(np.sum((treated - common * total) ** 2 / np.maximum(common * (1 - common) * total, 1e-300)))
    return bool(len(share) > 1 and np.ptp(share) > 0.01 and stats.chi2.sf(statistic, len(share) - 1) < ALARM)


def _by_item(surplus: FloatArray, variance: FloatArray, item: IntArray) -> FloatArray:
    """Standardised surplus of each item, shape (n_items,)."""
    total = np.bincount(item, variance)
    return np.asarray(np.bincount(item, surplus) / np.sqrt(np.maximum(total, 1e-300)))


def _rejected(z: FloatArray) -> BoolArray:
    return np.asarray(stats.false_discovery_control(2 * stats.norm.sf(np.abs(z))) < ALARM)
