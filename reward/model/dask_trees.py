"""The trees of `reward.model.boosting` on a Dask cluster, by LightGBM's own Dask estimators.

The feature table of the arms goes to the workers in partitions of whole items, each row to one worker; LightGBM adds
up the histograms over the network, so every worker grows the same trees. The loss is the one of
`reward.model.boosting`: it needs counts and the item of every arm, which LightGBM's interface has no place for, so a
row's label is its number and the counts (about 40 bytes an arm) go to every worker. An item is never cut in two, so
its intercept is exact. LightGBM on a cluster cannot stop on a figure of all workers: it grows `MAX_ROUNDS` trees, and
the same rule as on one machine then says how many to keep.

Two things differ from one machine: each worker finds the histogram bins of some features from its own rows, and sums
are added in another order. The trees are equally good, not equal.
"""

import logging
import warnings
from typing import TYPE_CHECKING, Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray, IntArray
from ..dask_cluster import workers_of
from ..errors import ModelError
from .boosting import MAX_ROUNDS, ItemLoss, TreeTask, can_split, choice_log_likelihood, no_trees, parameters, stopped
from .linear import ArmCounts

if TYPE_CHECKING:
    from distributed import Client


MAX_ARMS = 2**24
"""LightGBM keeps labels in 32-bit floats: larger row numbers would not be exact."""


class DaskTrees:
    """A `reward.model.boosting.TreeFitter` on the cluster of a client (`reward.dask_cluster`)."""

    name = "dask"

    def __init__(self, client: "Client") -> None:
        self.client = client

    def __call__(self, task: TreeTask) -> lgb.Booster:
        """Trees as `reward.model.boosting.LocalTrees` grows them; each worker uses its own threads.

        Raises
        ------
        ModelError
            If there are more than `MAX_ARMS` arms, or the cluster fails.
        """
        if not can_split(task.data):
            return no_trees(task.data.num_feature())
        table = np.asarray(task.data.data)
        if len(table) > MAX_ARMS:
            raise ModelError(f"--engine dask takes at most {MAX_ARMS:,} arms. Got {len(table):,}.")
        order, sizes = partitions(task.rows.item, len(workers_of(self.client)))
        booster = self._train(task, table, order, sizes)
        booster.best_iteration = best_iteration(booster, table, task)
        return booster

    def _train(self, task: TreeTask, table: npt.NDArray[Any], order: IntArray, sizes: list[int]) -> lgb.Booster:
        import dask.array as da
        from dask.delayed import delayed

        parts = [table[part] for part in np.split(order, np.cumsum(sizes)[:-1])]
        kept = self.client.scatter(parts, hash=False)
        X = da.concatenate(
            [
                da.from_delayed(delayed(future), shape=part.shape, dtype=part.dtype)
                for future, part in zip(kept, parts, strict=True)
            ]
        )
        label = da.from_array(order.astype(np.float64), chunks=(tuple(sizes),))
        settings: dict[str, Any] = parameters(task.seed, threads=1) | dict(task.data.params or {})
        for name in ("num_threads", "seed"):  # the estimator's own arguments
            settings.pop(name)
        estimator = lgb.DaskLGBMRegressor(
            client=self.client,
            n_estimators=MAX_ROUNDS,
            objective=PartitionLoss(task.loss),
            random_state=task.seed,
            **settings,
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # workers use their own number of threads
                lgb.register_logger(logging.getLogger("lightgbm"))  # else it prints to stdout that it looks for ports
                names, categories = task.data.feature_name, task.data.categorical_feature
                estimator.fit(X, label, feature_name=names, categorical_feature=categories)
        except (OSError, RuntimeError, TimeoutError, lgb.basic.LightGBMError) as error:
            raise ModelError(
                f"The Dask cluster failed while training the trees: {' '.join(str(error).split())[:200]} "
                "Members that are done are kept; run the same command again."
            ) from error
        booster: lgb.Booster = estimator.booster_
        return booster


def best_iteration(booster: lgb.Booster, table: npt.NDArray[Any], task: TreeTask) -> int:
    """Number of trees at which `reward.model.boosting.LocalTrees` would have stopped; at least 1."""
    where = np.flatnonzero(task.held_out)
    effect, some = task.offset.copy(), table[where]
    history = [choice_log_likelihood(task.rows, effect, task.held_out)]
    for i in range(booster.current_iteration()):
        if stopped(history):
            break
        effect[where] += booster.predict(
            some, raw_score=True, start_iteration=i, num_iteration=1, num_threads=task.threads
        )
        history.append(choice_log_likelihood(task.rows, effect, task.held_out))
    return max(int(np.argmax(history)), 1)


class PartitionLoss:
    """`ItemLoss` of the rows that a worker holds; the labels it is called with are their numbers.

    Parameters
    ----------
    whole
        The loss of all arms.
    """

    def __init__(self, whole: ItemLoss) -> None:
        self._whole = whole
        self._labels: npt.NDArray[Any] | None = None
        self._part: ItemLoss | None = None

    def __call__(self, label: npt.NDArray[Any] | None, prediction: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Derivatives for LightGBM's scikit-learn interface."""
        label = np.asarray(label)
        if self._part is None or self._labels is None or not np.array_equal(self._labels, label):
            self._labels, self._part = label.copy(), part_of(self._whole, label.astype(np.int64))
        return self._part.gradients(prediction)


def part_of(loss: ItemLoss, index: IntArray) -> ItemLoss:
    """The loss of these arms alone; they must be all arms of their items."""
    rows = loss.rows
    items, item = np.unique(rows.item[index], return_inverse=True)
    some = ArmCounts(rows.successes[index], rows.trials[index], item.astype(np.int64), len(items))
    return ItemLoss(some, loss.offset[index], loss.weight[index], loss.noise)


def partitions(item: IntArray, n: int) -> tuple[IntArray, list[int]]:
    """Order of the rows by item, and sizes of at most ``n`` parts of about equal length that cut no item in two."""
    order = np.argsort(item, kind="stable")
    starts = np.flatnonzero(np.diff(item[order], prepend=-1))
    wanted = np.arange(1, n) * len(order) / max(n, 1)
    cuts = starts[np.minimum(np.searchsorted(starts, wanted), len(starts) - 1)] if len(starts) else starts
    edges = np.unique(np.concatenate([[0], cuts, [len(order)]]))
    return order, [int(size) for size in np.diff(edges)]
