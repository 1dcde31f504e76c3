"""Serial tests: an item shows one arm for a period, then the other; days' levels and items' appeal are taken off."""

import numpy as np

from reward.arrays import BoolArray, FloatArray, IntArray

from .rounds import RoundsError
from .stratified import LogRatio

_ROUNDS = 500
_PRECISION = 1e-10


_TOGETHER = 0.02  # mean share of a day's rarer arm below which days have one arm
_BOTH = -1  # a day of an item that has several arms


def changes_arms(arm: IntArray | BoolArray, item: IntArray, day: IntArray) -> bool:
    """True if most days of items have a single arm."""
    return bool(np.mean(_cells(arm, item, day)[2] == _BOTH) < 0.5)


def after_a_switch(arm: IntArray | BoolArray, item: IntArray, day: IntArray, length: int) -> BoolArray:
    """Rows within ``length`` days after their item changed its arm, shape (n,): what the arm before may still move.

    Days without rows count as days; the first arm of an item comes after no other.
    """
    of_item, of_day, of_arm, where = _cells(arm, item, day)
    first = np.append(True, of_item[1:] != of_item[:-1])
    changed = ~first & np.append(False, of_arm[1:] != of_arm[:-1])
    last = np.maximum.accumulate(np.where(first | changed, np.arange(len(of_item)), 0))
    after = changed[last] & (of_day - of_day[last] < length)
    return np.asarray(after[where])


def common_periods(treated: BoolArray, day: IntArray, impressions: FloatArray) -> IntArray | None:
    """Number of each row's period where all items change together, shape (n,); None where each has periods of its own.

    A period is a run of days with the same arm.
    """
    total = np.maximum(np.bincount(day, impressions), 1e-300)
    share = np.bincount(day, impressions * treated) / total
    if np.average(np.minimum(share, 1 - share), weights=total) > _TOGETHER:
        return None
    seen = np.unique(day)
    arm = share[seen] > 0.5
    number = np.zeros(len(share), dtype=np.int64)
    number[seen] = np.cumsum(np.append(False, arm[1:] != arm[:-1]))
    return np.asarray(number[day])


def two_way(treated: BoolArray, item: IntArray, day: IntArray, impressions: FloatArray, events: FloatArray) -> LogRatio:
    """Log ratio of the arms in a log-linear model with a level for each item and each day.

    log E[events] = log impressions + item + day + treated * log ratio, by Poisson's scores, whose estimate needs only
    the mean to be right (Gourieroux, Monfort and Trognon 1984, pseudo maximum likelihood); where all items change
    together, days cannot be told from arms, and items alone have levels.

    Raises
    ------
    RoundsError
        No item has both arms.
    """
    keep = impressions > 0
    item_, day_ = (np.unique(x, return_inverse=True)[1] for x in (item, day))
    if not _within(treated[keep].astype(float), item_[keep], np.zeros(int(keep.sum()), int), impressions[keep]).any():
        raise RoundsError("No item has had both arms, so that nothing can be compared one after the other.")
    tied = _collinear(treated[keep], item_[keep], day_[keep], impressions[keep])
    if tied:
        day_ = np.zeros_like(day_)
    level_item, level_day, effect = np.ones(int(item_.max()) + 1), np.ones(int(day_.max()) + 1), 0.0
    new = treated.astype(float)
    for _ in range(_ROUNDS):
        before = np.append(np.log(np.maximum(level_day, 1e-300)), effect)
        level_item = _level(events, impressions * level_day[day_] * np.exp(effect * new), item_, len(level_item))
        level_day = _level(events, impressions * level_item[item_] * np.exp(effect * new), day_, len(level_day))
        base = impressions * level_item[item_] * level_day[day_]
        mean = base * np.exp(effect * new)
        score = _within(new, item_, day_, mean)
        effect += float(score @ (events - mean)) / float((score * mean) @ score)
        if np.abs(np.append(np.log(np.maximum(level_day, 1e-300)), effect) - before).max() < _PRECISION:
            break
    else:
        raise RoundsError("The serial comparison does not settle: too few events for this many items and days.")
    mean = base * np.exp(effect * new)
    score = _within(new, item_, day_, mean)
    return LogRatio(effect, np.asarray(score * (events - mean) / float((score * mean) @ score)))


def _cells(arm: IntArray | BoolArray, item: IntArray, day: IntArray) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Item, day and arm of each day of an item, in order of item and day, and the number of each row's."""
    days = int(day.max()) + 1
    cell, where = np.unique(item.astype(np.int64) * days + day, return_inverse=True)
    number = arm.astype(np.int64)
    lowest, highest = np.full(len(cell), np.iinfo(np.int64).max), np.full(len(cell), -1)
    np.minimum.at(lowest, where, number)
    np.maximum.at(highest, where, number)
    return cell // days, cell % days, np.where(lowest == highest, lowest, _BOTH), where.astype(np.int64)


def _level(events: FloatArray, expected: FloatArray, group: IntArray, n: int) -> FloatArray:
    """Events over those expected, of each group."""
    total = np.bincount(group, expected, minlength=n)
    return np.asarray(np.bincount(group, events, minlength=n) / np.maximum(total, 1e-300))


def _within(values: FloatArray, item: IntArray, day: IntArray, weight: FloatArray) -> FloatArray:
    """``values`` less their weighted means by item and by day, shape (n,)."""
    left = values.astype(np.float64)
    for _ in range(_ROUNDS):
        before = left
        for group in (item, day):
            total = np.maximum(np.bincount(group, weight), 1e-300)
            left = left - (np.bincount(group, weight * left) / total)[group]
        if np.abs(left - before).max() < _PRECISION:
            break
    return np.asarray(np.where(np.abs(left) < 1e-7, 0.0, left))


def _collinear(treated: BoolArray, item: IntArray, day: IntArray, weight: FloatArray) -> bool:
    """True if items and days together determine the arm of a row."""
    return bool(not _within(treated.astype(float), item, day, weight).any())
