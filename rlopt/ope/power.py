"""Power and size of an A/B test of titles: two proportions, overdispersed counts, items that respond differently."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, stats

from .group_sequential import drift
from .rounds import RoundsError
from .sequential import planned_information, sequence_reach

LARGEST = 1e15  # impressions; a test that needs more is never done


@dataclass(frozen=True)
class TestDesign:
    """Design of an A/B test before it starts.

    Without overdispersion and spread it is the z-test of two proportions, pooled variance under the null and unpooled
    under the alternative. Reference: Fleiss, Levin & Paik (2003), *Statistical methods for rates and proportions*,
    section 4.2; Kohavi, Tang & Xu (2020), *Trustworthy online controlled experiments*, chapter 17.

    Parameters
    ----------
    base_rate
        Events (clicks, conversions) per impression of the control.
    treated_share
        Share of the impressions that see the treatment.
    alpha
        Chance of a false discovery without any effect.
    two_sided
        True if a worse treatment counts as a discovery too.
    overdispersion
        Variance of the counts over the binomial's.
    lift_spread
        Standard deviation of the lift between items: the error from the items drawn, however long the test runs.
    effective_items
        Kish's effective number of items by their traffic.
    critical
        Standard errors that the deciding interval reaches; None: the quantile of t at ``alpha``.

    Raises
    ------
    RoundsError
        A parameter is out of range.
    """

    __test__ = False  # pytest would take it for a test

    base_rate: float
    treated_share: float = 0.5
    alpha: float = 0.05
    two_sided: bool = True
    overdispersion: float = 1.0
    lift_spread: float = 0.0
    effective_items: float = np.inf
    critical: float | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("base_rate", 0, 1),
            ("treated_share", 0, 1),
            ("alpha", 0, 1),
            ("overdispersion", 0, np.inf),
            ("effective_items", 0, np.inf),
        ):
            value = getattr(self, name)
            if not low < value <= high or (high == 1 and value == 1):
                raise RoundsError(f"{name} of an A/B test must be in ({low}, {high}). Got {value:g}.")
        if not self.lift_spread >= 0:
            raise RoundsError(f"lift_spread of an A/B test must not be negative. Got {self.lift_spread:g}.")

    def power(self, lift: float, impressions: float) -> float:
        """Chance that a test of n impressions (both arms) finds a true ``lift``."""
        z, (null, alternative), difference = self._critical, self._std_errors(lift, impressions), self._difference(lift)
        upper = float(stats.norm.sf((z * null - difference) / alternative))
        return upper + float(stats.norm.cdf((-z * null - difference) / alternative)) if self.two_sided else upper

    def impressions(self, lift: float, power: float = 0.8) -> float:
        """Impressions of both arms together at which a true ``lift`` is found with this power; infinite if never.

        Of a two-sided test the tail on the effect's side counts, as usual.

        Raises
        ------
        RoundsError
            ``power`` is not between alpha and one, or a one-sided test is asked for a lift of zero or less.
        """
        if not self.alpha < power < 1:
            raise RoundsError(f"power must be between alpha ({self.alpha:g}) and 1. Got {power:g}.")
        if lift == 0 or (lift < 0 and not self.two_sided):
            raise RoundsError(f"No test finds a lift of {lift:+.1%}. Give one to look for.")
        difference, reach = abs(self._difference(lift)), float(stats.norm.ppf(power))

        def surplus(log_n: float) -> float:
            null, alternative = self._std_errors(lift, float(np.exp(log_n)))
            return difference - self._critical * null - reach * alternative

        if surplus(np.log(LARGEST)) < 0:
            return np.inf
        if surplus(0.0) > 0:
            return 1.0
        return float(np.exp(optimize.brentq(surplus, 0.0, np.log(LARGEST), xtol=1e-12)))

    @property
    def _critical(self) -> float:
        """Critical value as in `rlopt.ope.abtest.analyze`: t at G_eff, a third of the items where scores are normal."""
        if self.critical is not None:
            return self.critical
        freedom = max(self.effective_items / 3, 1.0)
        return float(stats.t.isf(self.alpha / 2 if self.two_sided else self.alpha, df=freedom))

    def _difference(self, lift: float) -> float:
        if not 0 <= self.base_rate * (1 + lift) <= 1:
            raise RoundsError(f"A lift of {lift:+.1%} takes a rate of {self.base_rate:.3g} out of [0, 1].")
        return self.base_rate * lift

    def _std_errors(self, lift: float, impressions: float) -> tuple[float, float]:
        """Standard errors of the difference of rates under the null and under the alternative."""
        treated, control = impressions * self.treated_share, impressions * (1 - self.treated_share)
        base, new = self.base_rate, self.base_rate * (1 + lift)
        pooled = (new * treated + base * control) / impressions
        null = pooled * (1 - pooled) * (1 / treated + 1 / control)
        alternative = new * (1 - new) / treated + base * (1 - base) / control
        items = (base * self.lift_spread) ** 2 / self.effective_items
        return tuple(float(np.sqrt(self.overdispersion * v + items)) for v in (null, alternative))  # type: ignore[return-value]


def always_valid(design: TestDesign, lift: float, power: float = 0.8) -> TestDesign:
    """The design of a test that may be looked at every day: a confidence sequence decides, planned for this lift.

    The sequence's reach in standard errors depends on the error; taken is that at which it finds ``lift`` with this
    power (`rlopt.ope.sequential.sequence_reach`), with as many more for few items as the fixed interval has.

    Raises
    ------
    RoundsError
        A lift of zero, or of -100% and less.
    """
    confidence = 1 - design.alpha
    planned = planned_information(lift, confidence, power)
    goal, reach = abs(float(np.log1p(lift))), float(stats.norm.ppf(power))

    def surplus(std_error: float) -> float:
        return sequence_reach(std_error, planned, confidence) + reach * std_error - goal

    std_error = float(optimize.brentq(surplus, goal * 1e-4, goal))
    few = design._critical / float(stats.norm.isf(design.alpha / 2 if design.two_sided else design.alpha))
    return replace(design, critical=few * sequence_reach(std_error, planned, confidence) / std_error)


def group_sequential(design: TestDesign, looks: int, power: float = 0.8) -> TestDesign:
    """The design of a test with k equally spaced looks, whose boundary spends alpha as `boundaries` says.

    The critical value is what the drift of z at the end, which has this power, leaves above the quantile of the power.
    """
    shares = tuple((k + 1) / looks for k in range(looks))
    alpha = design.alpha if design.two_sided else 2 * design.alpha
    few = design._critical / float(stats.norm.isf(alpha / 2))
    return replace(design, critical=few * (drift(shares, alpha, power) - float(stats.norm.ppf(power))))


def smallest_lift(needed: Callable[[float], float], impressions: float, base_rate: float) -> float | None:
    """Smallest lift for which no more than n impressions are needed; None where even +100% needs more."""
    largest = min(1.0, (1 - 1e-9) / base_rate - 1)

    def surplus(log_lift: float) -> float:
        return float(np.log(min(needed(float(np.exp(log_lift))), 1e300)) - np.log(max(impressions, 1e-300)))

    if surplus(np.log(largest)) > 0:
        return None
    return float(np.exp(optimize.brentq(surplus, np.log(1e-5), np.log(largest), xtol=1e-4)))
