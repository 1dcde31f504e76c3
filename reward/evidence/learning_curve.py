"""Learning curve: how much the model improves with more items, which tells if more logs would help."""

from dataclasses import dataclass

import numpy as np

from ..arms import Arms
from ..arrays import Float32Array
from ..model.effect import TrainingSet
from ..model.reward_model import RewardModel, click_rows
from . import metrics

SHARES = (0.125, 0.25, 0.5)
_MIN_ITEMS = 8


@dataclass(frozen=True)
class CurvePoint:
    """Pair accuracy on held-out items of a model that learned from n items."""

    items: int
    pair_accuracy: metrics.Interval


class LearningCurve:
    """Fits the linear part of the title effect on shares of the train items, all at once, while the model is fitted.

    Columns and prior variances are the whole fit's, and the trees are left out, so a curve costs less than one more
    member of the ensemble.

    Parameters
    ----------
    seed
        Draws the items; a larger share contains the smaller ones.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._items: list[int] = []
        self._coefficients: Float32Array | None = None

    def watch(self, outcome: str, training: TrainingSet) -> None:
        """To be called by `RewardModel.fit` (its ``watch``)."""
        if outcome != "click":
            return
        rows = training.rows
        rank = np.random.default_rng([self._seed, 3]).permutation(rows.n_items)
        self._items = [n for share in SHARES if (n := int(share * rows.n_items)) >= _MIN_ITEMS]
        if self._items:
            chosen = rank[rows.item][:, None] < np.array(self._items)
            self._coefficients = training.coefficients(chosen.astype(np.float64))

    def points(self, model: RewardModel, arms: Arms) -> tuple[CurvePoint, ...]:
        """Points of the curve on ``arms`` of held-out items, the last with all train items; empty without any."""
        if self._coefficients is None:
            return ()
        basis, rows = model.click.basis, click_rows(arms)
        coefficients = np.column_stack([self._coefficients, basis.coefficients])
        scores = basis.linear_scores(model.block(arms.arm_items, [str(title) for title in arms.title]), coefficients)
        out = []
        for n, score in zip([*self._items, len(model.click.known)], scores.T, strict=True):
            tallies = metrics.tally(rows, np.asarray(score, dtype=np.float64))
            if not tallies.pairs.sum():
                return ()
            (accuracy,) = metrics.bootstrap(metrics.alike(tallies.right, tallies.pairs)[None], tallies, self._seed)
            out.append(CurvePoint(n, accuracy))
        return tuple(out)
