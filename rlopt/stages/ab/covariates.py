"""Covariates of items from before a test: their logged rates, and the reward's predictions."""

from collections.abc import Collection

import numpy as np

from reward.arms import Arms
from reward.arrays import FloatArray
from rlopt.config import AbAnalyzeConfig
from rlopt.errors import EvaluationError
from rlopt.ope.comparison import Design
from rlopt.stages.ab.metrics import IMPRESSIONS, Metric
from rlopt.stages.ab.results import Results
from rlopt.stages.common.opened import OpenedRun

PRIOR_EVENTS = 5.0  # events of the average item that an item's logged rate is drawn to
_KNOWN = 0.5  # share of the results' items that the run must know


def covariates_of(
    opened: OpenedRun, read: Results, metric: Metric, config: AbAnalyzeConfig, design: Design
) -> FloatArray | None:
    """Covariates of the comparison: the column that was named, or what the run knows of whole items.

    Of whole items these are two covariates, shape (n_rows, 2): events expected by their logged rates, and by the
    reward's predictions. None where nothing is known.

    Raises
    ------
    EvaluationError
        The column has values below zero.
    ModelError
        The reward model cannot be read.
    """
    if config.covariate is None:
        return expected_events(opened, read, metric) if design == "items" else None
    values = read.values[config.covariate]
    if (values < 0).any():
        row = int(np.argmax(values < 0))
        told = f"Got {values[row]:g} in row {row + 1}."
        raise EvaluationError(f"{config.covariate} (--covariate) must be 0 or more. {told}")
    return values


def expected_events(opened: OpenedRun, read: Results, metric: Metric) -> FloatArray | None:
    """Events expected of each row by the logs and by the reward, shape (n_rows, 2); None where most are not known.

    An item that the logs do not hold has the rate of all. Revenue is expected as conversions are.
    """
    arms = opened.arms
    events = events_of(arms, metric.numerator)
    if metric.denominator != IMPRESSIONS or events is None or not events.sum() > 0:
        return None
    known = {item.item_id: i for i, item in enumerate(arms.items)}
    where = np.array([known.get(item, -1) for item in read.items])
    if np.mean(where >= 0) < _KNOWN:
        return None
    total, exposed = (
        np.bincount(arms.item_index, values, minlength=len(arms.items)).astype(np.float64)
        for values in (events, arms.exposure)
    )
    predicted = predicted_rates(opened, set(where[where >= 0].tolist()), metric.numerator)
    columns = []
    for rate, mean in (
        (shrunken_rates(total, exposed), float(total.sum() / exposed.sum())),
        (predicted, float(np.nanmean(predicted))),
    ):
        own = np.where((where >= 0) & ~np.isnan(rate[where]), rate[where], mean)
        columns.append(own[read.item] * read.values[IMPRESSIONS])
    return np.stack(columns, axis=1)


def events_of(arms: Arms, metric: str) -> FloatArray | None:
    """Events of the arms: clicks, or conversions, which stand for revenue too; None where there are none."""
    return {"clicks": arms.clicks, "conversions": arms.conversions, "revenue": arms.conversions}.get(metric)


def shrunken_rates(total: FloatArray, exposed: FloatArray) -> FloatArray:
    """Rate of each item by its events, drawn to that of all by `PRIOR_EVENTS`, shape (n_items,)."""
    mean = float(total.sum() / exposed.sum())
    return np.asarray((total + PRIOR_EVENTS) / (exposed + PRIOR_EVENTS / mean))


def predicted_rates(opened: OpenedRun, items: Collection[int], metric: str) -> FloatArray:
    """Events an impression that the reward predicts of the run's items with their most shown title, shape (n_items,).

    Parameters
    ----------
    items
        Numbers of the items that are asked for; the others are NaN.
    metric
        As in `events_of`.
    """
    arms = opened.arms
    rows = np.lexsort((-arms.exposure, arms.item_index))
    first = rows[np.unique(arms.item_index[rows], return_index=True)[1]]
    first = first[np.isin(arms.item_index[first], list(items))]
    found = opened.reward.predict([arms.items[i] for i in arms.item_index[first]], arms.title[first].tolist())
    rate = found.p_click if metric == "clicks" or found.p_conversion is None else found.p_click * found.p_conversion
    out = np.full(len(arms.items), np.nan)
    out[arms.item_index[first]] = rate
    return out


def unseen_rates(opened: OpenedRun, metric: str) -> FloatArray:
    """`predicted_rates` of the items whose clicks the reward has not seen: those of the judge and the test side.

    Only these tell how well it would predict a test.
    """
    held_back = {*opened.splits.judge, *opened.splits.test}
    return predicted_rates(opened, [i for i, item in enumerate(opened.arms.items) if item.item_id in held_back], metric)
