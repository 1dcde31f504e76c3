"""Heterogeneity of click rates between titles of one item, beyond chance, by moments."""

from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Heterogeneity:
    """Pearson's statistic of clicks within items.

    With expected clicks m_a = exposure_a * CTR_item, X2 = sum (c_a - m_a)^2 / m_a has the mean
    phi * freedom + v * room: phi the overdispersion, v the variance of the true rates relative to the item's,
    freedom = sum (k - 1) and room = sum (M - sum m_a^2 / M) over items of k titles and M clicks.

    Parameters
    ----------
    statistic, freedom, room
        X2 and what its mean is made of.
    used
        Arms of items with two arms or more and a click, shape (n_arms,).
    """

    statistic: float
    freedom: float
    room: float
    used: BoolArray

    @classmethod
    def of(cls, clicks: FloatArray, exposure: FloatArray, item: IntArray, n_items: int) -> "Heterogeneity":
        """From counts of arms, shape (n_arms,) each."""
        total = np.bincount(item, clicks, minlength=n_items)
        exposed = np.bincount(item, exposure, minlength=n_items)
        rate = np.divide(total, exposed, out=np.zeros(n_items), where=exposed > 0)
        used = ((np.bincount(item, minlength=n_items) >= 2) & (total > 0))[item] & (exposure > 0)
        item, mean, seen = item[used], (exposure * rate[item])[used], clicks[used]
        statistic = float(np.sum((seen - mean) ** 2 / mean))
        room = float(mean.sum() - np.sum(mean**2 / total[item]))
        return cls(statistic, float(len(item) - len(np.unique(item))), room, used)

    def variance(self, overdispersion: float = 1.0) -> float:
        """v, in squares of the item's rate; 0 where chance explains the differences."""
        return max(0.0, self.statistic - overdispersion * self.freedom) / self.room if self.room > 0 else 0.0
