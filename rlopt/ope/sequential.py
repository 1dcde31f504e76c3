"""Always-valid confidence sequences: intervals that may be looked at every day, and a test stopped on any of them."""

import math

from scipy import special, stats

from .rounds import RoundsError


def planned_information(lift: float, confidence: float = 0.95, power: float = 0.8) -> float:
    """Information 1 / se^2 on the log scale at which a fixed-horizon test finds ``lift`` with this power."""
    if lift <= -1 or lift == 0:
        raise RoundsError(f"A planned lift must be above -1 and not 0. Got {lift:g}.")
    reach = stats.norm.ppf(0.5 + confidence / 2) + stats.norm.ppf(power)
    return float((reach / math.log1p(lift)) ** 2)


def sequence_reach(std_error: float, planned: float, confidence: float = 0.95) -> float:
    """Half width of a confidence sequence: estimate -+ this covers the truth at all times together.

    The two-sided normal mixture boundary: with information I = 1 / se^2, estimate * I is a martingale of intrinsic
    time I, and stays within sqrt((I + rho) log((I + rho) / (rho alpha^2))) for all I with probability 1 - alpha. rho
    makes the boundary tightest at I = ``planned``: it must not be chosen by the data. With estimated variances it is
    asymptotic. Reference: Howard, Ramdas, McAuliffe & Sekhon (2021), time-uniform, nonparametric, nonasymptotic
    confidence sequences, equation (14) and proposition 3; Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024),
    time-uniform central limit theory and asymptotic confidence sequences.

    Parameters
    ----------
    std_error
        Present standard error of the estimate, > 0.
    planned
        Information the test was planned for, see `planned_information`.
    confidence
        Coverage over all looks together.

    Raises
    ------
    RoundsError
        A parameter is out of range.
    """
    if not 0 < confidence < 1:
        raise RoundsError(f"confidence must be in (0, 1). Got {confidence}. 0.95 is usual.")
    if std_error <= 0 or planned <= 0:
        raise RoundsError(
            f"A confidence sequence needs a positive standard error and plan. Got {std_error}, {planned}."
        )
    if not math.isfinite(std_error):
        return math.inf
    alpha = 1 - confidence
    information = 1 / std_error**2
    rho = planned / (-float(special.lambertw(-(alpha**2) / math.e, k=-1).real) - 1)
    return math.sqrt((information + rho) * math.log((information + rho) / (rho * alpha**2))) / information
