"""LightGBM on what the linear title effect leaves over: trees whose loss compares titles of one item only.

The loss is the cross-entropy of arm rates with an item intercept profiled out at every round (the intercept at which
an item's expected clicks equal its observed ones). At low rates it is the multinomial likelihood of which title of
the item a click fell on, so nothing about the item itself can leak into the title effect. Items that were never or
always clicked, or have one title, say nothing about titles and take no part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import lightgbm as lgb
import numpy as np

from ..arrays import BoolArray, Float32Array, FloatArray
from .linear import ArmCounts, Noise

MAX_ROUNDS = 250
PATIENCE = 25
MIN_TITLES = 10  # in a leaf


def parameters(seed: int, threads: int) -> dict[str, object]:
    """LightGBM's parameters, fit for 5,000 to 100,000 arms; deterministic for a seed and a number of threads.

    A leaf's value is penalised, and its size bounded, in units of information (about the number of clicks).
    """
    return {
        "num_leaves": 15,
        "learning_rate": 0.06,
        "lambda_l2": 60.0,
        "min_sum_hessian_in_leaf": 40.0,
        "min_data_in_leaf": MIN_TITLES,
        "feature_fraction": 0.5,
        "max_cat_to_onehot": 8,
        "cat_smooth": 20.0,
        "seed": seed,
        "num_threads": threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def choice_log_likelihood(rows: ArmCounts, effect: FloatArray, mask: BoolArray) -> float:
    """Mean log-likelihood, per click, of the titles the clicks fell on, over the arms in ``mask`` (whole items)."""
    logit = np.clip(effect, -30.0, 30.0)
    expected = rows.trials * np.exp(logit)
    share = expected / np.maximum(rows.item_sum(expected)[rows.item], 1e-300)
    clicks = rows.successes[mask]
    return float(np.sum(clicks * np.log(np.maximum(share[mask], 1e-300))) / max(clicks.sum(), 1e-12))


@dataclass(frozen=True)
class ItemLoss:
    """The loss of this module, for arms of whole items.

    Parameters
    ----------
    rows
        Counts of the arms.
    offset
        Title effect the trees start from, shape (n,).
    weight
        Weight of each arm, that of its item, shape (n,).
    noise
        Overdispersion and title variance, which limit the weight of an arm with many clicks.
    """

    rows: ArmCounts
    offset: FloatArray
    weight: FloatArray
    noise: Noise

    def gradients(self, prediction: FloatArray) -> tuple[FloatArray, FloatArray]:
        """First and second derivative at the trees' output, shape (n,) each."""
        effect = self.offset + prediction
        intercepts = self.rows.intercepts(effect, steps=4, least=0.0)
        p = 1.0 / (1.0 + np.exp(-(intercepts[self.rows.item] + effect)))
        information = self.rows.trials * p * (1 - p)
        scale = self.weight / (self.noise.overdispersion + information * self.noise.title_variance)
        scale = np.where(self._tells, scale, 0.0)
        gradient, hessian = scale * (self.rows.trials * p - self.rows.successes), scale * information
        # Weighing the arms moves the intercept: with the step to where the weighed gradients sum to 0, the item's own
        # level is projected out, as in the linear model.
        total = np.maximum(self.rows.item_sum(hessian), 1e-12)
        step = np.clip(self.rows.item_sum(gradient) / total, -2.0, 2.0)
        return gradient - hessian * step[self.rows.item], np.maximum(hessian, 1e-9)

    @cached_property
    def _tells(self) -> BoolArray:
        """True where the arm's item has two titles, a success and a failure, shape (n,)."""
        rows = self.rows
        successes, trials = rows.item_sum(rows.successes), rows.item_sum(rows.trials)
        several = rows.item_sum((rows.trials > 0).astype(np.float64)) >= 2
        return np.asarray((several & (successes > 0) & (successes < trials))[rows.item], dtype=np.bool_)


