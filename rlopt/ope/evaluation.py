"""Off-policy evaluation where the evaluation policy may pick logged titles: every estimator, one table."""

from collections.abc import Sequence
from functools import cached_property
from html import escape

import numpy as np

from reward.plain import JsonObject

from .estimators import ESTIMATORS, Estimate, Estimator
from .intervals import clustered_interval
from .rounds import LoggedRounds, RoundsError
from .tuning import TUNABLE, tuned

BIASED = "biased: the interval leaves out how far bounded weights, or a model, put the value off"


class OffPolicyEvaluation:
    """All estimators on one set of logged rounds.

    Parameters
    ----------
    rounds
        The logged rounds.
    estimators
        Keys of `ESTIMATORS` or estimator objects (for other parameters than the defaults). None: every one the rounds
        allow; those that would need predictions or marginal weights the rounds lack are left out.
    confidence
        Coverage of the intervals.
    tune
        Let the data choose the parameters of estimators named by key, see `rlopt.ope.tuning.tuned`.

    Examples
    --------
    >>> from rlopt.ope.estimators import LoggedRounds
    >>> rounds = LoggedRounds(reward=[0.0, 1.0, 1.0, 0.0], weight=[0.5, 2.0, 1.0, 0.5], cluster=["a", "a", "b", "c"])
    >>> evaluation = OffPolicyEvaluation(rounds, estimators=["ips", "snips"])
    >>> evaluation.estimates["snips"].value
    0.75

    Raises
    ------
    RoundsError
        An unknown key, or an estimator asked for by name that these rounds do not allow.
    """

    def __init__(
        self,
        rounds: LoggedRounds,
        estimators: Sequence[str | Estimator] | None = None,
        confidence: float = 0.95,
        *,
        tune: bool = False,
    ) -> None:
        self.rounds = rounds
        self.confidence = confidence
        if estimators is None:
            estimators = [key for key, made in ESTIMATORS.items() if made.allowed(rounds)]
        self.estimators = [
            tuned(e, rounds) if tune and isinstance(e, str) and e in TUNABLE else _estimator(e) for e in estimators
        ]

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """Key of each estimator -> its estimate of the policy value per round."""
        return {e.key: e.estimate(self.rounds, self.confidence) for e in self.estimators}

    @cached_property
    def logged_value(self) -> Estimate:
        """Value of the logging policy per round: the mean reward with its item-clustered interval."""
        logged = LoggedRounds(
            reward=self.rounds.reward,
            weight=np.ones(len(self.rounds)),
            cluster=self.rounds.cluster,
            count=self.rounds.count,
        )
        return ESTIMATORS["ips"]().estimate(logged, self.confidence)

    def lift(self, key: str) -> tuple[float, float, float]:
        """Relative lift over the logging policy and its interval: (value, low, high), 0.05 is +5%.

        Both values come from the same items, so the interval is that of their log ratio (paired by item), not a
        difference of two intervals.

        Raises
        ------
        RoundsError
            There is no such estimator here, or a value is not positive: a ratio to it says nothing.
        """
        by_key = {estimator.key: estimator for estimator in self.estimators}
        if key not in by_key:
            raise RoundsError(f"There is no estimator {key!r} of these rounds. Use one of: {', '.join(by_key)}.")
        estimator = by_key[key]
        value, scores = estimator.interval_source(self.rounds).scores(self.rounds)
        base = self.rounds.mean(self.rounds.reward)
        if base <= 0 or value <= 0:
            raise RoundsError(
                f"A relative lift needs positive values. Estimator '{key}' gives {value:g}, the logs {base:g}. "
                "Compare the values themselves."
            )
        base_scores = self.rounds.cluster_sums(self.rounds.reward - base) / self.rounds.n_rounds
        ratio_scores = scores / value - base_scores / base
        interval = clustered_interval(1.0, ratio_scores, confidence=self.confidence, log_scale=True)
        lift, ratio = estimator.value(self.rounds) / base - 1, value / base
        return lift, min(lift, ratio * interval.low - 1), max(lift, ratio * interval.high - 1)

    def table(self) -> list[JsonObject]:
        """One row per estimator, plain values; ``biased`` marks those whose interval ignores a bias."""
        return [estimate.to_dict() for estimate in self.estimates.values()]

    def _repr_html_(self) -> str:
        """HTML that a notebook shows."""
        return f"<pre>{escape(str(self))}</pre>"

    def __str__(self) -> str:
        head = f"{'estimator':<10} {'value':>10} {'low':>10} {'high':>10} {'ESS':>12}"
        lines = [
            f"{key:<10} {e.value:>10.5g} {e.low:>10.5g} {e.high:>10.5g} {e.ess:>12,.0f}{'  biased' if e.biased else ''}"
            for key, e in self.estimates.items()
        ]
        return "\n".join([head, *lines, *([BIASED] if any(e.biased for e in self.estimates.values()) else [])])


def _estimator(wanted: str | Estimator) -> Estimator:
    if isinstance(wanted, Estimator):
        return wanted
    if wanted not in ESTIMATORS:
        raise RoundsError(f"There is no estimator '{wanted}'. Choose from: {', '.join(ESTIMATORS)}.")
    return ESTIMATORS[wanted]()
