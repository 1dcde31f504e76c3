"""Logged rounds: the arrays every off-policy estimator reads, checked once."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reward.arrays import BoolArray, FloatArray, IntArray
from rlopt.errors import EvaluationError


class RoundsError(EvaluationError, ValueError):
    """The rounds or an estimator's parameter cannot be used; one line says which, where, and what to do."""


@dataclass(frozen=True)
class LoggedRounds:
    """Logged rounds, one row each; every array is 1-D of shape (n,).

    A row may also stand for many rounds of one arm (same title, same weight, same predictions): give its mean
    reward and their number in ``count``. Values, intervals and effective sample sizes are then identical to those
    of the single rounds, because estimators are linear in the reward and variances come from whole clusters.

    Parameters
    ----------
    reward
        Observed reward; for an aggregated row the mean over its rounds (clicks / impressions).
    weight
        Importance weight pi_e(a|x) / pi_0(a|x) of the logged title, >= 0.
    q_logged
        Predicted reward of the logged title, q_hat(x, a). Needed by dm and the dr family only.
    q_policy
        Predicted reward under the evaluation policy, sum_a pi_e(a|x) q_hat(x, a). Needed like ``q_logged``.
    cluster
        Item of each row (numbers or text): rounds of one item are not independent. None: every row is its own.
    count
        Rounds each row stands for, > 0. None: one each. Needs ``cluster``.
    marginal_weight
        pi_e(e|x) / pi_0(e|x) of the embedding e of the logged title, >= 0, for mips; None: a title embeds itself.

    Raises
    ------
    RoundsError
        An array is empty, of another length, not 1-D, not finite, or out of its range.
    """

    reward: FloatArray
    weight: FloatArray
    q_logged: FloatArray | None = None
    q_policy: FloatArray | None = None
    cluster: npt.NDArray[Any] | Sequence[Any] | None = None
    count: FloatArray | None = None
    marginal_weight: FloatArray | None = None

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if value is not None and f.name != "cluster":
                object.__setattr__(self, f.name, _as_floats(f.name, value))
        n = len(self.reward)
        if n == 0:
            raise RoundsError("LoggedRounds holds no rounds: reward has shape (0,). Give at least two items' rounds.")
        for f in fields(self):
            value = getattr(self, f.name)
            if value is not None and len(value) != n:
                raise RoundsError(
                    f"{f.name} must have one value per round, shape ({n},) like reward. Got {len(value)} values."
                )
        _refuse(self.weight < 0, "weight", self.weight, ">= 0")
        if self.marginal_weight is not None:
            _refuse(self.marginal_weight < 0, "marginal_weight", self.marginal_weight, ">= 0")
        if self.count is not None:
            _refuse(self.count <= 0, "count", self.count, "> 0")
            if self.cluster is None:
                raise RoundsError(
                    "count needs cluster: the spread inside an aggregated row is unknown, so intervals compare items. "
                    "Pass cluster=item_ids."
                )

    def __len__(self) -> int:
        return len(self.reward)

    @cached_property
    def counts(self) -> FloatArray:
        """Rounds each row stands for, shape (n,)."""
        return np.ones(len(self)) if self.count is None else self.count

    @cached_property
    def n_rounds(self) -> float:
        """Number of single rounds."""
        return float(len(self)) if self.count is None else float(self.count.sum())

    @cached_property
    def cluster_codes(self) -> IntArray:
        """Cluster of each row as 0 .. n_clusters-1, shape (n,)."""
        if self.cluster is None:
            return np.arange(len(self), dtype=np.int64)
        try:
            column = pa.array(self.cluster, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise RoundsError(f"cluster must be 1-D and all text or all numbers. Got a mixture: {error}") from error
        if column.null_count:
            row = int(np.flatnonzero(np.asarray(column.is_null()))[0])
            raise RoundsError(f"cluster must name the item of every round. Row {row} has none (None or NaN).")
        codes = column.dictionary_encode().indices
        return np.asarray(codes, dtype=np.int64)

    @cached_property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return int(self.cluster_codes.max()) + 1

    @cached_property
    def cluster_sizes(self) -> FloatArray:
        """Single rounds of each cluster, shape (n_clusters,)."""
        sizes: FloatArray = np.bincount(self.cluster_codes, weights=self.count, minlength=self.n_clusters).astype(float)
        return sizes

    def take(self, rows: BoolArray) -> "LoggedRounds":
        """These rows only, shape (n,) True or False."""
        arrays = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        arrays["cluster"] = self.cluster_codes
        return LoggedRounds(**{name: values[rows] for name, values in arrays.items()})

    @cached_property
    def non_negative(self) -> bool:
        """True where no reward and no prediction is below zero: then values are rates, and live on the log scale."""
        arrays = (self.reward, self.q_logged, self.q_policy)
        return all(float(a.min()) >= 0 for a in arrays if a is not None)

    @cached_property
    def binary(self) -> bool:
        """True where every round's reward is 0 or 1, and aggregated rows hold shares of such rounds."""
        successes = self.reward * self.counts
        whole = np.abs(successes - np.rint(successes)) <= 1e-6 * np.maximum(successes, 1.0)
        return bool(whole.all() and self.reward.min() >= 0 and self.reward.max() <= 1)

    def mean(self, per_round: FloatArray) -> float:
        """Mean over single rounds of an array with one value per row."""
        if self.count is None:
            return float(per_round.mean())
        return float(per_round @ self.count) / self.n_rounds

    def cluster_sums(self, per_round: FloatArray) -> FloatArray:
        """Sum over each cluster's single rounds, shape (n_clusters,)."""
        values = per_round if self.count is None else per_round * self.count
        sums: FloatArray = np.bincount(self.cluster_codes, weights=values, minlength=self.n_clusters).astype(np.float64)
        return sums


def _as_floats(name: str, value: Any) -> FloatArray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RoundsError(f"{name} must be numbers. Got {type(value).__name__}: {error}") from error
    if array.ndim != 1:
        raise RoundsError(f"{name} must be 1-D, shape (n,). Got shape {array.shape}.")
    _refuse(~np.isfinite(array), name, array, "finite")
    return array


def _refuse(bad: BoolArray, name: str, array: FloatArray, rule: str) -> None:
    """Raise with the first bad row of ``array``."""
    if bad.any():
        row = int(np.argmax(bad))
        raise RoundsError(f"{name} must be {rule}. Got {array[row]:g} in row {row} ({int(bad.sum())} such rows).")
