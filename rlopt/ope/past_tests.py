"""The A/B tests of a run so far: what was predicted, what they showed, and how far predictions may be believed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reward.plain import JsonObject, Plain

from .direct import LiftEstimate
from .reasons import Reason

HISTORY = "calibration"  # metrics/calibration.jsonl
FEWEST = 3


@dataclass(frozen=True)
class PastTests(Plain):
    """Predictions against outcomes over all tests of a run.

    Parameters
    ----------
    n_tests
        Tests with a prediction and a valid outcome.
    right
        Of them, those whose lift had the predicted sign.
    slope, slope_std_error
        Observed log lift by predicted log lift, through zero: 1 is calibrated, less is boasting.
    """

    n_tests: int
    right: int
    slope: float
    slope_std_error: float

    def rescaled(self, lift: float, low: float, high: float, confidence: float = 0.95) -> tuple[float, float, float]:
        """A predicted lift with its interval as the tests say it should be read.

        The slope's own error widens the interval.
        """
        if not all(value > -1 for value in (lift, low, high)):
            return lift, low, high
        middle = self.slope * np.log1p(lift)
        reach = float(stats.norm.ppf(0.5 + confidence / 2))
        own = abs(self.slope) * (np.log1p(high) - np.log1p(low)) / 2
        step = float(np.hypot(own, reach * self.slope_std_error * np.log1p(lift)))
        return tuple(float(np.expm1(middle + x)) for x in (0.0, -step, step))  # type: ignore[return-value]


def past_reasons(past: PastTests | None, lift: LiftEstimate, min_lift: float) -> list[Reason]:
    """Reasons from earlier tests: the lift re-scaled by them must exceed ``min_lift`` too; none without tests."""
    if past is None:
        return []
    value, low, high = past.rescaled(lift.value, lift.low, lift.high, lift.confidence)
    message = (
        f"{past.right} of {past.n_tests} earlier A/B tests went in the predicted direction; observed over predicted "
        f"lift was {past.slope:.2f} +- {past.slope_std_error:.2f}. Re-scaled, the lift over the logged titles is "
        f"{value:+.1%} ({lift.confidence:.0%} interval {low:+.1%} to {high:+.1%}, needs to lie above {min_lift:+.1%})."
    )
    return [Reason("past_tests", "ok" if low > min_lift else "hold", message, low, min_lift)]


def last_analyses(history: Sequence[JsonObject]) -> tuple[JsonObject, ...]:
    """The rows of the A/B tests' history; of several looks at one test and one metric the last valid one."""
    last: dict[tuple[str, str, str], JsonObject] = {}
    for row in history:
        key = (
            str(row.get("test", row["results"])),
            str(row.get("candidate", row.get("policy", "ppo"))),
            str(row["metric"]),
        )
        if key not in last or _valid(row) or not _valid(last[key]):
            last[key] = row
    return tuple(last.values())


def past_tests(history: Sequence[JsonObject], metric: str = "clicks", but: str | None = None) -> PastTests | None:
    """Predictions of a metric against outcomes, of all tests ``but`` one; None before there are `FEWEST` with both.

    Tests count by the error of both sides; where they scatter by more, the slope's error is the larger for it.
    """
    rows = [
        row
        for row in last_analyses(history)
        if _valid(row) and row.get("prediction") and row["metric"] == metric and (but is None or row.get("test") != but)
    ]
    x = np.array([_log(row["prediction"]["lift"]) for row in rows])
    y = np.array([_log(row["outcome"]["lift"]) for row in rows])
    errors = [
        np.hypot(_error(row["outcome"], row["outcome"]), _error(row["prediction"], row["outcome"])) for row in rows
    ]
    if len(rows) < FEWEST or not np.any(x):
        return None
    weight = 1 / np.maximum(np.array(errors), 1e-9) ** 2
    slope = float((weight * x) @ y / ((weight * x) @ x))
    scatter = float(weight @ (y - slope * x) ** 2) / (len(rows) - 1)
    error = float(np.sqrt(max(scatter, 1.0) / ((weight * x) @ x)))
    return PastTests(len(rows), int(np.sum(np.sign(x) == np.sign(y))), slope, error)


def _log(lift: float) -> float:
    return float(np.log1p(max(lift, -1 + 1e-9)))


def _error(interval: JsonObject, outcome: JsonObject) -> float:
    """Standard error on the log scale of an interval with the outcome's confidence."""
    reach = float(stats.norm.ppf(0.5 + outcome.get("confidence", 0.95) / 2))
    return (_log(interval["high"]) - _log(interval["low"])) / 2 / reach


def _valid(analysis: JsonObject) -> bool:
    return bool(analysis["outcome"]["decision"] != "invalid")
