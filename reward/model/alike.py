"""Titles of different items compared as if they were one item's: for logs that showed one title per item.

The partially linear model of Robinson (1988), with the nuisance cross-fitted as in double machine learning
(Chernozhukov et al. 2018): log rate_i = m(item_i) + g(title_i) + e_i. Both of its residuals are made before the title
effect g is fitted, so that `reward.model.effect` and `reward.model.judge` learn from them as from titles of one item:

- of the rate: m is predicted from all that is known of the item but its title (fields, texts, numbers, traffic, times)
  by a ridge and trees on it, always fitted on other items; an item then counts as having been shown in proportion to
  the clicks it was expected to get, like an impression at a better position;
- of the title's features: items that are alike (`_strata`) form a stratum, whose mean is taken off where within-item
  means are taken off otherwise: the error of predicting the features of a title from those of the similar items.

Nothing here is protected from what is *not* known of an item: see docs/one-title.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from sklearn.decomposition import TruncatedSVD

from ..arms import Arms
from ..arrays import FloatArray, IntArray
from ..errors import ModelError
from ..items import Item
from .bayes import LARGEST_EFFECTS
from .item_context import ItemContext, ItemTotals
from .linear import ArmCounts

LEAST_ITEMS = 40  # with a click
STRATUM = 16  # items in one, at least half as many
N_FOLDS = 5
_DIRECTIONS = 48  # of the items' words and fields
_ROUNDS = 60
_LARGEST = 3.0  # log rate by which an item is expected to differ from its stratum


def alike_rows(arms: Arms, rows: ArmCounts, *, seed: np.random.SeedSequence, threads: int) -> ArmCounts:
    """Counts of the arms in groups whose titles may be compared.

    Arms of items with several titles stay in a group of their own item, as ever. An item with one title joins others
    that are alike, with trials in proportion to the successes that it was expected to have.

    Parameters
    ----------
    arms
        Arms of train items.
    rows
        Their counts by item.
    seed, threads
        Of folds and trees.
    """
    rng = np.random.default_rng(seed)
    alone = rows.item_sum((rows.trials > 0).astype(np.float64))[rows.item] == 1
    chosen = np.flatnonzero(alone & (rows.trials > 0))
    if len(chosen) < 2:
        return rows
    items = [arms.items[i] for i in rows.item[chosen]]
    totals = ItemTotals(rows.successes[chosen], rows.trials[chosen])
    known = _Known.of(items, totals, _times(arms, chosen), rng)
    expected = _expected(known, totals, rng, threads)
    stratum = _strata(known, np.random.default_rng(rng.integers(2**31)))
    trials = rows.trials.copy()
    trials[chosen] = _in_proportion(totals, expected, stratum)
    group = rows.item.copy()
    group[chosen] = rows.n_items + stratum
    _, group = np.unique(group, return_inverse=True)
    trials = np.maximum(trials, rows.successes)
    return ArmCounts(rows.successes, trials, group.astype(np.int64), int(group.max()) + 1, between=True)


def check_alike(rows: ArmCounts, whose: str) -> None:
    """Refuse items too few to be compared with each other.

    Raises
    ------
    ModelError
        If fewer than `LEAST_ITEMS` have a click.
    """
    clicked = int(np.sum(rows.item_sum(rows.successes) > 0))
    if clicked < LEAST_ITEMS:
        raise ModelError(
            f"comparing items with each other takes {LEAST_ITEMS} with a click, and the {rows.n_items} items of the "
            f"{whose} hold {clicked}. Give more logs, or another share to the {whose}."
        )


def own_variance(found: float) -> float:
    """Variance of what features do not see of a title, of which ``found`` of it and its item together is no more.

    The two cannot be told apart where an item has one title; titles of one item are known to vary by less.
    """
    return min(found, LARGEST_EFFECTS)


def _times(arms: Arms, chosen: IntArray) -> FloatArray:
    """First and last day seen where the logs have times, shape (n, 0 or 2)."""
    found = [seen[chosen] / 86_400 for seen in (arms.first_seen, arms.last_seen) if seen is not None]
    return np.column_stack(found) if found else np.zeros((len(chosen), 0))


@dataclass(frozen=True)
class _Known:
    """All that is known of n items but their titles.

    Parameters
    ----------
    alike
        Coordinates by which items are alike: their fields and words, shape (n, d).
    table
        Table from which trees predict their rates, shape (n, n_columns).
    start
        Log-odds that a ridge on the other items predicts, shape (n,).
    """

    alike: FloatArray
    table: FloatArray
    start: FloatArray

    @classmethod
    def of(cls, items: Sequence[Item], totals: ItemTotals, times: FloatArray, rng: np.random.Generator) -> "_Known":
        context, held_out = ItemContext.fit(items, totals, np.zeros(len(items)), rng=rng)
        words = context.columns(items)
        rank = min(_DIRECTIONS, min(words.shape) - 1)
        alike = np.zeros((len(items), 0))
        if rank > 0 and words.nnz:
            alike = TruncatedSVD(rank, random_state=int(rng.integers(2**31))).fit_transform(words)
        return cls(alike, np.column_stack([held_out[:, 0], alike, times, np.log(totals.trials)]), held_out[:, 0])


def _expected(known: _Known, totals: ItemTotals, rng: np.random.Generator, threads: int) -> FloatArray:
    """Log rate that each item was expected to have, by trees fitted on other items, shape (n,)."""
    n = len(totals.trials)
    response = np.log((totals.successes + 0.5) / (totals.trials + 1.0)) - known.start
    clicks = totals.successes + 0.5
    weight = clicks / (1.0 + clicks * float(np.clip(np.var(response), 0.05, 4.0)))
    fold = rng.permutation(n) % N_FOLDS
    out = np.zeros(n)
    parameters = {
        "objective": "regression",
        "num_leaves": 15,
        "learning_rate": 0.05,
        "min_data_in_leaf": 20,
        "feature_fraction": 0.5,
        "lambda_l2": 5.0,
        "seed": int(rng.integers(2**31)),
        "num_threads": threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    for k in range(N_FOLDS):
        rest = fold != k
        if not rest.any() or rest.all():
            continue
        data = lgb.Dataset(known.table[rest], label=response[rest], weight=weight[rest])
        out[~rest] = lgb.train(parameters, data, _ROUNDS).predict(known.table[~rest], num_threads=threads)
    return known.start + out


def _strata(known: _Known, rng: np.random.Generator) -> IntArray:
    """Stratum of each item, shape (n,): halves along what differs most, again and again, until they are small."""
    stratum = np.zeros(len(known.start), dtype=np.int64)
    waiting, number = [rng.permutation(len(stratum))], 0
    while waiting:
        part = waiting.pop()
        if len(part) < STRATUM:
            stratum[part] = number
            number += 1
            continue
        place = known.alike[part] @ _axis(known.alike[part])
        order = part[np.argsort(place, kind="stable")]
        waiting += [order[: len(part) // 2], order[len(part) // 2 :]]
    return stratum


def _axis(points: FloatArray) -> FloatArray:
    """Direction in which the points differ most, shape (d,): the first principal component."""
    if not points.shape[1]:
        return np.zeros(0)
    centred = points - points.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axis: FloatArray = vectors[:, -1]
    return axis * (1.0 if axis[np.argmax(np.abs(axis))] > 0 else -1.0)


def _in_proportion(totals: ItemTotals, expected: FloatArray, stratum: IntArray) -> FloatArray:
    """Trials that keep each stratum's sum and are in proportion to the successes expected, shape (n,)."""

    def mean(values: FloatArray) -> FloatArray:
        total = np.bincount(stratum, weights=totals.trials)
        of_stratum: FloatArray = (np.bincount(stratum, weights=totals.trials * values) / np.maximum(total, 1e-12))[
            stratum
        ]
        return of_stratum

    factor = np.exp(np.clip(expected - mean(expected), -_LARGEST, _LARGEST))
    trials: FloatArray = totals.trials * factor / mean(factor)
    return trials
