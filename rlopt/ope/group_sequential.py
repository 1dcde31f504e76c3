"""Group-sequential boundaries: a few planned looks, alpha spent as O'Brien and Fleming would (Lan and DeMets)."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import optimize, stats

from reward.arrays import FloatArray

from .rounds import RoundsError

_GRID = 601  # points of Simpson's rule over what goes on
_FARTHEST = 8.0  # standard deviations: beyond lies less than 1e-15


def spent(share: float, alpha: float) -> float:
    """Two-sided alpha spent by the time this share of the planned information is in.

    O'Brien-Fleming-like: each side spends 2 (1 - Phi(z / sqrt(share))), z the normal quantile of a quarter of alpha.
    Reference: Lan and DeMets (1983), discrete sequential boundaries for clinical trials.
    """
    return float(4 * stats.norm.sf(stats.norm.isf(alpha / 4) / np.sqrt(min(share, 1.0))))


@cache
def boundaries(shares: tuple[float, ...], alpha: float = 0.05) -> tuple[float, ...]:
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
    state = _Sum()
    for number, share in enumerate(shares):
        left = spent(share, alpha) - (spent(shares[number - 1], alpha) if number else 0.0)
        edge = float(
            optimize.brentq(lambda z, at=state, to=share, a=left: at.crossing(to, z) - a, 0.5, _FARTHEST, xtol=1e-10)
        )
        found.append(edge)
        state = state.after(share, edge)
    return tuple(found)


@cache
def drift(shares: tuple[float, ...], alpha: float, power: float) -> float:
    """Mean of z at full information with which the boundaries are crossed on its side with this power."""
    critical = boundaries(shares, alpha)

    def surplus(mean: float) -> float:
        state, crossed = _Sum(mean), 0.0
        for share, z in zip(shares, critical, strict=True):
            crossed += state.crossing(share, z, upper=True)
            state = state.after(share, z)
        return crossed - power

    return float(optimize.brentq(surplus, 0.1, 12.0, xtol=1e-7))


def check_shares(shares: Sequence[float]) -> None:
    """Check that the looks' shares of the planned information rise within (0, 1].

    Raises
    ------
    RoundsError
        They do not.
    """
    rising = all(low < high for low, high in zip((0.0, *shares), shares, strict=False))
    if not shares or not rising or shares[-1] > 1:
        told = ", ".join(f"{share:g}" for share in shares)
        raise RoundsError(f"Looks must be rising shares of the planned impressions, 0.25, 0.5 and so on. Got {told}.")


class _Sum:
    """Distribution of z sqrt(share) where no look has crossed yet (Armitage, McPherson and Rowe 1969).

    It has independent normal increments with mean ``mean`` times their share.
    """

    def __init__(self, mean: float = 0.0) -> None:
        self.mean, self.share = mean, 0.0
        self.points, self.density = np.zeros(1), np.ones(1)  # the density has the weights of Simpson's rule in it

    def crossing(self, share: float, z: float, *, upper: bool = False) -> float:
        """Chance to cross at the next look, on both sides or the upper one."""
        shifted, spread, edge = self._to(share, z)
        crossed = stats.norm.sf((edge - shifted) / spread)
        if not upper:
            crossed = crossed + stats.norm.cdf((-edge - shifted) / spread)
        return float(self.density @ crossed)

    def after(self, share: float, z: float) -> "_Sum":
        """The distribution after a look that has not crossed."""
        shifted, spread, edge = self._to(share, z)
        reach = _FARTHEST * float(np.sqrt(share))
        low, high = max(-edge, self.mean * share - reach), min(edge, self.mean * share + reach)
        out = _Sum(self.mean)
        out.share, out.points = share, np.linspace(low, max(high, low + 1e-9), _GRID)
        steps = np.exp(-0.5 * ((out.points[:, None] - shifted[None, :]) / spread) ** 2)
        out.density = _simpson(out.points) * (steps @ self.density) / (spread * np.sqrt(2 * np.pi))
        return out

    def _to(self, share: float, z: float) -> tuple[FloatArray, float, float]:
        step = share - self.share
        return self.points + self.mean * step, float(np.sqrt(step)), float(z * np.sqrt(share))


def _simpson(grid: FloatArray) -> FloatArray:
    weight = np.ones(len(grid))
    weight[1:-1:2], weight[2:-1:2] = 4.0, 2.0
    return np.asarray(weight * (grid[1] - grid[0]) / 3)