@dataclass(frozen=True)
class TreeTask:
    """Task of growing the trees of one member of the ensemble.

    Parameters
    ----------
    data
        Features of the arms, shape (n, n_features).
    rows
        Counts of the arms.
    offset
        Title effect the trees start from (the out-of-fold linear score), shape (n,).
    item_weight
        Times each item was drawn into this member's bootstrap sample, shape (n_items,); items with 0 decide when to
        stop.
    noise
        Overdispersion and title variance.
    seed, threads
        Of LightGBM.
    """

    data: lgb.Dataset
    rows: ArmCounts
    offset: FloatArray
    item_weight: FloatArray
    noise: Noise
    seed: int
    threads: int

    @cached_property
    def loss(self) -> ItemLoss:
        """The loss of all arms, weighed as their items."""
        return ItemLoss(self.rows, self.offset, self.item_weight[self.rows.item], self.noise)

    @cached_property
    def held_out(self) -> BoolArray:
        """True where the arm's item was not drawn, shape (n,)."""
        return np.asarray(self.loss.weight == 0)


class TreeFitter(Protocol):
    """Grower of the trees: `fit_trees` in this process, or `reward.model.dask_trees.DaskTrees` on a cluster."""

    name: str

    def __call__(self, task: TreeTask) -> lgb.Booster:
        """Trees on top of the task's offset, stopped early on the items of weight zero."""


class LocalTrees:
    """LightGBM in this process."""

    name = "local"

    def __call__(self, task: TreeTask) -> lgb.Booster:
        """Trees on top of the task's offset, stopped early on the items of weight zero."""
        data, rows, loss, held_out = task.data, task.rows, task.loss, task.held_out
        if not can_split(data):
            return no_trees(data.num_feature())
        history: list[float] = [choice_log_likelihood(rows, task.offset, held_out)]

        def objective(prediction: FloatArray, _: lgb.Dataset) -> tuple[FloatArray, FloatArray]:
            return loss.gradients(prediction)

        def stop_early(env: lgb.callback.CallbackEnv) -> None:
            if stopped(history):
                raise lgb.callback.EarlyStopException(int(np.argmax(history)), [])

        def watch(prediction: FloatArray, _: lgb.Dataset) -> tuple[str, float, bool]:
            history.append(choice_log_likelihood(rows, task.offset + prediction, held_out))
            return "choice", history[-1], True

        booster = lgb.train(
            parameters(task.seed, task.threads) | {"objective": objective},
            data,
            num_boost_round=MAX_ROUNDS,
            valid_sets=[data],
            feval=watch,
            callbacks=[stop_early],
        )
        booster.best_iteration = max(int(np.argmax(history)), 1)
        return booster


fit_trees = LocalTrees()
"""The default `TreeFitter`."""


def stopped(history: Sequence[float]) -> bool:
    """True if the held-out items have not gained for `PATIENCE` rounds; ``history[0]`` is before the first."""
    return len(history) - 1 - int(np.argmax(history)) >= PATIENCE


def dataset(table: Float32Array, names: Sequence[str], categorical: Sequence[int], seed: int) -> lgb.Dataset:
    """LightGBM data set of a feature table; ``categorical`` are the positions of code columns."""
    plain = [f"f{i}" for i in range(len(names))]  # LightGBM rejects some characters in names; ours are in meta.json
    return lgb.Dataset(
        table,
        label=np.zeros(len(table)),
        feature_name=plain,
        categorical_feature=[plain[i] for i in categorical],
        params={"data_random_seed": seed, "verbosity": -1, "max_bin": 127, "min_data_in_leaf": MIN_TITLES},
        free_raw_data=False,
    )


def can_split(data: lgb.Dataset) -> bool:
    """True if any feature can be split at all; LightGBM stops with an error where none can (a handful of titles)."""
    data.construct()
    return any(data.feature_num_bin(j) > 1 for j in range(data.num_feature()))


def no_trees(n_features: int) -> lgb.Booster:
    """A booster that predicts 0 for every row."""
    rows = np.random.default_rng(0).standard_normal((4 * MIN_TITLES, n_features))
    data = lgb.Dataset(rows, label=np.zeros(len(rows)), feature_name=[f"f{i}" for i in range(n_features)])
    booster = lgb.train({"objective": "regression", "num_threads": 1, "verbosity": -1}, data, num_boost_round=1)
    booster.best_iteration = 1
    return booster
