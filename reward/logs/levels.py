"""How much titles are clicked in one log and in another, whatever they say: season, campaigns, the place on the page.

Told by the titles that several logs hold. Which titles an earlier log's clicks let live is no accident: they were
lucky, too. Each title's rate before is therefore what is to be expected of it, drawn towards its item's by how much
titles differ beyond chance (a gamma prior, as in Robbins (1956)), which holds however titles were chosen by those
clicks. Titles also wear out while new ones come, and no clicks can tell that from worse times; so what is not to be
seen in all clicks of the log together, too, is not taken for its level.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..arms import Arms
from .spread import Spread

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PRIOR_CLICKS = 20.0
"""Expected clicks at which clicks weigh as much as the guess that nothing changed."""


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


def levels(cells: Cells, item: IntArray, n_items: int, n_logs: int) -> FloatArray:
    """Level of each log: what clicks / exposure of any title is to be divided by for it to compare across logs.

    Logs are taken one after the other. Of two ratios of clicks to expected clicks, that of the titles that were in an
    earlier log and that of all, the level is the one nearer to 1, and 1 where they are on different sides of it.

    Parameters
    ----------
    cells
        Logs numbered by age, the oldest 0.
    item
        Item of each arm, shape (n_arms,).

    Returns
    -------
    ndarray
        Shape (n_logs,), its exposure-weighted mean 1. A log without a title in common is taken to be at the level of
        the first.
    """
    found = np.ones(n_logs)
    clicks, exposure = np.zeros(len(item)), np.zeros(len(item))
    order = np.argsort(cells.log, kind="stable")
    ends = np.searchsorted(cells.log[order], np.arange(1, n_logs))
    for number, part in enumerate(np.split(order, ends)):
        arm, new_clicks, new_exposure = cells.arm[part], cells.clicks[part], cells.exposure[part]
        if number:
            known = exposure[arm] > 0
            rate = _expected_rate(clicks, exposure, item, n_items)[arm[known]]
            common = _ratio(new_clicks[known], float(np.sum(new_exposure[known] * rate)))
            overall = float(clicks.sum()) / max(float(exposure.sum()), 1e-300)
            found[number] = _agreed(common, _ratio(new_clicks, overall * float(new_exposure.sum())))
        clicks[arm] += new_clicks
        exposure[arm] += new_exposure * found[number]
    total = float(cells.exposure.sum())
    return np.asarray(found * total / max(float(np.sum(found[cells.log] * cells.exposure)), 1e-300))


def log_levels(parts: Sequence[Arms]) -> FloatArray:
    """`levels` of these logs, oldest first; shape (n_parts,)."""
    if len(parts) == 1:
        return np.ones(1)
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
    each = log_levels(parts).tolist()
    return [replace(part, exposure=part.exposure * level) for part, level in zip(parts, each, strict=True)]


def _ratio(clicks: FloatArray, expected: float) -> float:
    return (float(clicks.sum()) + PRIOR_CLICKS) / (expected + PRIOR_CLICKS)


def _agreed(one: float, other: float) -> float:
    """What two ratios both say: the one nearer to 1, and 1 where they are on different sides of it."""
    if (one - 1) * (other - 1) <= 0:
        return 1.0
    return min(one, other, key=lambda ratio: abs(np.log(ratio)))


def _expected_rate(clicks: FloatArray, exposure: FloatArray, item: IntArray, n_items: int) -> FloatArray:
    """Mean click rate of each arm given its clicks, under a gamma prior around its item's rate; shape (n_arms,)."""
    seen = exposure > 0
    variance = Spread.of(clicks[seen], exposure[seen], item[seen], n_items).variance()
    total, exposed = np.bincount(item, clicks, minlength=n_items), np.bincount(item, exposure, minlength=n_items)
    rate = np.divide(total, exposed, out=np.zeros(n_items), where=exposed > 0)[item]
    # Prior: shape 1 / variance, mean rate. Posterior mean: rate (1 + variance clicks) / (1 + variance exposure rate).
    return np.asarray(rate * (1 + variance * clicks) / (1 + variance * exposure * rate))
