"""Off-policy estimators: small dataclasses, each ``round rewards -> value -> interval``.

Estimators with ``biased`` trade bias for variance, or trust a model: their intervals leave that bias out and cover the
truth less often than they say (`OffPolicyEvaluation` marks them; ``tune=True`` gives the tunable ones the interval of
their least biased candidate).

Notation: r observed reward, w = pi_e(a|x) / pi_0(a|x), q = q_hat(x, a) of the logged title, v = sum_a pi_e(a|x)
q_hat(x, a), E_n the mean over logged rounds. Every estimate equals Open Bandit Pipeline's on the same arrays.

    rounds = LoggedRounds(reward=r, weight=w, q_logged=q, q_policy=v, cluster=item_ids)
    ESTIMATORS["dr"]().estimate(rounds)                        # -> Estimate(value, low, high, ess, ...)
    ESTIMATORS["ips_clip"](max_weight=10.0).estimate(rounds)
"""

from dataclasses import dataclass

import numpy as np

from reward.arrays import FloatArray

from . import weights
from .base import Estimate, Estimator, predictions
from .rounds import LoggedRounds

__all__ = ["ESTIMATORS", "Estimate", "Estimator", "LoggedRounds"]


class _Doubly(Estimator):
    """With the model of the reward; without overlap it falls back on the model, by design."""

    needs_q = True
    needs_weights = False


@dataclass(frozen=True)
class _Clipped(Estimator):
    """min(w, max_weight). Ionides (2008), truncated importance sampling."""

    tunable = "max_weight"
    biased = True
    max_weight: float = 10.0

    def __post_init__(self) -> None:
        self._parameter(0.0, np.inf, open_low=True)

    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Weights cut at max_weight."""
        return weights.clip(rounds.weight, self.max_weight)


@dataclass(frozen=True)
class _SubGaussian(Estimator):
    """w / (1 - lambda + lambda w). Metelli, Russo & Restelli (2021), subgaussian importance sampling."""

    tunable = "lambda_"
    biased = True
    lambda_: float = 0.1

    def __post_init__(self) -> None:
        self._parameter(0.0, 1.0)

    @classmethod
    def grid(cls, rounds: LoggedRounds) -> list[float]:
        """The same for all rounds."""
        return [0.0, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0]

    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Bounded weights w / (1 - lambda + lambda w)."""
        return weights.subgaussian(rounds.weight, self.lambda_)


class IPS(Estimator):
    """Inverse propensity score: E_n[w r]. Unbiased where pi_0 covers pi_e; variance grows with w.

    Reference: Horvitz & Thompson (1952); Strehl, Langford, Li & Kakade (2010).
    """

    key = "ips"


class ClippedIPS(_Clipped):
    """IPS with bounded weights: E_n[min(w, max_weight) r]. Biased towards zero, lower variance.

    Reference: Ionides (2008); Bottou et al. (2013).
    """

    key = "ips_clip"


class SNIPS(Estimator):
    """Self-normalised IPS: E_n[w r] / E_n[w]. Unmoved by a constant added to every reward.

    Reference: Swaminathan & Joachims (2015), the self-normalized estimator for counterfactual learning.
    """

    key = "snips"
    self_normalized = True


class DirectMethod(_Doubly):
    """Direct method: E_n[v]. No variance from weights; as biased as q_hat. Its interval leaves q_hat's error out.

    Reference: Beygelzimer & Langford (2009), the offset tree.
    """

    key = "dm"
    biased = True

    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """One each: the direct method weights no round."""
        return np.ones(len(rounds))

    def _contributions(self, rounds: LoggedRounds, used: FloatArray) -> FloatArray:
        return predictions(rounds)[1]


class DR(_Doubly):
    """Doubly robust: E_n[v + w (r - q)]. Unbiased if either the propensities or q_hat are right.

    Reference: Dudik, Erhan, Langford & Li (2014), doubly robust policy evaluation and optimization.
    """

    key = "dr"


class ClippedDR(_Clipped, _Doubly):
    """DR with bounded weights: E_n[v + min(w, max_weight) (r - q)].

    Reference: Su, Dimakopoulou, Krishnamurthy & Dudik (2020), pessimistic shrinkage.
    """

    key = "dr_clip"


class SelfNormalizedDR(Estimator):
    """Self-normalised DR: E_n[v] + E_n[w (r - q)] / E_n[w].

    Reference: Thomas & Brunskill (2016); Kallus & Uehara (2019).
    """

    key = "sndr"
    needs_q = True
    self_normalized = True


@dataclass(frozen=True)
class SwitchDR(_Doubly):
    """SWITCH-DR: E_n[v + 1{w <= tau} w (r - q)]. Trusts the model where the weight is too large.

    Reference: Wang, Agarwal & Dudik (2017), optimal and adaptive off-policy evaluation in contextual bandits.
    """

    key = "switch_dr"
    tunable = "tau"
    biased = True
    tau: float = 10.0

    def __post_init__(self) -> None:
        self._parameter(0.0, np.inf)

    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Weights up to tau, others 0."""
        return weights.switch(rounds.weight, self.tau)


@dataclass(frozen=True)
class DRos(_Doubly):
    """DR with optimistic shrinkage: E_n[v + lambda w / (w^2 + lambda) (r - q)]; lambda 0 is dm, infinite is dr.

    Reference: Su, Dimakopoulou, Krishnamurthy & Dudik (2020), doubly robust off-policy evaluation with shrinkage.
    """

    key = "dros"
    tunable = "lambda_"
    biased = True
    lambda_: float = 100.0

    def __post_init__(self) -> None:
        self._parameter(0.0, np.inf)

    @classmethod
    def grid(cls, rounds: LoggedRounds) -> list[float]:
        """A weight of sqrt(lambda) is shrunk by half; the first is all but dr."""
        limits = super().grid(rounds)
        return [1e6 * limits[0] ** 2, *(limit**2 for limit in limits)] if limits else []

    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Shrunken weights lambda w / (w^2 + lambda)."""
        return weights.optimistic_shrinkage(rounds.weight, self.lambda_)


class SubGaussianIPS(_SubGaussian):
    """Sub-Gaussian IPS: E_n[w / (1 - lambda + lambda w) r].

    Reference: Metelli, Russo & Restelli (2021), subgaussian and differentiable importance sampling.
    """

    key = "sg_ips"


class SubGaussianDR(_SubGaussian, _Doubly):
    """Sub-Gaussian DR: E_n[v + w / (1 - lambda + lambda w) (r - q)].

    Reference: Metelli, Russo & Restelli (2021), subgaussian and differentiable importance sampling.
    """

    key = "sg_dr"


class MarginalizedIPS(Estimator):
    """Marginalised IPS: E_n[w(x, e) r] with w(x, e) = pi_e(e|x) / pi_0(e|x) of the logged title's embedding e.

    Unbiased where a title acts on the reward through e alone; its weights are smaller than those of single titles, and
    defined for titles nobody has shown. Rounds without ``marginal_weight`` embed a title as itself: then it is IPS.
    Reference: Saito & Joachims (2022), off-policy evaluation for large action spaces via embeddings.
    """

    key = "mips"
    needs_marginal = True
    biased = True

    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Weights of the embeddings, see `rlopt.ope.weights.marginal_weight`."""
        return rounds.weight if rounds.marginal_weight is None else rounds.marginal_weight


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
        MarginalizedIPS,
    )
}
