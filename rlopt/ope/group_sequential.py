"""Group-sequential boundaries: a few planned looks, alpha spent as O'Brien and Fleming would (Lan and DeMets)."""

from collections.abc import Sequence

import numpy as np
from scipy import optimize, stats

from reward.arrays import FloatArray

from .rounds import RoundsError

_GRID = 1201  # points of Simpson's rule over what goes on
_FARTHEST = 8.0  # standard deviations: beyond lies less than 1e-15


def spent(share: float, alpha: float) -> float:
    """Two-sided alpha spent by the time this share of the planned information is in.

    O'Brien-Fleming-like: each side spends 2 (1 - Phi(z / sqrt(share))), z the normal quantile of a quarter of alpha.
    Reference: Lan and DeMets (1983), discrete sequential boundaries for clinical trials.
    """
    return float(4 * stats.norm.sf(stats.norm.isf(alpha / 4) / np.sqrt(min(share, 1.0))))


def boundaries(shares: Sequence[float], alpha: float = 0.05) -> tuple[float, ...]:
    """Critical values of |z| at each look.

    Parameters
    ----------
    shares
        Share of the planned information at each look, rising, in (0, 1].
    alpha
        Two-sided, over all looks together.

    Raises
    ------
    RoundsError
        The shares do not rise within (0, 1].
    """
    check_shares(shares)
    found: list[float] = []
    for number, share in enumerate(shares):
        left = spent(share, alpha) - (spent(shares[number - 1], alpha) if number else 0.0)

        def surplus(critical: float, left: float = left, number: int = number) -> float:
            return _crossing(shares[: number + 1], [*found, critical], 0.0)[-1] - left

        found.append(float(optimize.brentq(surplus, 0.5, _FARTHEST, xtol=1e-10)))
    return tuple(found)


def drift(shares: Sequence[float], alpha: float, power: float) -> float:
    """Mean of z at full information with which the boundaries are crossed on its side with this power."""
    critical = boundaries(shares, alpha)

    def surplus(mean: float) -> float:
        return sum(_crossing(shares, critical, mean, upper=True)) - power

    return float(optimize.brentq(surplus, 0.1, 12.0, xtol=1e-8))


def check_shares(shares: Sequence[float]) -> None:
    """That the looks' shares of the planned information rise within (0, 1].

    Raises
    ------
    RoundsError
        They do not.
    """
    rising = all(low < high for low, high in zip((0.0, *shares), shares, strict=False))
    if not shares or not rising or shares[-1] > 1:
        told = ", ".join(f"{share:g}" for share in shares)
        raise RoundsError(f"Looks must be rising shares of the planned impressions, 0.25, 0.5 and so on. Got {told}.")


def _crossing(shares: Sequence[float], critical: Sequence[float], mean: float, *, upper: bool = False) -> list[float]:
    """Chance of the first crossing at each look (Armitage, McPherson and Rowe 1969), both sides or the upper one.

    The sum up to a look, z sqrt(share), has independent normal increments with mean ``mean`` times their share.
    """
    out: list[float] = []
    points, density = np.zeros(1), np.ones(1)  # of the sum, before the first look; weights are in the density
    before = 0.0
    for share, z in zip(shares, critical, strict=True):
        step, spread = share - before, float(np.sqrt(share - before))
        edge = z * np.sqrt(share)
        shifted = points + mean * step
        crossed = stats.norm.sf((edge - shifted) / spread)
        if not upper:
            crossed = crossed + stats.norm.cdf((-edge - shifted) / spread)
        out.append(float(density @ crossed))
        low = max(-edge, mean * share - _FARTHEST * np.sqrt(share))
        high = min(edge, mean * share + _FARTHEST * np.sqrt(share))
        grid = np.linspace(low, max(high, low + 1e-9), _GRID)
        weight = _simpson(grid)
        density = weight * (stats.norm.pdf((grid[:, None] - shifted[None, :]) / spread) @ density) / spread
        points, before = grid, share
    return out


def _simpson(grid: FloatArray) -> FloatArray:
    weight = np.ones(len(grid))
    weight[1:-1:2], weight[2:-1:2] = 4.0, 2.0
    return np.asarray(weight * (grid[1] - grid[0]) / 3)
