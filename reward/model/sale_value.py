"""Value of a conversion: mean revenue by item, shrunk to the mean of all where an item sold little."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arms import Arms
from ..arrays import FloatArray
from ..items import Item
from ..plain import JsonObject

_LEAST = 0.01  # of the mean: refunds may exceed an item's sales, but a relative lift needs something to be relative to


@dataclass(frozen=True)
class SaleValue:
    """Revenue of a conversion; make one with `fit`.

    Parameters
    ----------
    mean
        Of the items, in the currency of the logs: what an item without sales is taken to bring.
    by_item
        Shrunken mean of each item that sold.
    """

    mean: float
    by_item: Mapping[str, float]

    @classmethod
    def fit(cls, arms: Arms) -> "SaleValue | None":
        """Means by item under a one-way random-effects model; None where the logs hold no revenue of a conversion.

        With R_i the revenue of n_i conversions, Var[R_i / n_i] = between + within / n_i; the two variances come from
        the squared deviations of the items' means (moments, by least squares), and an item's mean is
        (R_i + k mean) / (n_i + k) with k = within / between (Buehlmann 1967).
        """
        if arms.revenue is None or arms.conversions is None:
            return None
        n_items = len(arms.items)
        revenue, count = (
            np.bincount(arms.item_index, v, n_items).astype(np.float64) for v in (arms.revenue, arms.conversions)
        )
        sold = np.flatnonzero(count > 0)
        if not len(sold) or not revenue.sum() > 0:
            return None
        own = revenue[sold] / count[sold]
        between, within = _variances(own, count[sold])
        # Weighted by what each item's mean tells about the mean of the items.
        weight = 1.0 / (between + within / count[sold]) if between + within > 0 else count[sold]
        mean = max(float(np.average(own, weights=weight)), _LEAST * float(revenue.sum() / count.sum()))
        shrink = within / between if between > 0 else np.inf
        share = count[sold] / (count[sold] + shrink)  # 0 where items do not differ
        values = np.maximum(mean + share * (own - mean), _LEAST * mean)
        return cls(mean, {arms.items[i].item_id: float(v) for i, v in zip(sold, values, strict=True)})

    def of(self, items: Sequence[Item]) -> FloatArray:
        """Expected revenue of a conversion of each item, shape (n,)."""
        return np.array([self.by_item.get(item.item_id, self.mean) for item in items], dtype=np.float64)

    def to_json(self) -> JsonObject:
        """Plain values; `from_json` reads them back."""
        return {"mean": self.mean, "by_item": dict(self.by_item)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "SaleValue":
        """From what `to_json` gave."""
        return cls(float(data["mean"]), {str(k): float(v) for k, v in data["by_item"].items()})


def _variances(own: FloatArray, count: FloatArray) -> tuple[float, float]:
    """Variance between items and within an item's conversions, neither below 0.

    Items that faded to less than one conversion (where most did: to less than the median) are left out: their 1 / n is
    far from all others, and a few of them would decide.
    """
    told = count >= min(1.0, float(np.median(count)))
    own, count = own[told], count[told]
    if len(own) < 3:
        return 0.0, 1.0
    squared = (own - np.average(own, weights=count)) ** 2
    inverse = 1.0 / count
    spread = float(np.var(inverse))
    if spread < 1e-12:  # all items sold the same number: the two cannot be told apart, and each item's mean is kept
        return float(squared.mean()), 0.0
    within = max(float(np.cov(inverse, squared, bias=True)[0, 1]) / spread, 0.0)
    between = float(squared.mean()) - within * float(inverse.mean())
    if between < 0:
        return 0.0, float(squared.mean() / inverse.mean())
    return between, within
