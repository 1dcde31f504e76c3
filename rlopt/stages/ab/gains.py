"""Value of a lift: extra clicks, orders or money a month, the chance to be better, and the expected loss."""

from dataclasses import dataclass
from datetime import date

import numpy as np
from scipy import stats

from reward.plain import Plain
from rlopt.ope.abtest import TestOutcome
from rlopt.stages.ab.metrics import IMPRESSIONS, MetricResult
from rlopt.stages.ab.results import Results

DAYS_A_MONTH = 30.0


@dataclass(frozen=True)
class Gain(Plain):
    """Gain of the chosen variant by one metric.

    Parameters
    ----------
    metric
        Its name.
    a_month, low, high
        Extra clicks, orders or money in 30 days if all of the tested traffic had the new titles, over none of it
        having them, with the interval that decides; None without dates, or for a ratio of other columns.
    chance_better
        Posterior chance that the new titles are better (flat prior, normal).
    expected_loss
        Expected relative loss by launching: the mean of the shortfall, zero where the new titles are better.
    """

    metric: str
    a_month: float | None
    low: float | None
    high: float | None
    chance_better: float
    expected_loss: float


def gain_of(row: MetricResult, results: Results) -> Gain:
    """Compute the gain from a metric's lift."""
    outcome = row.outcome
    traffic = monthly_impressions(results)
    chance, loss = posterior(outcome)
    if traffic is None or "/" in row.metric:
        return Gain(row.metric, None, None, None, chance, loss)
    level = outcome.rate_control * traffic
    low, high = outcome.deciding
    return Gain(row.metric, level * outcome.lift, level * low, level * high, chance, loss)


def posterior(outcome: TestOutcome) -> tuple[float, float]:
    """Chance to be better, and expected loss on the log scale: E max(0, -d) of a normal d."""
    value, error = float(np.log1p(outcome.lift)), max(outcome.std_error, 1e-300)
    z = value / error
    return float(stats.norm.cdf(z)), float(error * stats.norm.pdf(z) - value * stats.norm.cdf(-z))


def monthly_impressions(results: Results) -> float | None:
    """Impressions of all arms in 30 days of the test; None without dates."""
    if not results.days:
        return None
    first, last = (date.fromisoformat(day) for day in (results.days[0], results.days[-1]))
    return float(results.values[IMPRESSIONS].sum()) / ((last - first).days + 1) * DAYS_A_MONTH
