"""One outcome (a click, or a conversion given a click): item baseline, ensemble of title effects, calibration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray
from ..features import support
from ..features.transformer import FeatureBlock
from ..items import Item
from . import calibration
from .baseline import shrink
from .effect import Basis, Member, TrainingSet, predict_effect, predict_trees
from .item_context import ItemContext, ItemTotals
from .linear import ArmCounts


@dataclass(frozen=True)
class OutcomePrediction:
    """Prediction for n pairs, shape (n,) each.

    Parameters
    ----------
    probability
        Calibrated chance of the outcome.
    effect, effect_std
        Title effect in log-odds and its standard deviation. 0 is the item's average rate over its logged titles (for
        an item without logs: that of items like it).
    logit_std
        Standard deviation of the log-odds, item baseline included.
    support
        Similarity of the title to logged ones, in [0, 1].
    """

    probability: FloatArray
    effect: FloatArray
    effect_std: FloatArray
    logit_std: FloatArray
    support: FloatArray


@dataclass(frozen=True)
class JointEffects:
    """Title effects of n pairs together, in log-odds: mean + ``factors`` u + ``rest`` e, u and e standard normal.

    u is the same for all pairs (what the ensemble's members disagree on), so titles and items that the members judge
    alike are uncertain alike; e is each title's own. The variance, ``sum(factors ** 2) + rest ** 2``, is that of
    `OutcomePrediction.effect_std`.

    Parameters
    ----------
    mean
        Shape (n,); differences between titles of one item are what counts.
    factors
        Shape (n, n_members).
    rest
        Standard deviation of what no factor tells, shape (n,).
    """

    mean: FloatArray
    factors: FloatArray
    rest: FloatArray


@dataclass(frozen=True)
class Outcome:
    """Fitted model of one outcome.

    Parameters
    ----------
    basis, members
        Title effect.
    slope, spread
        Calibration of the effect and of its standard deviation.
    logged_range
        Range of the logged titles.
    pace
        Log-odds lost per standard deviation outside that range.
    context
        Item's fields to the log-odds of its average rate, and to its level: those less the intercept.
    platt
        Calibration of what the context says of an item's average logged title.
    context_std
        Standard deviation of the log-odds of an item without history around its context.
    known
        Item id -> row of ``intercepts``: items with history.
    intercepts
        Shrunken intercept, its standard deviation and the level, shape (n_known, 3).
    """

    basis: Basis
    members: tuple[Member, ...]
    slope: float
    spread: calibration.EnsembleSpread
    logged_range: support.Support
    pace: float
    context: ItemContext
    platt: calibration.Platt
    context_std: float
    known: Mapping[str, int]
    intercepts: FloatArray

    def raw_effect(self, block: FeatureBlock, *, threads: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Calibrated mean and standard deviation over the members, and the excess outside the logged titles, (n,)."""
        center, each = predict_effect(self.basis, self.members, block, threads=threads)
        excess = self.logged_range.excess(block.dense)
        mean = self.slope * center - self.pace * excess
        std = self.spread.apply(self.slope * each.std(axis=1, ddof=1 if each.shape[1] > 1 else 0))
        return mean, np.hypot(std, self.pace * excess / 2), excess

    def joint_effects(self, block: FeatureBlock, *, threads: int) -> JointEffects:
        """Effects of pairs whose features are ``block`` with their covariance."""
        center, each = predict_effect(self.basis, self.members, block, threads=threads)
        excess = self.logged_range.excess(block.dense)
        apart = each - each.mean(axis=1, keepdims=True)
        factors = self.slope * self.spread.scale * apart / np.sqrt(max(each.shape[1] - 1, 1))
        rest = np.hypot(self.spread.rest, self.pace * excess / 2)
        return JointEffects(self.slope * center - self.pace * excess, factors, rest)

    def predict(self, items: Sequence[Item], block: FeatureBlock, *, threads: int) -> OutcomePrediction:
        """Prediction for pairs whose features are ``block``."""
        effect, effect_std, excess = self.raw_effect(block, threads=threads)
        base, base_std, level = self._baseline(items)
        logit = base + effect
        return OutcomePrediction(
            1.0 / (1.0 + np.exp(-logit)), effect - level, effect_std, np.hypot(base_std, effect_std), np.exp(-excess)
        )

    def _baseline(self, items: Sequence[Item]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Intercept, its standard deviation and the level of the logged titles of each pair's item, (n,) each."""
        rows = np.array([self.known.get(item.item_id, -1) for item in items], dtype=np.int64)
        out = np.empty((len(items), 3))
        out[rows >= 0] = self.intercepts[rows[rows >= 0]]
        position: dict[int, int] = {}
        strangers: list[Item] = []
        where = np.flatnonzero(rows < 0).tolist()
        for i in where:  # each item once, however many titles it has
            if id(items[i]) not in position:
                position[id(items[i])] = len(strangers)
                strangers.append(items[i])
        if strangers:
            predicted = self.context.predict(strangers)
            index = [position[id(items[i])] for i in where]
            out[where, 0] = (self.platt.apply(predicted[:, 0]) - predicted[:, 1])[index]
            out[where, 1] = self.context_std
            out[where, 2] = predicted[index, 1]
        return out[:, 0], out[:, 1], out[:, 2]


def finish(
    training: TrainingSet,
    members: Sequence[Member],
    rows: ArmCounts,
    items: Sequence[Item],
    block: FeatureBlock,
    *,
    seed: np.random.SeedSequence,
    threads: int,
    before: ItemTotals | None = None,
) -> Outcome:
    """Calibrate the members on the items each left out, and fit the item baseline around them.

    Parameters
    ----------
    training
        Data that the members were fitted on.
    members
        Fitted members.
    rows
        Counts of the arms by item; ``training.rows`` where titles were compared within items.
    items
        Train items in the order of ``rows.item``.
    block
        Features of the logged titles.
    before
        Counts of the items in the outcome that this one follows on: clicks, for conversions.
    """
    basis = training.basis
    center, each = predict_effect(basis, members, block, threads=threads)
    slope, spread = _calibrate(training, members, block, each, threads=threads)
    logged_range = support.Support.fit(basis.features.names, block.dense)
    pace = support.pace(slope * center)
    effect = slope * center - pace * logged_range.excess(block.dense)
    return _with_baseline(
        training, tuple(members), rows, items, effect, slope, spread, logged_range, pace, before, seed
    )


def _calibrate(
    training: TrainingSet, members: Sequence[Member], block: FeatureBlock, each: FloatArray, *, threads: int
) -> tuple[float, calibration.EnsembleSpread]:
    """Slope and spread of the effect on items left out: linear scores without the item, trees that never saw it."""
    rows, noise = training.rows, training.basis.noise
    left_out = np.column_stack([member.item_weight[rows.item] == 0 for member in members])
    count = left_out.sum(axis=1)
    told = count >= min(2, len(members))
    if not told.any():
        return 1.0, calibration.EnsembleSpread()
    trees = predict_trees(members, training.basis.table(block, training.fold_score), threads=threads)
    honest = (training.fold_score + np.sum(trees * left_out, axis=1) / np.maximum(count, 1))[told]
    sub = ArmCounts(rows.successes[told], rows.trials[told], rows.item[told], rows.n_items)
    slope = calibration.effect_slope(sub, honest, noise)
    mean = np.sum(each * left_out, axis=1) / np.maximum(count, 1)
    deviation = np.where(left_out, each - mean[:, None], 0.0)[told]
    std = np.sqrt(np.sum(deviation**2, axis=1) / np.maximum(count[told] - 1, 1))
    return slope, calibration.fit_spread(sub, slope * honest, slope * std, noise)


def _with_baseline(
    training: TrainingSet,
    members: tuple[Member, ...],
    rows: ArmCounts,
    items: Sequence[Item],
    effect: FloatArray,
    slope: float,
    spread: calibration.EnsembleSpread,
    logged_range: support.Support,
    pace: float,
    before: ItemTotals | None,
    seed: np.random.SeedSequence,
) -> Outcome:
    noise = training.basis.noise
    trials, clicks = rows.item_sum(rows.trials), rows.item_sum(rows.successes)
    level = _level(rows, effect, noise.overdispersion)
    worth = 1.0 / noise.overdispersion
    context, held_out = ItemContext.fit(
        items, ItemTotals(worth * clicks, worth * trials), level, rng=np.random.default_rng(seed), before=before
    )
    prior, platt = held_out[:, 0] - held_out[:, 1], calibration.Platt()
    for _ in range(2):  # the calibration weighs items by a correlation that depends on the calibrated rates
        _, _, strength = shrink(rows, effect, prior, noise.overdispersion)
        platt = calibration.fit_platt(held_out[:, 0], clicks, trials, 1.0 / (1.0 + strength))
        prior = platt.apply(held_out[:, 0]) - held_out[:, 1]
    intercept, intercept_std, strength = shrink(rows, effect, prior, noise.overdispersion)
    rate = float(clicks.sum() / max(trials.sum(), 1e-12))
    context_std = float(np.sqrt(1.0 / max((strength + 1.0) * rate * (1 - rate), 1e-9))) if 0 < rate < 1 else 1.0
    return Outcome(
        training.basis,
        members,
        slope,
        spread,
        logged_range,
        pace,
        context,
        platt,
        min(context_std, 2.0),
        {item.item_id: i for i, item in enumerate(items)},
        np.column_stack([intercept, intercept_std, level]),
    )


def _level(rows: ArmCounts, effect: FloatArray, overdispersion: float) -> FloatArray:
    """Log-odds between each item's average rate and its intercept, shape (n_items,).

    A mean of rates, since log-odds average lower; around the item's shrunken intercept, since items with next to no
    trials have none of their own.
    """
    weight = np.maximum(rows.trials, 1e-9)
    total = rows.item_sum(weight)
    rate = np.clip(rows.successes.sum() / max(float(rows.trials.sum()), 1e-12), 1e-9, 1 - 1e-9)
    prior = np.log(rate / (1 - rate)) - rows.item_sum(weight * effect) / total
    intercept, _, _ = shrink(rows, effect, prior, overdispersion)
    average = rows.item_sum(weight / (1.0 + np.exp(-(intercept[rows.item] + effect)))) / total
    p = np.clip(average, 1e-9, 1 - 1e-9)
    level: FloatArray = np.log(p / (1 - p)) - intercept
    return level
