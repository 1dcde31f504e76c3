"""The times within a log: titles that replaced one another, and how much all titles were clicked in each time."""

from dataclasses import dataclass

import numpy as np

from ..arms import Arms
from ..arrays import FloatArray, IntArray
from .aggregate import Columns, day_totals, level_exposure, period_cells
from .impression_columns import Days
from .log_levels import Cells, levels
from .standardised import strata_of
from .typed_rows import TypedRows
from .weighting import LevelEffect, Weighting

OFTEN_ALONE = 0.2
"""Share of impressions without another title of the item beside them from which titles count as replaced."""
SAME_TIME = 43_200.0
"""Seconds by which the mean times of an item's titles may differ for its log to need no levels."""
_MIN_TIMED = 10  # impressions from which the first and the last tell when a title was shown
_LEAST_CLICKS = 200.0
_MOST_PERIODS = 200
_MOST_CELLS = 5_000_000  # in memory; of more the items are a sample
_MOST_TIMED = 100_000_000  # arms by period, on disk


@dataclass(frozen=True)
class Periods:
    """Levels of the times within a log.

    Parameters
    ----------
    day, period
        Days since 1970 that have impressions, and the period of each, shape (n_days,).
    level
        Click level of each period over all titles, the exposure-weighted mean 1; shape (n_periods,).
    tied_share
        Share of the clicks in the largest group of periods that titles in common tie together.
    stratum
        Stratum of each period, shape (n_periods,): see `reward.logs.standardised`.
    """

    day: IntArray
    period: IntArray
    level: FloatArray
    tied_share: float
    stratum: IntArray

    @property
    def level_of_day(self) -> dict[int, float]:
        """Level of each day that has impressions."""
        return dict(zip(self.day.tolist(), self.level[self.period].tolist(), strict=True))

    def effect(self, time: str) -> LevelEffect:
        """Effect of the periods on rows whose ``time`` in seconds is this SQL."""
        days = np.arange(self.day[0], self.day[-1] + 1)
        period = self.period[np.searchsorted(self.day, days, side="right") - 1]
        return LevelEffect(Days(time, int(days[0]), tuple(period.tolist())), self.level, self.stratum)


def alone_share(arms: Arms) -> float | None:
    """Share of the impressions that fell in times when no other title of the item was shown.

    Of titles seen for more than a moment and often enough to say from when to when, where the item has two of them;
    between those times a title's impressions are taken as even. What else changed when one title replaced another
    (season, price, place) cannot be told from the title.

    Returns
    -------
    float or None
        None where times are not logged, or no item has two such titles.
    """
    if arms.first_seen is None or arms.last_seen is None:
        return None
    span = arms.last_seen - arms.first_seen
    used = (span > 0) & (arms.impressions >= _MIN_TIMED)
    used &= np.bincount(arms.item_index[used], minlength=len(arms.items))[arms.item_index] >= 2
    if not used.any():
        return None
    arm = np.flatnonzero(used)
    arm, step = np.concatenate([arm, arm]), np.repeat([1, -1], len(arm))
    when = np.where(step > 0, arms.first_seen[arm], arms.last_seen[arm])
    order = np.lexsort((when, arms.item_index[arm]))
    arm, step, when = arm[order], step[order], when[order]
    lasting = np.diff(when)
    # An item's steps add up to none, so the sums restart with each item; where one arm is seen, they name it.
    single = np.cumsum(step)[:-1] == 1
    alone = np.bincount(np.cumsum(step * arm)[:-1][single], lasting[single], minlength=len(arms))
    weight = arms.impressions[used]
    return float(np.average(np.minimum(alone[used] / span[used], 1.0), weights=weight))


def apart(sums: Columns) -> float:
    """Root mean square, over impressions, of the arms' mean times less their item's; in seconds.

    ``sums`` are the columns of `reward.logs.aggregate.aggregate`, of logs whose rows all have times.
    """
    shown, item = sums["impressions"].astype(np.float64), sums["item"].astype(np.int64)
    by_item = np.bincount(item, sums["seconds"]) / np.bincount(item, shown)
    return float(np.sqrt(np.average((sums["seconds"] / shown - by_item[item]) ** 2, weights=shown)))


def by_period(rows: TypedRows, item: IntArray, weighting: Weighting) -> tuple[Periods, FloatArray] | None:
    """Levels of the periods of a log whose rows all have times, and the arms' exposure with them in it, (n_arms,).

    The levels are those of `reward.logs.log_levels`, periods in the place of logs.

    Parameters
    ----------
    item
        Item of each arm, shape (n_arms,).
    weighting
        Weights of impressions by position and by the other columns that describe them.

    Returns
    -------
    None where the log is one period.
    """
    totals = day_totals(rows)
    day, clicks = totals["day"].astype(np.int64), totals["clicks"].astype(np.float64)
    period = periods_of(day, clicks, least_days=-(-len(item) * len(day) // _MOST_TIMED))
    n_periods = int(period[-1]) + 1
    if n_periods == 1:
        return None
    cells = period_cells(rows, weighting, dict(zip(day.tolist(), period.tolist(), strict=True)), _MOST_CELLS)
    log = cells["period"].astype(np.int64)
    counts = Cells(cells["arm"].astype(np.int64), log, cells["clicks"].astype(np.float64), cells["exposure"])
    found = levels(counts, item, int(item.max()) + 1, n_periods)
    tied = float(np.bincount(found.group[period], clicks).max() / max(float(clicks.sum()), 1e-300))
    stratum = strata_of(item[counts.arm], counts.arm, log, counts.exposure, n_periods)
    return Periods(day, period, found.level, tied, stratum), level_exposure(rows, found.level)


def periods_of(day: IntArray, clicks: FloatArray, least_days: int = 1) -> IntArray:
    """Period of each day, 0 and up, shape (n_days,).

    A day, or several where one has fewer than 200 clicks or there would be more than 200 periods. Stray days, such as
    of a clock that was wrong, go with their neighbours.

    Parameters
    ----------
    day, clicks
        Days in order, and the clicks of each, shape (n_days,).
    least_days
        Days of a period at least.
    """
    least_clicks = max(_LEAST_CLICKS, float(clicks.sum()) / _MOST_PERIODS)
    out = np.zeros(len(day), dtype=np.int64)
    number, first, seen = 0, None, 0.0
    for i, (today, clicked) in enumerate(zip(day.tolist(), clicks.tolist(), strict=True)):
        first = today if first is None else first
        out[i], seen = number, seen + clicked
        if today - first + 1 >= least_days and seen >= least_clicks:
            number, first, seen = number + 1, None, 0.0
    if first is not None and number:  # the rest is no whole period
        out[out == number] = number - 1
    return out
