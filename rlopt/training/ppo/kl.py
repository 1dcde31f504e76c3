"""Strength of the KL penalty towards the SFT policy: a fixed or an adaptive coefficient."""

import math
from dataclasses import dataclass
from typing import Protocol


class KLController(Protocol):
    """Gives the coefficient of the KL penalty and may change it after each rollout."""

    coefficient: float

    def update(self, kl: float) -> None:
        """Take in the mean KL (nats per title) of an update's titles."""


@dataclass
class FixedKL:
    """The same coefficient throughout."""

    coefficient: float

    def update(self, kl: float) -> None:
        """Do nothing: the coefficient is fixed."""


@dataclass
class AdaptiveKL:
    """Proportional controller that keeps the KL from rising past ``target`` nats per title.

    Ziegler et al. 2019, section 2.2: e = clip(KL / target - 1, -0.2, 0.2); coefficient *= 1 + e / horizon. Two things
    are not theirs: it counts updates where they count titles, so that small batches are held as well as large ones,
    and it never goes below the coefficient it starts with: a policy that is still near the reference is not driven
    away from it.

    Parameters
    ----------
    coefficient
        Start value and floor.
    target
        KL not to be exceeded, in nats per title.
    horizon
        Updates over which a full error changes the coefficient by about 20%.
    """

    coefficient: float
    target: float
    horizon: float = 10.0

    def __post_init__(self) -> None:
        """Remember the floor; a resumed run sets `coefficient` afterwards."""
        self._floor = self.coefficient

    def update(self, kl: float) -> None:
        """One step of the controller; a KL that is no number changes nothing."""
        if not math.isfinite(kl):
            return
        error = min(max(kl / self.target - 1.0, -0.2), 0.2)
        self.coefficient = max(self._floor, self.coefficient * (1.0 + error / self.horizon))


def kl_controller(coefficient: float, target: float | None) -> KLController:
    """Adaptive where there is a ``target`` in nats per title."""
    return FixedKL(coefficient) if target is None else AdaptiveKL(coefficient, target)
