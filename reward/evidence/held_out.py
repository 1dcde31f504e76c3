"""Results of a reward model on held-out items, in one frozen record that the run keeps and the commands print."""

from dataclasses import dataclass, field

import numpy as np

from ..arms import Arms
from ..model.reward_model import RewardModel, click_rows, conversion_rows
from ..plain import Plain
from . import metrics, reliability
from .ceiling import noise_ceiling
from .slope import effect_slope


@dataclass(frozen=True)
class HeldOutFigures(Plain):
    """Figures on held-out items; intervals are 95%, by item bootstrap.

    Parameters
    ----------
    items, arms, pairs, significant_pairs
        Data behind the figures: items with at least two titles of different rates, and their pairs.
    pair_accuracy
        Share of an item's pairs of titles whose observed order the model predicts; items have equal weights.
    pair_accuracy_significant
        The same for pairs that differ significantly after overdispersion; None without such a pair.
    noise_ceiling
        The ``pair_accuracy`` of a model that knows the true rates: even it does not know which way chance
        went (`reward.evidence.ceiling`). None where clicks are too few to tell.
    effect_slope
        Observed share of the predicted difference between an item's titles: 1 if calibrated, below 1 for effects that
        are too large (`reward.evidence.slope`). None where no prediction differs within an item.
    picked_lift
        CTR of the title the model would pick, relative to the item's average title, minus one.
    best_lift
        The same for the title with the highest observed rate: what hindsight would gain, noise included.
    hit_rate, hit_chance
        Share of items whose picked title has the highest observed rate, and what a blind pick would have.
    calibration_error
        Expected calibration error of P(click), absolute.
    reliability
        Predicted and observed rate by bins of the prediction.
    normalised_entropy
        Log loss of P(click) relative to always predicting the base rate; None without a click.
    interval_coverage
        Share of the arms whose clicks lie in the 90% interval of their prediction, click noise included.
    base_rate
        Clicks per impression of the held-out arms.
    overdispersion
        Variance of the counts relative to the binomial, as the model estimated it.
    conversion_calibration_error, conversion_rate
        The same two of P(conversion | click), None without conversions.
    """

    items: int
    arms: int
    pairs: int
    significant_pairs: int
    pair_accuracy: metrics.Interval
    pair_accuracy_significant: metrics.Interval | None
    noise_ceiling: float | None
    picked_lift: metrics.Interval
    best_lift: float
    hit_rate: metrics.Interval
    hit_chance: float
    calibration_error: float
    reliability: tuple[reliability.Bin, ...]
    normalised_entropy: float | None
    interval_coverage: float | None
    base_rate: float
    overdispersion: float
    conversion_calibration_error: float | None
    conversion_rate: float | None
    effect_slope: metrics.Interval | None = field(default=None, kw_only=True)  # runs of 0.1.0 have none


def held_out_figures(model: RewardModel, arms: Arms, seed: int) -> HeldOutFigures | None:
    """Figures of ``model`` on ``arms`` of items it was not fitted on.

    Returns
    -------
    None where no item has two titles of different rates, so that nothing can be said.
    """
    rows = click_rows(arms)
    titles = [str(title) for title in arms.title]
    predicted = model.predict(arms.arm_items, titles)
    click = model.click.predict(arms.arm_items, model.block(arms.arm_items, titles), threads=model.threads)
    p = predicted.p_click
    phi = model.click.basis.noise.overdispersion
    tallies = metrics.tally(rows, predicted.effect, phi)
    if not tallies.pairs.sum():
        return None
    ratios = np.array(
        [
            metrics.alike(tallies.right, tallies.pairs),
            metrics.alike(tallies.right_significant, tallies.significant),
            [tallies.picked, tallies.mean],
            [tallies.hit, (tallies.pairs > 0).astype(np.float64)],
        ]
    )
    accuracy, significant, ratio, hit = metrics.bootstrap(ratios, tallies, seed)
    conversions = conversion_rows(arms) if predicted.p_conversion is not None else None
    return HeldOutFigures(
        items=int(np.sum(tallies.pairs > 0)),
        arms=len(arms),
        pairs=int(tallies.pairs.sum()),
        significant_pairs=int(tallies.significant.sum()),
        pair_accuracy=accuracy,
        pair_accuracy_significant=significant if tallies.significant.sum() else None,
        noise_ceiling=noise_ceiling(rows, phi),
        picked_lift=metrics.Interval(ratio.value - 1, ratio.low - 1, ratio.high - 1),
        best_lift=float(tallies.best.sum() / tallies.mean.sum() - 1) if tallies.mean.sum() else 0.0,
        hit_rate=hit,
        hit_chance=float(tallies.chance[tallies.pairs > 0].mean()),
        calibration_error=reliability.calibration_error(p, rows),
        reliability=reliability.reliability(p, rows, seed),
        normalised_entropy=reliability.normalised_entropy(p, rows),
        interval_coverage=reliability.interval_coverage(p, p * (1 - p) * click.logit_std, rows, phi, seed),
        base_rate=float(rows.successes.sum() / max(rows.trials.sum(), 1e-12)),
        overdispersion=phi,
        conversion_calibration_error=(
            reliability.calibration_error(predicted.p_conversion, conversions)
            if predicted.p_conversion is not None and conversions is not None
            else None
        ),
        conversion_rate=(
            float(conversions.successes.sum() / max(conversions.trials.sum(), 1e-12)) if conversions else None
        ),
        effect_slope=effect_slope(rows, predicted.effect),
    )
