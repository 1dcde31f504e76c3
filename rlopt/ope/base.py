"""What every off-policy estimator shares: round rewards -> value -> item-clustered interval."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from .intervals import clustered_interval
from .rounds import FloatArray, LoggedRounds, RoundsError
from .weights import effective_sample_size


@dataclass(frozen=True)
class Estimate:
    """What a policy would have earned per round, with its uncertainty.

    Parameters
    ----------
    estimator
        Key of the estimator in `ESTIMATORS`.
    value, low, high
        Policy value and its two-sided interval.
    confidence
        Coverage of the interval.
    std_error
        Clustered standard error.
    ess
        Effective sample size of the weights as used, in rounds.
    max_weight
        Largest weight as used.
    n_rounds, n_clusters, effective_clusters
        Rounds, items, and the items' effective number G_eff.
    scale
        "log" or "linear": where the interval is symmetric.
    """

    estimator: str
    value: float
    low: float
    high: float
    confidence: float
    std_error: float
    ess: float
    max_weight: float
    n_rounds: float
    n_clusters: int
    effective_clusters: float
    scale: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the field names."""
        return asdict(self)


@dataclass(frozen=True)
class Estimator(ABC):
    """Base of the estimators."""

    key: ClassVar[str]
    needs_q: ClassVar[bool] = False
    needs_weights: ClassVar[bool] = True

    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Weights as this estimator uses them, shape (n,)."""
        return rounds.weight

    @abstractmethod
    def round_rewards(self, rounds: LoggedRounds) -> FloatArray:
        """What each row contributes, shape (n,); their mean over rounds is the value."""

    def influence(self, rounds: LoggedRounds, round_rewards: FloatArray, value: float) -> FloatArray:
        """First-order effect of each round on the value, shape (n,), mean zero."""
        return round_rewards - value

    def value(self, rounds: LoggedRounds) -> float:
        """Policy value, per round.

        Raises
        ------
        RoundsError
            Predictions are missing, or every weight is zero for an estimator that needs weights.
        """
        self._check(rounds)
        return rounds.mean(self.round_rewards(rounds))

    def scores(self, rounds: LoggedRounds) -> tuple[float, FloatArray]:
        """The value and each cluster's influence on it, shape (n_clusters,)."""
        self._check(rounds)
        round_rewards = self.round_rewards(rounds)
        value = rounds.mean(round_rewards)
        return value, rounds.cluster_sums(self.influence(rounds, round_rewards, value)) / rounds.n_rounds

    def estimate(self, rounds: LoggedRounds, confidence: float = 0.95) -> Estimate:
        """Value with its item-clustered interval.

        On the log scale where the value is positive and no reward or prediction is negative; t quantiles at the
        effective number of clusters (see `rlopt.ope.intervals`).

        Raises
        ------
        RoundsError
            As `value`; also fewer than two clusters.
        """
        value, scores = self.scores(rounds)
        interval = clustered_interval(value, scores, confidence=confidence, log_scale=rounds.non_negative)
        used = self.weights(rounds)
        return Estimate(
            estimator=self.key,
            value=value,
            low=interval.low,
            high=interval.high,
            confidence=confidence,
            std_error=interval.std_error,
            ess=effective_sample_size(used, rounds.counts),
            max_weight=float(used.max()),
            n_rounds=rounds.n_rounds,
            n_clusters=rounds.n_clusters,
            effective_clusters=interval.effective_clusters,
            scale=interval.scale,
        )

    def _check(self, rounds: LoggedRounds) -> None:
        if self.needs_q:
            predictions(rounds)
        if self.needs_weights and not self.weights(rounds).any():
            raise RoundsError(
                f"Every weight of estimator '{self.key}' is zero: the evaluation policy never picks a logged title, so "
                "these logs say nothing about it. Use 'dm', or a judge."
            )

    def _parameter(self, name: str, low: float, high: float, *, open_low: bool = False) -> None:
        value = getattr(self, name)
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not number or not (low < value if open_low else low <= value) or not value <= high:
            left, right = "(" if open_low else "[", ")" if high == np.inf else "]"
            raise RoundsError(
                f"{name} of estimator '{self.key}' must be in {left}{low:g}, {high:g}{right}. Got {value}."
            )


def predictions(rounds: LoggedRounds) -> tuple[FloatArray, FloatArray]:
    """(q_logged, q_policy), or an error that says which is missing."""
    if rounds.q_logged is None or rounds.q_policy is None:
        missing = "q_logged" if rounds.q_logged is None else "q_policy"
        raise RoundsError(f"{missing} is missing from LoggedRounds: give the predicted rewards, or use ips or snips.")
    return rounds.q_logged, rounds.q_policy
