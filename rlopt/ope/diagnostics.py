"""Diagnostics of an evaluation: how much of the policy the logs have shown, and how far its titles are from theirs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reward.arrays import FloatArray, IntArray
from reward.plain import Plain
from reward.text import same_text_key, words

from .estimators import ESTIMATORS, LoggedRounds
from .intervals import clustered_interval
from .weights import effective_sample_size

SMALLEST_TOLD = 1e-4  # smaller shares are written as words


@dataclass(frozen=True)
class Overlap(Plain):
    """Overlap of the evaluation policy with the logs.

    Parameters
    ----------
    mass
        Mean over items of the policy's probability of writing one of the item's logged titles.
    ess, effective_items, max_weight
        Effective sample size of the importance weights in impressions, their effective number of items, their maximum.
    n_impressions
        Impressions of the logged titles.
    usable
        True where mass and effective items reach what exact estimators need.
    message
        The same in one line.
    heaviest_share
        Share of the total weight that the heaviest hundredth of the impressions carries.
    """

    mass: float
    ess: float
    effective_items: float
    max_weight: float
    n_impressions: float
    usable: bool
    message: str
    heaviest_share: float = 0.0


def overlap(rounds: LoggedRounds, mass: FloatArray, *, min_mass: float, min_items: float) -> Overlap:
    """Check that the logs overlap enough with the policy for exact off-policy estimators.

    Parameters
    ----------
    rounds
        Rounds of the test items' logged titles, weights = policy probability / propensity, clustered by item.
    mass
        The policy's probability of the item's logged titles together, shape (n_items,).
    min_mass, min_items
        Least mean mass and least effective number of items (of the items' summed weights).
    """
    mean_mass = float(mass.mean())
    ess = effective = 0.0
    if (largest := float(rounds.weight.max())) > 0:
        weight = rounds.weight / largest  # squares of tiny weights would underflow
        per_item = rounds.cluster_sums(weight)
        ess = effective_sample_size(weight, rounds.counts)
        effective = effective_sample_size(per_item)
    usable = mean_mass >= min_mass and effective >= min_items
    if usable:
        message = (
            f"overlap: {mean_mass:.1%} of what the policy writes was shown in the logs "
            f"(ESS {ess:,.0f} of {rounds.n_rounds:,.0f} impressions, {effective:.0f} effective items)"
        )
    else:
        message = (
            f"too little overlap: {_percent(mean_mass)} of what the policy writes was ever shown (at least "
            f"{min_mass:.0%} needed), {effective:.0f} effective items (at least {min_items:.0f}); exact "
            "estimators cannot judge it"
        )
    return Overlap(
        mass=mean_mass,
        ess=ess,
        effective_items=effective,
        max_weight=largest,
        n_impressions=rounds.n_rounds,
        usable=usable,
        message=message,
        heaviest_share=heaviest_share(rounds.weight, rounds.counts),
    )


def _percent(share: float) -> str:
    return f"{share:.2%}" if share >= SMALLEST_TOLD else f"less than {SMALLEST_TOLD:.2%}"


def heaviest_share(weight: FloatArray, count: FloatArray, part: float = 0.01) -> float:
    """Share of the total weight on the heaviest ``part`` of the rounds; ``part`` where all weigh the same."""
    order = np.argsort(-weight, kind="stable")
    shown = np.cumsum(count[order])
    carried = np.cumsum((weight * count)[order])
    total = float(carried[-1])
    if total <= 0:
        return 0.0
    return float(np.interp(part * shown[-1], np.concatenate([[0.0], shown]), np.concatenate([[0.0], carried]))) / total


def model_against_weights(rounds: LoggedRounds) -> float:
    """Z-score of the DR correction E[w (r - q)]: far from 0, direct method and doubly robust contradict each other."""
    direct, direct_scores = ESTIMATORS["dm"]().scores(rounds)
    robust, robust_scores = ESTIMATORS["dr"]().scores(rounds)
    gap = clustered_interval(robust - direct, robust_scores - direct_scores, confidence=0.95, log_scale=False)
    return (robust - direct) / gap.std_error if gap.std_error > 0 else 0.0


def sample_ratio_p_value(impressions: FloatArray, propensity: FloatArray, item: IntArray) -> float:
    """p-value of observed against expected traffic shares, pooled over items (chi-square).

    Small where the logged propensities are not those that were used. Items whose propensities do not sum to one over
    their logged titles are compared on the titles that were logged.
    """
    n_items = int(item.max()) + 1
    expected_share = propensity / np.bincount(item, weights=propensity, minlength=n_items)[item]
    expected = np.bincount(item, weights=impressions, minlength=n_items)[item] * expected_share
    freedom = len(item) - len(np.unique(item))
    if freedom == 0:
        return 1.0
    return float(stats.chi2.sf(((impressions - expected) ** 2 / expected).sum(), df=freedom))


@dataclass(frozen=True)
class PropensityCalibration(Plain):
    """Logged propensities against observed traffic shares.

    Parameters
    ----------
    slope, slope_std_error
        Within items, observed shares regressed on propensities: 1 where they are the chances that were used.
    error
        Mean absolute gap between the two over tenths of the impressions, by propensity; chance alone gives some.
    """

    slope: float
    slope_std_error: float
    error: float


def propensity_calibration(
    impressions: FloatArray, propensity: FloatArray, item: IntArray, bins: int = 10
) -> PropensityCalibration | None:
    """Check that propensities are right on average at every level; None where no item's titles differ in theirs.

    Parameters
    ----------
    impressions, propensity
        Of the logged arms, shape (n_arms,).
    item
        Item position of each arm.
    bins
        Groups of arms by propensity, with as many impressions each.
    """
    total, arms, wanted = (np.bincount(item, weights=w) for w in (impressions, None, propensity))
    expected = propensity / wanted[item]
    share = impressions / total[item]
    x, y = expected - 1 / arms[item], share - 1 / arms[item]
    square = float(total[item] @ (x * x))
    if square <= 1e-12 * total.sum():
        return None
    slope = float(total[item] @ (x * y)) / square
    scores = np.bincount(item, weights=total[item] * x * (y - slope * x)) / square
    order = np.argsort(expected, kind="stable")
    due = (total[item] * expected)[order]
    group = np.minimum(bins * (np.cumsum(due) - due / 2) / due.sum(), bins - 1).astype(np.int64)
    gap = np.bincount(group, weights=(impressions[order] - due))
    error = clustered_interval(slope, scores, confidence=0.95, log_scale=False).std_error if len(total) > 1 else np.inf
    return PropensityCalibration(slope, float(error), float(np.abs(gap).sum() / total.sum()))


def nearest_logged(title: str, logged: Sequence[str]) -> tuple[str, float]:
    """The logged title that shares most words with ``title``, and their Jaccard similarity in [0, 1].

    1.0 only for the same text; different texts of the same words get at most 0.99.
    """
    best, similarity = "", 0.0
    key, mine = same_text_key(title), set(words(title))
    for other in logged:
        if same_text_key(other) == key:
            return other, 1.0
        theirs = set(words(other))
        union = len(mine | theirs)
        score = min(len(mine & theirs) / union, 0.99) if union else 0.0
        if score > similarity or not best:
            best, similarity = other, score
    return best, similarity


@dataclass(frozen=True)
class KlEstimate(Plain):
    """KL divergence of one policy to another per title, in nats, along titles the first one wrote.

    Parameters
    ----------
    value
        Mean over titles of the summed per-token divergences over the whole vocabulary: unbiased, never negative.
    std_error
        Its item-clustered standard error.
    log_ratio
        Mean of d = log pi_e - log pi_ref: unbiased too, noisier, may be below zero by chance.
    k3
        Mean of exp(-d) - 1 + d per title: never negative. Reference: Schulman (2020), approximating KL divergence.
    """

    value: float
    std_error: float
    log_ratio: float
    k3: float


def kl_divergence(
    path_kl: FloatArray, log_prob: FloatArray, reference_log_prob: FloatArray, item: IntArray
) -> KlEstimate:
    """KL(pi_e || pi_ref) from titles sampled from pi_e.

    Parameters
    ----------
    path_kl
        Per-token divergences summed along each title, shape (n_titles,), from ``TitlePolicy.kl_to``.
    log_prob, reference_log_prob
        Log-probabilities of the same tokens under both policies, shape (n_titles,).
    item
        Item position of each title, shape (n_titles,).
    """
    mean = float(path_kl.mean())
    scores = np.bincount(item, weights=path_kl - mean) / len(path_kl)
    difference = log_prob - reference_log_prob
    with np.errstate(over="ignore"):  # a title the reference finds impossible: k3 is infinite, and says so
        k3 = float(np.mean(np.expm1(-difference) + difference))
    return KlEstimate(
        value=mean,
        std_error=clustered_interval(mean, scores, confidence=0.95, log_scale=False).std_error,
        log_ratio=float(difference.mean()),
        k3=k3,
    )
