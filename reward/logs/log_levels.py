"""Levels of clicks in different logs, whatever the titles say: season, campaigns, the place on the page.

Estimated from titles that several logs hold. Which titles survive an earlier log's clicks is no accident: they were
lucky, too. Each title's rate before is therefore what is to be expected of it, drawn towards its item's as that is
towards all items', by how much they differ beyond chance (gamma priors, empirical Bayes: Robbins 1956).

What clicks cannot tell is ageing from worse times (the age-period-cohort problem). Only what all clicks of a log
together show as well is taken for its level: titles that wear out while others come are then no bad times, but titles
that all wear out at once are, and what comes after them looks better than it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..arms import Arms
from ..arrays import FloatArray, IntArray
from .heterogeneity import Heterogeneity

PRIOR_CLICKS = 20.0
"""Clicks at which a log weighs as much as the guess that nothing changed."""


@dataclass(frozen=True)
class Cells:
    """Counts of arms by log, or by the time within one; shape (n_cells,) each.

    Parameters
    ----------
    arm, log
        Numbers from 0; the pairs are distinct.
    clicks, exposure
        Counts.
    """

    arm: IntArray
    log: IntArray
    clicks: FloatArray
    exposure: FloatArray


@dataclass(frozen=True)
class Levels:
    """Click level of each log, common to all titles, shape (n_logs,) each.

    Parameters
    ----------
    level
        Divisor of any title's clicks / exposure that makes logs comparable; its exposure-weighted mean is 1.
    group
        Logs that share titles with enough clicks in each: the number of the first of them.
        Levels of different groups cannot be compared.
    """

    level: FloatArray
    group: IntArray


def levels(cells: Cells, item: IntArray, n_items: int, n_logs: int) -> Levels:
    """Level of each log.

    Logs are taken one after the other. Of two ratios of clicks to expected clicks, that of the titles that were in an
    earlier log and that of all, the level is the one nearer to 1, and 1 where they are on different sides of it. A log
    without a title in common is taken to be at the level of the first.

    Parameters
    ----------
    cells
        Logs numbered in the order in which they are taken, by age where that is known.
    item
        Item of each arm, shape (n_arms,).
    """
    found, group = np.ones(n_logs), np.arange(n_logs)
    clicks, exposure, group_of = np.zeros(len(item)), np.zeros(len(item)), np.zeros(len(item), dtype=np.int64)
    order = np.argsort(cells.log, kind="stable")
    ends = np.searchsorted(cells.log[order], np.arange(1, n_logs))
    for number, part in enumerate(np.split(order, ends)):
        arm, new_clicks, new_exposure = cells.arm[part], cells.clicks[part], cells.exposure[part]
        if number:
            known = exposure[arm] > 0
            rate = _expected_rate(clicks, exposure, item, n_items)[arm[known]]
            here, before = float(new_clicks[known].sum()), float(clicks[arm[known]].sum())
            common = _ratio(here, float(np.sum(new_exposure[known] * rate)), before)
            overall = float(clicks.sum()) / max(float(exposure.sum()), 1e-300)
            whole = _ratio(float(new_clicks.sum()), overall * float(new_exposure.sum()), float(clicks.sum()))
            found[number] = _agreed(common, whole)
            if _evidence(here, before) >= PRIOR_CLICKS:
                group[number] = np.argmax(np.bincount(group_of[arm[known]], new_clicks[known]))
        clicks[arm] += new_clicks
        exposure[arm] += new_exposure * found[number]
        group_of[arm] = group[number]
    mean = float(np.sum(found[cells.log] * cells.exposure)) / max(float(cells.exposure.sum()), 1e-300)
    return Levels(found / mean if mean > 0 else found, group)


def log_levels(parts: Sequence[Arms]) -> Levels:
    """`levels` of these logs, in the order in which they were learned."""
    if len(parts) == 1:
        return Levels(np.ones(1), np.zeros(1, dtype=np.int64))
    arms: dict[tuple[str, str], int] = {}
    items: dict[str, int] = {}
    pairs = [pair for part in parts for pair in zip(part.item_ids.tolist(), part.title.tolist(), strict=True)]
    arm = np.array([arms.setdefault(pair, len(arms)) for pair in pairs], dtype=np.int64)
    item = np.array([items.setdefault(item_id, len(items)) for item_id, _ in arms], dtype=np.int64)
    log = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    clicks, exposure = (np.concatenate([getattr(part, name) for part in parts]) for name in ("clicks", "exposure"))
    return levels(Cells(arm, log, clicks, exposure), item, len(items), len(parts))


def levelled(parts: Sequence[Arms]) -> list[Arms]:
    """The parts with `log_levels` in their exposure, so that clicks / exposure compares across them."""
    each = log_levels(parts).level.tolist()
    return [replace(part, exposure=part.exposure * level) for part, level in zip(parts, each, strict=True)]


def _evidence(here: float, before: float) -> float:
    """Clicks whose relative variance is that of the ratio of two counts."""
    return here * before / (here + before) if here + before > 0 else 0.0


def _ratio(clicks: float, expected: float, before: float) -> float:
    """Clicks by those expected from ``before`` clicks, drawn towards 1 by `PRIOR_CLICKS` on the log scale."""
    evidence = _evidence(clicks, before)
    if evidence <= 0 or expected <= 0:
        return 1.0
    return float((clicks / expected) ** (evidence / (evidence + PRIOR_CLICKS)))


def _agreed(one: float, other: float) -> float:
    """Return what two ratios agree on: the one nearer to 1, or 1 where they lie on different sides of it."""
    if (one - 1) * (other - 1) <= 0:
        return 1.0
    return min(one, other, key=lambda ratio: abs(np.log(ratio)))


def _expected_rate(clicks: FloatArray, exposure: FloatArray, item: IntArray, n_items: int) -> FloatArray:
    """Click rate to be expected of each arm given its clicks and its item's, shape (n_arms,)."""
    total = np.bincount(item, clicks, minlength=n_items).astype(np.float64)
    exposed = np.bincount(item, exposure, minlength=n_items).astype(np.float64)
    overall = np.full(n_items, float(total.sum()) / max(float(exposed.sum()), 1e-300))
    shown, seen = exposed > 0, exposure > 0
    between = Heterogeneity.of(total[shown], exposed[shown], np.zeros(int(shown.sum()), dtype=np.int64), 1).variance()
    within = Heterogeneity.of(clicks[seen], exposure[seen], item[seen], n_items).variance()
    of_item = _posterior_mean(overall, total, exposed, between)
    return _posterior_mean(of_item[item], clicks, exposure, within)


def _posterior_mean(mean: FloatArray, clicks: FloatArray, exposure: FloatArray, variance: float) -> FloatArray:
    """Posterior mean of a rate after Poisson clicks; gamma prior of this mean and relative variance (1 / shape)."""
    return np.asarray(mean * (1 + variance * clicks) / (1 + variance * exposure * mean))
