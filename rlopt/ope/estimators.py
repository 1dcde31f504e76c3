"""Off-policy estimators: small dataclasses, each ``round rewards -> value -> interval``.

Notation: r observed reward, w = pi_e(a|x) / pi_0(a|x), q = q_hat(x, a) of the logged title, v = sum_a pi_e(a|x)
q_hat(x, a), E_n the mean over logged rounds. Every estimate equals Open Bandit Pipeline's on the same arrays.

    rounds = LoggedRounds(reward=r, weight=w, q_logged=q, q_policy=v, cluster=item_ids)
    ESTIMATORS["dr"]().estimate(rounds)                        # -> Estimate(value, low, high, ess, ...)
    ESTIMATORS["ips_clip"](max_weight=10.0).estimate(rounds)
"""

from dataclasses import dataclass

import numpy as np

from . import weights
from .base import Estimate, Estimator, predictions
from .rounds import FloatArray, LoggedRounds

__all__ = ["ESTIMATORS", "Estimate", "Estimator", "LoggedRounds"]


class _WeightedReward(Estimator):
    """E_n[w r] with this estimator's weights."""

    def round_rewards(self, rounds: LoggedRounds) -> FloatArray:
        return self.weights(rounds) * rounds.reward


class _CorrectedModel(Estimator):
    """E_n[v + w (r - q)] with this estimator's weights."""

    needs_q = True
    needs_weights = False  # without overlap it falls back on the model, by design

    def round_rewards(self, rounds: LoggedRounds) -> FloatArray:
        q_logged, q_policy = predictions(rounds)
        return q_policy + self.weights(rounds) * (rounds.reward - q_logged)


@dataclass(frozen=True)
class IPS(_WeightedReward):
    """Inverse propensity score: E_n[w r]. Unbiased where pi_0 covers pi_e; variance grows with w.

    Reference: Horvitz & Thompson (1952); Strehl, Langford, Li & Kakade (2010).
    """

    key = "ips"


@dataclass(frozen=True)
class ClippedIPS(_WeightedReward):
    """IPS with bounded weights: E_n[min(w, max_weight) r]. Biased towards zero, lower variance.

    Reference: Ionides (2008); Bottou et al. (2013).
    """

    key = "ips_clip"
    max_weight: float = 10.0

    def __post_init__(self) -> None:
        self._parameter("max_weight", 0.0, np.inf, open_low=True)

    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Weights cut at max_weight."""
        return weights.clip(rounds.weight, self.max_weight)


@dataclass(frozen=True)
class SNIPS(Estimator):
    """Self-normalised IPS: E_n[w r] / E_n[w]. Unmoved by a constant added to every reward.

    Reference: Swaminathan & Joachims (2015), the self-normalized estimator for counterfactual learning.
    """

    key = "snips"

    def round_rewards(self, rounds: LoggedRounds) -> FloatArray:
        """Each row's w r / E_n[w], shape (n,)."""
        return rounds.weight * rounds.reward / rounds.mean(rounds.weight)

    def influence(self, rounds: LoggedRounds, round_rewards: FloatArray, value: float) -> FloatArray:
        """The ratio linearised: w (r - value) / E_n[w], shape (n,)."""
        return rounds.weight * (rounds.reward - value) / rounds.mean(rounds.weight)


@dataclass(frozen=True)
class DirectMethod(Estimator):
    """Direct method: E_n[v]. No variance from weights; as biased as q_hat. Its interval leaves q_hat's error out.

    Reference: Beygelzimer & Langford (2009), the offset tree.
    """

    key = "dm"
    needs_q = True
    needs_weights = False

    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """One each: the direct method weights no round."""
        return np.ones(len(rounds))

    def round_rewards(self, rounds: LoggedRounds) -> FloatArray:
        """Each row's v, shape (n,)."""
        return predictions(rounds)[1]


@dataclass(frozen=True)
class DR(_CorrectedModel):
    """Doubly robust: E_n[v + w (r - q)]. Unbiased if either the propensities or q_hat are right.

    Reference: Dudik, Erhan, Langford & Li (2014), doubly robust policy evaluation and optimization.
    """

    key = "dr"


