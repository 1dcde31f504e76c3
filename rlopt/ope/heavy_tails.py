"""Heavy tails: a few huge orders are cut to a common cap, and the share that was cut is reported."""

import numpy as np

from reward.arrays import FloatArray, IntArray


def winsorised(values: FloatArray, unit: IntArray, level: float) -> tuple[FloatArray, float]:
    """Values with each unit's total cut to the quantile ``level`` of the units that have any, and the share cut off.

    The cap is that of all arms together, so that it favours none. Units must be those that were randomised: totals of
    whole items or days differ by their traffic, and a cap would cut the larger arm. Reference: Kohavi, Tang and Xu
    (2020), *Trustworthy online controlled experiments*, chapter 22.

    Parameters
    ----------
    values
        Of each row, shape (n,).
    unit
        Unit of each row, integers from 0.
    level
        In (0, 1]; 1 cuts nothing.
    """
    total = np.bincount(unit, values).astype(np.float64)
    some = total > 0
    if level >= 1 or not some.any():
        return values, 0.0
    cap = float(np.quantile(total[some], level))
    kept = np.where(total > cap, cap / np.maximum(total, 1e-300), 1.0)
    cut = values * kept[unit]
    return cut, float(1 - cut.sum() / values.sum()) if values.sum() > 0 else 0.0
