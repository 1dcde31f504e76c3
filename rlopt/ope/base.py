"""Base of every off-policy estimator: round rewards -> value -> item-clustered interval."""

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from reward.arrays import FloatArray
from reward.plain import Plain

from .intervals import clustered_interval
from .rounds import LoggedRounds, RoundsError
from .weights import effective_sample_size

QUANTILES = (1.0, 0.99, 0.95, 0.9, 0.75, 0.5)  # of the weights, at which a bound is tried


@dataclass(frozen=True)
class Estimate(Plain):
    """Estimated value of a policy per round, with its uncertainty.

    Parameters
    ----------
    estimator
        Key of the estimator in `ESTIMATORS`.
    value, low, high
        Policy value and its two-sided interval; of binary rewards the interval stays within [0, 1], the value need not.
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
    biased
        True where the value has a bias that the interval leaves out, so that it covers the truth less often than it
        says.
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
    biased: bool


@dataclass(frozen=True)
class Estimator:
    """E_n[v] + E_n[w~ (r - q)] / N, the form every estimator here has.

    Estimators differ by their weights w~ (`weights`), by whether they use the model of the reward (``needs_q``; else
    q = v = 0) and by their normaliser N (``self_normalized``: E_n[w~]; else 1). ``needs_marginal``: weights of
    embeddings in place of titles'. ``tunable`` names the parameter that bounds the weights, None without one.
    ``biased``: right weights do not make the value right, and the interval does not say by how much it is off.
    """

    key: ClassVar[str]
    needs_q: ClassVar[bool] = False
    needs_weights: ClassVar[bool] = True
    needs_marginal: ClassVar[bool] = False
    self_normalized: ClassVar[bool] = False
    tunable: ClassVar[str | None] = None
    biased: ClassVar[bool] = False

    @classmethod
    def allowed(cls, rounds: LoggedRounds) -> bool:
        """True where the rounds hold what it needs."""
        modelled = rounds.q_logged is not None and rounds.q_policy is not None
        return (modelled or not cls.needs_q) and (rounds.marginal_weight is not None or not cls.needs_marginal)

    @classmethod
    def grid(cls, rounds: LoggedRounds) -> list[float]:
        """Values of ``tunable`` for these rounds, from the least biased to the least variable; empty without weights.

        Limits are quantiles of the positive weights.
        """
        positive = rounds.weight[rounds.weight > 0]
        return [float(limit) for limit in np.unique(np.quantile(positive, QUANTILES))[::-1]] if len(positive) else []

    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Weights as this estimator uses them, shape (n,)."""
        return rounds.weight

    def round_rewards(self, rounds: LoggedRounds) -> FloatArray:
        """Contribution of each row, shape (n,); their mean over rounds is the value."""
        return self._contributions(rounds, self.weights(rounds))

    def value(self, rounds: LoggedRounds) -> float:
        """Policy value, per round.

        Raises
        ------
        RoundsError
            Predictions are missing, or every weight is zero for an estimator that needs weights.
        """
        return rounds.mean(self._contributions(rounds, self._checked_weights(rounds)))

    def scores(self, rounds: LoggedRounds) -> tuple[float, FloatArray]:
        """The value and each cluster's first-order influence on it, shape (n_clusters,), summing to zero."""
        return self._scores(rounds, self._checked_weights(rounds))

    def interval_source(self, rounds: LoggedRounds) -> "Estimator":
        """The estimator whose interval this one's value is given; itself, but for one that chose its own bias."""
        return self

    def estimate(self, rounds: LoggedRounds, confidence: float = 0.95) -> Estimate:
        """Value with its item-clustered interval.

        On the log scale where the value is positive and no reward or prediction is negative; t quantiles at the
        effective number of clusters (see `rlopt.ope.intervals`). For binary rewards the interval is cut to [0, 1],
        which takes no coverage away; the value is not, and may lie outside of it.

        Raises
        ------
        RoundsError
            As `value`; also fewer than two clusters.
        """
        used = self._checked_weights(rounds)
        source = self.interval_source(rounds)
        value, scores = source.scores(rounds) if source is not self else self._scores(rounds, used)
        interval = clustered_interval(value, scores, confidence=confidence, log_scale=rounds.non_negative)
        if source is not self:
            value = rounds.mean(self._contributions(rounds, used))
        low, high = min(interval.low, value), max(interval.high, value)
        if rounds.binary:  # the truth is a probability: what lies outside of [0, 1] holds it never
            low, high = (float(np.clip(limit, 0.0, 1.0)) for limit in (low, high))
        return Estimate(
            estimator=self.key,
            value=value,
            low=low,
            high=high,
            confidence=confidence,
            std_error=interval.std_error,
            ess=effective_sample_size(used, rounds.count),
            max_weight=float(used.max()),
            n_rounds=rounds.n_rounds,
            n_clusters=rounds.n_clusters,
            effective_clusters=interval.effective_clusters,
            scale=interval.scale,
            biased=self.biased,
        )

    def _scores(self, rounds: LoggedRounds, used: FloatArray) -> tuple[float, FloatArray]:
        contributions = self._contributions(rounds, used)
        value = rounds.mean(contributions)
        if self.self_normalized:  # the ratio linearised: its normaliser moves with every round
            mean_v = rounds.mean(predictions(rounds)[1]) if self.needs_q else 0.0
            contributions = contributions - (value - mean_v) * used / rounds.mean(used)
            value_of_scores = mean_v
        else:
            value_of_scores = value
        sums = rounds.cluster_sums(contributions) - value_of_scores * rounds.cluster_sizes
        return value, sums / rounds.n_rounds

    def _contributions(self, rounds: LoggedRounds, used: FloatArray) -> FloatArray:
        scale = rounds.mean(used) if self.self_normalized else 1.0
        if not self.needs_q:
            return used * rounds.reward if scale == 1.0 else used * rounds.reward / scale
        q_logged, q_policy = predictions(rounds)
        correction = used * (rounds.reward - q_logged)
        return q_policy + (correction if scale == 1.0 else correction / scale)

    def _checked_weights(self, rounds: LoggedRounds) -> FloatArray:
        if self.needs_q:
            predictions(rounds)
        used = self.weights(rounds)
        if self.needs_weights and not used.any():
            raise RoundsError(
                f"Every weight of estimator '{self.key}' is zero: the evaluation policy never picks a logged title, so "
                "these logs say nothing about it. Use 'dm', or a judge."
            )
        return used

    def _parameter(self, low: float, high: float, *, open_low: bool = False) -> None:
        """Check the one parameter a tunable estimator has."""
        name = fields(self)[0].name
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
