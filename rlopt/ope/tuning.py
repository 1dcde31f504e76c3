"""Parameters of estimators chosen by the data: SLOPE, on other items than those they are then used on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from reward.arrays import BoolArray, FloatArray

from .estimators import ESTIMATORS, Estimator
from .intervals import effective_clusters
from .rounds import LoggedRounds, RoundsError

TUNABLE = {key: estimator.tunable for key, estimator in ESTIMATORS.items() if estimator.tunable is not None}


def candidates(key: str, rounds: LoggedRounds) -> list[Estimator]:
    """Estimators of one key from the least biased to the least variable; the default where the rounds weigh nothing."""
    made = ESTIMATORS[key]
    return [made(**{TUNABLE[key]: value}) for value in made.grid(rounds)] or [made()]


def slope(estimators: Sequence[Estimator], rounds: LoggedRounds, confidence: float = 0.38) -> Estimator:
    """The last of estimators, ordered by falling variance, whose bias does not show.

    It goes on as long as every later estimate lies within c_i + (sqrt 6 - 1) c_j of each earlier one j, with c the half
    widths of their intervals: the error is then within a constant factor of the best candidate's. The widths are by
    item, less what all candidates share: how well the drawn items do under the logging policy. Reference: Su, Srinath
    & Krishnamurthy (2020), adaptive estimator selection for off-policy evaluation; Tucker & Lee (2021), improved
    estimator selection for off-policy evaluation (the tighter factor).

    Parameters
    ----------
    estimators
        From the least biased (most variable) to the most biased.
    rounds
        Rounds on which they are compared.
    confidence
        Of the intervals; the default takes half a standard error. With 0.95 a bias of several standard errors passes,
        which replayed logs with much traffic punish (tests/benchmarks/overlap_coverage.py).
    """
    values: list[float] = []
    widths: list[float] = []
    chosen = 0
    base = rounds.mean(rounds.reward)
    base_scores = (rounds.cluster_sums(rounds.reward) - base * rounds.cluster_sizes) / rounds.n_rounds
    for i, estimator in enumerate(estimators):
        value, scores = estimator.scores(rounds)
        scores = scores - base_scores * (value / base) if base > 0 else scores
        n = len(scores)
        std_error = float(np.sqrt(n / (n - 1) * (scores @ scores)))
        width = float(stats.t.ppf(0.5 + confidence / 2, df=effective_clusters(scores))) * std_error
        values.append(value)
        widths.append(min(width, widths[-1]) if widths else width)  # variance falls along the order; keep it so
        if any(abs(value - values[j]) > widths[i] + (np.sqrt(6) - 1) * widths[j] for j in range(i)):
            break
        chosen = i
    return estimators[chosen]


@dataclass(frozen=True)
class Tuned(Estimator):
    """An estimator whose parameter SLOPE chose, for each half of the items on the other half.

    A parameter chosen on the very rounds it is used on would follow their noise. SLOPE accepts a bias of the size of
    the error, so the value is steadier, but its interval is that of the least biased candidate: an interval that were
    narrower for the choice would not cover what it claims.

    Parameters
    ----------
    of
        Key in `TUNABLE`.
    rounds
        The rounds that are evaluated; weights are for these only.
    seed
        Of the draw of the halves.
    """

    of: str
    rounds: LoggedRounds
    seed: int = 0

    biased = False

    def __post_init__(self) -> None:
        base = ESTIMATORS[self.of]
        for name in ("key", "needs_q", "needs_weights", "self_normalized"):
            object.__setattr__(self, name, getattr(base, name))

    @cached_property
    def halves(self) -> tuple[BoolArray, Estimator, Estimator]:
        """True for rows of the first half, shape (n,), and the estimator used on it and on the second half."""
        first = first_half(self.rounds, self.seed)
        on_first, on_second = (
            slope(candidates(self.of, part), part) for part in (self.rounds.take(~first), self.rounds.take(first))
        )
        return first, on_first, on_second

    @property
    def parameters(self) -> tuple[float, float]:
        """The parameter used on each half."""
        _, *estimators = self.halves
        first, second = (float(getattr(e, TUNABLE[self.of])) for e in estimators)
        return first, second

    def interval_source(self, rounds: LoggedRounds) -> Estimator:
        """The least biased candidate."""
        return candidates(self.of, rounds)[0]

    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Weights as the halves' estimators use them."""
        if rounds is not self.rounds:
            raise RoundsError(f"Estimator '{self.of}' was tuned for other rounds. Tune it again: tuned(key, rounds).")
        first, on_first, on_second = self.halves
        return np.where(first, on_first.weights(rounds), on_second.weights(rounds))


def tuned(key: str, rounds: LoggedRounds, seed: int = 0) -> Estimator:
    """The estimator ``key`` with a parameter fit for ``rounds``; with its default one where these tell too little.

    This is so below four items, and where one half of the items has no weight.

    Raises
    ------
    RoundsError
        The estimator has no parameter.
    """
    if key not in TUNABLE:
        raise RoundsError(f"Estimator '{key}' has no parameter to tune. Choose from: {', '.join(TUNABLE)}.")
    if rounds.n_clusters < 4:
        return ESTIMATORS[key]()
    first = first_half(rounds, seed)
    told = all(rounds.take(half).weight.any() for half in (first, ~first))
    return Tuned(key, rounds, seed) if told else ESTIMATORS[key]()


def first_half(rounds: LoggedRounds, seed: int) -> BoolArray:
    """True for the rows of half of the items, drawn at random, shape (n,)."""
    order = np.random.default_rng(seed).permutation(rounds.n_clusters)
    return np.asarray((order < rounds.n_clusters // 2)[rounds.cluster_codes])
