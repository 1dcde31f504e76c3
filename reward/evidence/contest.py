"""Contest of two reward models: which orders an item's titles better, on arms of items neither was fitted on."""

from dataclasses import dataclass

import numpy as np

from ..arms import Arms
from ..arrays import FloatArray
from ..model.linear import ArmCounts
from ..model.reward_model import RewardModel, click_rows
from ..plain import Plain
from . import metrics

MIN_ITEMS = 20
"""With fewer, the bootstrap of items is too narrow to tell which model is worse: that of one item has no width."""


@dataclass(frozen=True)
class Contest(Plain):
    """New model against old model on held-out items; intervals are 95%, by item bootstrap.

    Parameters
    ----------
    items, arms, impressions
        Data behind the figures.
    old, new
        Figures of each model: pair accuracy, picked lift and log-likelihood (per click, in nats, of which of its
        item's titles a click fell on; 0 would be certainty).
    pair_accuracy, picked_lift, log_likelihood
        New less old.
    """

    items: int
    arms: int
    impressions: int
    old: dict[str, float]
    new: dict[str, float]
    pair_accuracy: metrics.Interval
    picked_lift: metrics.Interval
    log_likelihood: metrics.Interval

    @property
    def tells(self) -> bool:
        """True if there are enough items for the intervals to mean anything."""
        return self.items >= MIN_ITEMS

    @property
    def new_is_worse(self) -> bool:
        """True if the new model is worse beyond chance, in pair accuracy or in log-likelihood."""
        return self.tells and (self.pair_accuracy.high < 0 or self.log_likelihood.high < 0)


def contest(old: RewardModel, new: RewardModel, arms: Arms, seed: int) -> Contest | None:
    """Compare two models on ``arms`` of items that neither was fitted on.

    Returns
    -------
    None where no item has two titles of different rates, so that nothing can be said.
    """
    rows = click_rows(arms)
    titles = [str(title) for title in arms.title]
    effects = [model.predict(arms.arm_items, titles).effect for model in (old, new)]
    before, after = (metrics.tally(rows, effect) for effect in effects)
    if not before.pairs.sum():
        return None
    likelihood = [item_log_likelihood(rows, effect) for effect in effects]
    clicks = rows.item_sum(rows.successes)
    ratios = np.array(
        [
            metrics.alike(after.right - before.right, before.pairs),
            [after.picked - before.picked, before.mean],
            [likelihood[1] - likelihood[0], clicks],
        ]
    )
    accuracy, lift, gain = metrics.bootstrap(ratios, before, seed)
    several = before.pairs > 0

    def figures(tallies: metrics.ItemTallies, item_likelihood: FloatArray) -> dict[str, float]:
        return {
            "pair_accuracy": metrics.pair_accuracy(tallies),
            "picked_lift": metrics.picked_lift(tallies),
            "log_likelihood": float(item_likelihood[several].sum() / max(clicks[several].sum(), 1e-12)),
        }

    return Contest(
        items=int(several.sum()),
        arms=int(several[rows.item].sum()),
        impressions=int(arms.impressions[several[rows.item]].sum()),
        old=figures(before, likelihood[0]),
        new=figures(after, likelihood[1]),
        pair_accuracy=accuracy,
        picked_lift=lift,
        log_likelihood=gain,
    )


def item_log_likelihood(rows: ArmCounts, effect: FloatArray) -> FloatArray:
    """Log-likelihood of the titles each item's clicks fell on, given the exposure of its titles; shape (n_items,).

    The multinomial likelihood of the conditional logit at low rates: a click falls on title j of its item with chance
    ``trials_j exp(effect_j) / sum_k trials_k exp(effect_k)``, so that the item's own rate plays no part.
    """
    expected = rows.trials * np.exp(np.clip(effect, -30.0, 30.0))
    share = expected / np.maximum(rows.item_sum(expected)[rows.item], 1e-300)
    return rows.item_sum(rows.successes * np.log(np.maximum(share, 1e-300)))
