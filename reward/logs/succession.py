"""Titles that replaced one another: how many there are, and how much all titles were clicked in each of their times."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..arms import Arms
from .aggregate import period_cells
from .levels import Cells, levels
from .position import PositionBias
from .rows import Rows

FloatArray = npt.NDArray[np.float64]

OFTEN_ALONE = 0.2
"""Share of impressions without another title of the item beside them from which titles count as replaced."""
MIN_TIMED = 10
"""Impressions from which the first and the last tell when a title was shown."""
_DAY = 86400.0
_LONG = 28 * _DAY  # logs of this length and more are looked at by weeks, which have all days in them
_MOST_PERIODS = 200


@dataclass(frozen=True)
class Periods:
    """Levels of the times within a log.

    Parameters
    ----------
    begin, length
        Of the first period, seconds since 1970, and of each, in seconds.
    level
        How much all titles were clicked in each period, the exposure-weighted mean 1; shape (n_periods,).
    """

    begin: float
    length: float
    level: FloatArray


def alone_share(arms: Arms) -> float | None:
    """Share of the impressions that fell in times when no other title of the item was shown.

    Of titles seen for more than a moment and often enough to say from when to when, where the item has two of them;
    between those times a title's impressions are taken as even. What else changed when one title replaced another
    (season, price, place) can not be told from the title.

    Returns
    -------
    float or None
        None where times are not logged, or no item has two such titles.
    """
    if arms.first_seen is None or arms.last_seen is None:
        return None
    span = arms.last_seen - arms.first_seen
    used = (span > 0) & (arms.impressions >= MIN_TIMED)
    used &= np.bincount(arms.item_index[used], minlength=len(arms.items))[arms.item_index] >= 2
    if not used.any():
        return None
    arm = np.flatnonzero(used)
    arm, step = np.concatenate([arm, arm]), np.repeat([1, -1], len(arm))
    when = np.where(step > 0, arms.first_seen[arm], arms.last_seen[arm])
    order = np.lexsort((when, arms.item_index[arm]))
    arm, step, when = arm[order], step[order], when[order]
    lasting = np.diff(when)
    # An item's steps add up to none, so the sums begin anew with each item; where one arm is seen, they name it.
    single = np.cumsum(step)[:-1] == 1
    alone = np.bincount(np.cumsum(step * arm)[:-1][single], lasting[single], minlength=len(arms))
    weight = arms.impressions[used]
    return float(np.average(np.minimum(alone[used] / span[used], 1.0), weights=weight))


def by_period(
    rows: Rows, arms: Arms, bias: PositionBias | None, begin: float, end: float
) -> tuple[Periods, FloatArray]:
    """Levels of the periods of a log from ``begin`` to ``end``, and the arms' exposure with them in it, (n_arms,).

    Every row has a time. Periods are days, in logs of four weeks and more weeks, and longer ones where those would be
    more than 200; their levels are those of `reward.logs.levels`, periods in the place of logs.
    """
    length = max(_DAY if end - begin < _LONG else 7 * _DAY, (end - begin) / _MOST_PERIODS)
    cells = period_cells(rows, bias, begin, length)
    n_periods = int(cells["period"].max()) + 1
    arm, period, exposure = cells["arm"].astype(np.int64), cells["period"].astype(np.int64), cells["exposure"]
    found = levels(
        Cells(arm, period, cells["clicks"].astype(np.float64), exposure), arms.item_index, len(arms.items), n_periods
    )
    levelled = np.bincount(arm, exposure * found[period], minlength=len(arms)).astype(np.float64)
    return Periods(begin, length, found), levelled
