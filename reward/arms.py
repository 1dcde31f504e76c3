"""Arms: every (item, title) pair of the logs with its aggregated counts. What trains is as large as this table."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from .arrays import BoolArray, FloatArray, IntArray, ObjectArray
from .items import Item


@dataclass(frozen=True)
class Arms:
    """Aggregated logs; every array has shape (n_arms,) and arms of one item need not be adjacent.

    Parameters
    ----------
    items
        The items that occur, each once.
    item_index
        Position in ``items`` of each arm's item.
    title
        The logged title.
    impressions, clicks
        Counts; ``clicks <= impressions``.
    exposure
        Impressions weighted by the examination of the position they were shown at, relative to the average
        impression of these logs (position-based model), and by the level of their time and of their log
        (`reward.logs.periods`, `reward.logs.log_levels`); equal to ``impressions`` where neither is known.
        clicks / exposure is the debiased CTR.
    conversions, revenue
        Totals, None where the logs have none.
    matured_clicks
        Clicks weighted by the chance that their conversion would have been seen by the end of the logs;
        conversions / matured_clicks is the delay-corrected CVR. None where there are no conversions.
    propensity
        Chance that the logging policy showed this title for this item.
    propensity_logged
        True where the logs hold propensities; False where they are estimated from the item's traffic shares.
    first_seen, last_seen
        Seconds since 1970, None without timestamps.
    """

    items: tuple[Item, ...]
    item_index: IntArray
    title: ObjectArray
    impressions: FloatArray
    clicks: FloatArray
    exposure: FloatArray
    propensity: FloatArray
    propensity_logged: bool
    conversions: FloatArray | None = None
    revenue: FloatArray | None = None
    matured_clicks: FloatArray | None = None
    first_seen: FloatArray | None = None
    last_seen: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.title)

    @cached_property
    def item_ids(self) -> ObjectArray:
        """Item id of each arm, shape (n_arms,)."""
        ids = np.array([item.item_id for item in self.items], dtype=object)
        return ids[self.item_index] if len(ids) else ids

    @cached_property
    def arm_items(self) -> list[Item]:
        """Item of each arm, length n_arms: what the model's ``predict(items, titles)`` takes."""
        return [self.items[i] for i in self.item_index]

    @property
    def pairs(self) -> list[tuple[Item, str]]:
        """Item and title of each arm."""
        return list(zip(self.arm_items, map(str, self.title), strict=True))

    def of_items(self, item_ids: Sequence[str] | set[str]) -> "Arms":
        """The arms of these items only; items that do not occur are ignored."""
        wanted = set(item_ids)
        return self.take(np.array([item in wanted for item in self.item_ids], dtype=bool))

    def take(self, rows: BoolArray | IntArray) -> "Arms":
        """These arms only (mask or positions), with the items they need."""
        old_index = self.item_index[rows]
        kept, new_index = np.unique(old_index, return_inverse=True)
        arrays: dict[str, Any] = {
            f.name: value[rows]
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), np.ndarray) and f.name != "item_index"
        }
        items = tuple(self.items[i] for i in kept)
        return replace(self, items=items, item_index=new_index.astype(np.int64), **arrays)
