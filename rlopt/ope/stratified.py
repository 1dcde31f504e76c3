"""The ratio of two arms' rates, compared within strata, so that no split that differs between them biases it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reward.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class LogRatio:
    """The log of the treatment's rate over the control's, and what each row adds to its error.

    Parameters
    ----------
    value
        log of the common rate ratio.
    influence
        Linearised contribution of each row, shape (n,): the variance is the sum of squares of independent clusters'
        sums.
    """

    value: float
    influence: FloatArray

    def less(self, theta: float, other: "LogRatio") -> "LogRatio":
        """Less ``theta`` times another ratio, whose expectation is 0."""
        return LogRatio(self.value - theta * other.value, self.influence - theta * other.influence)


def mantel_haenszel(treated: BoolArray, stratum: IntArray, impressions: FloatArray, events: FloatArray) -> LogRatio:
    """Mantel-Haenszel's common rate ratio over strata, sum_s C1 N0 / N over sum_s C0 N1 / N.

    Strata in which one arm has no impressions compare nothing and weigh nothing. Reference: Mantel and Haenszel (1959);
    Greenland and Robins (1985), estimation of a common effect parameter from sparse follow-up data.

    Parameters
    ----------
    treated
        Rows of the treatment, shape (n,).
    stratum
        Stratum of each row, integers from 0, shape (n,).
    impressions, events
        Counts, shape (n,); there are events in both arms in strata that hold both.

    Examples
    --------
    Two days, on both of which the treatment has twice the rate; its share differs between them:

    >>> treated, day = np.array([False, True, False, True]), np.array([0, 0, 1, 1])
    >>> shown, clicked = np.array([900.0, 100.0, 500.0, 500.0]), np.array([9.0, 2.0, 25.0, 50.0])
    >>> round(float(np.exp(mantel_haenszel(treated, day, shown, clicked).value)), 6)
    2.0
    """
    n_strata = int(stratum.max()) + 1

    def total(values: FloatArray, rows: BoolArray) -> FloatArray:
        return np.bincount(stratum[rows], values[rows], minlength=n_strata).astype(np.float64)

    shown0, shown1 = total(impressions, ~treated), total(impressions, treated)
    events0, events1 = total(events, ~treated), total(events, treated)
    shown = np.maximum(shown0 + shown1, 1e-300)
    new, old = float(np.sum(events1 * shown0 / shown)), float(np.sum(events0 * shown1 / shown))
    own0, own1, rate0, rate1 = (
        values[stratum] for values in (shown0 / shown, shown1 / shown, events0 / shown, events1 / shown)
    )
    of_treated = own0 * ((events - rate1 * impressions) / new - rate0 * impressions / old)
    of_control = own1 * (rate1 * impressions / new - (events - rate0 * impressions) / old)
    return LogRatio(float(np.log(new / old)), np.where(treated, of_treated, of_control))


def comparable_share(treated: BoolArray, stratum: IntArray, impressions: FloatArray) -> float:
    """Share of the impressions in strata that hold both arms."""
    n_strata = int(stratum.max()) + 1
    sides = [np.bincount(stratum[rows], impressions[rows], minlength=n_strata) for rows in (treated, ~treated)]
    both = (sides[0] > 0) & (sides[1] > 0)
    return float((sides[0] + sides[1])[both].sum() / impressions.sum())


def adjusted(ratio: LogRatio, before: Sequence[LogRatio], unit: IntArray) -> LogRatio:
    """The ratio less what the arms' items differed in before the test (CUPED).

    ``before`` are the same ratio of what the items were expected to get whichever arm they went to, by one or several
    predictions: the expectation of each is 0 by randomisation, so taking off theta times it biases nothing. theta is
    by least squares. Reference: Deng, Xu, Kohavi and Walker (2013), improving the sensitivity of online controlled
    experiments by utilizing pre-experiment data; of ratio metrics by their linearisation: Deng, Knoblich and Lu (2018).

    Parameters
    ----------
    unit
        Unit of randomisation of each row, integers from 0. Where units were shared between the arms within blocks of
        alike ones, theta is still that of the units: blocks differ too little in it to tell theta by them.
    """
    now = np.bincount(unit, ratio.influence)
    then = np.stack([np.bincount(unit, one.influence) for one in before], axis=1)
    theta = np.linalg.lstsq(then, now, rcond=1e-9)[0]
    for weight, one in zip(theta.tolist(), before, strict=True):
        ratio = ratio.less(weight, one)
    return ratio