@dataclass(frozen=True)
class ClippedDR(_CorrectedModel):
    """DR with bounded weights: E_n[v + min(w, max_weight) (r - q)].

    Reference: Su, Dimakopoulou, Krishnamurthy & Dudik (2020), pessimistic shrinkage.
    """

    key = "dr_clip"
    max_weight: float = 10.0

    def __post_init__(self) -> None:
        self._parameter("max_weight", 0.0, np.inf, open_low=True)

    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Weights cut at max_weight."""
        return weights.clip(rounds.weight, self.max_weight)


@dataclass(frozen=True)
class SelfNormalizedDR(Estimator):
    """Self-normalised DR: E_n[v] + E_n[w (r - q)] / E_n[w].

    Reference: Thomas & Brunskill (2016); Kallus & Uehara (2019).
    """

    key = "sndr"
    needs_q = True

    def round_rewards(self, rounds: LoggedRounds) -> FloatArray:
        """Each row's v + w (r - q) / E_n[w], shape (n,)."""
        q_logged, q_policy = predictions(rounds)
        return q_policy + rounds.weight * (rounds.reward - q_logged) / rounds.mean(rounds.weight)

    def influence(self, rounds: LoggedRounds, round_rewards: FloatArray, value: float) -> FloatArray:
        """Both means linearised, shape (n,)."""
        q_logged, q_policy = predictions(rounds)
        mean_v, mean_w = rounds.mean(q_policy), rounds.mean(rounds.weight)
        correction = value - mean_v
        return q_policy - mean_v + rounds.weight * (rounds.reward - q_logged - correction) / mean_w


@dataclass(frozen=True)
class SwitchDR(_CorrectedModel):
    """SWITCH-DR: E_n[v + 1{w <= tau} w (r - q)]. Trusts the model where the weight is too large.

    Reference: Wang, Agarwal & Dudik (2017), optimal and adaptive off-policy evaluation in contextual bandits.
    """

    key = "switch_dr"
    tau: float = 10.0

    def __post_init__(self) -> None:
        self._parameter("tau", 0.0, np.inf)

    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Weights up to tau, others 0."""
        return weights.switch(rounds.weight, self.tau)


@dataclass(frozen=True)
class DRos(_CorrectedModel):
    """DR with optimistic shrinkage: E_n[v + lambda w / (w^2 + lambda) (r - q)]; lambda 0 is dm, infinite is dr.

    Reference: Su, Dimakopoulou, Krishnamurthy & Dudik (2020), doubly robust off-policy evaluation with shrinkage.
    """

    key = "dros"
    lambda_: float = 100.0

    def __post_init__(self) -> None:
        self._parameter("lambda_", 0.0, np.inf)

    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Shrunken weights lambda w / (w^2 + lambda)."""
        return weights.optimistic_shrinkage(rounds.weight, self.lambda_)


@dataclass(frozen=True)
class SubGaussianIPS(_WeightedReward):
    """Sub-Gaussian IPS: E_n[w / (1 - lambda + lambda w) r].

    Reference: Metelli, Russo & Restelli (2021), subgaussian and differentiable importance sampling.
    """

    key = "sg_ips"
    lambda_: float = 0.1

    def __post_init__(self) -> None:
        self._parameter("lambda_", 0.0, 1.0)

    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Bounded weights w / (1 - lambda + lambda w)."""
        return weights.subgaussian(rounds.weight, self.lambda_)


@dataclass(frozen=True)
class SubGaussianDR(_CorrectedModel):
    """Sub-Gaussian DR: E_n[v + w / (1 - lambda + lambda w) (r - q)].

    Reference: Metelli, Russo & Restelli (2021), subgaussian and differentiable importance sampling.
    """

    key = "sg_dr"
    lambda_: float = 0.1

    def __post_init__(self) -> None:
        self._parameter("lambda_", 0.0, 1.0)

    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Bounded weights w / (1 - lambda + lambda w)."""
        return weights.subgaussian(rounds.weight, self.lambda_)


ESTIMATORS: dict[str, type[Estimator]] = {
    estimator.key: estimator
    for estimator in (
        IPS,
        ClippedIPS,
        SNIPS,
        DirectMethod,
        DR,
        ClippedDR,
        SelfNormalizedDR,
        SwitchDR,
        DRos,
        SubGaussianIPS,
        SubGaussianDR,
    )
}
