"""Arms whose counts compare titles: those of rows with unlike propensities, and of titles in unlike circumstances."""

from dataclasses import dataclass, replace

import numpy as np

from ..arms import Arms
from ..arrays import FloatArray
from .aggregate import Columns, inverse_sums
from .level_counts import stratum_cells
from .periods import OFTEN_ALONE, Periods, alone_share
from .standardised import Standardised
from .typed_rows import TypedRows
from .weighting import Weighting

_SURE_CLICKS = 20.0
MIN_SPREAD = 0.8
"""Share of the exposure of titles seen in several strata of times, under which times cannot be taken off by title."""


@dataclass(frozen=True)
class InverseWeighted:
    """Counts of arms whose rows have unlike propensities, shape (n_arms,) each.

    Rates are those of rows weighted by 1 / propensity; the counts are as many as would have their variance (Kish's
    effective sample size, and that of the clicks themselves where there are enough of them). Arms of one propensity
    keep their own counts.

    Parameters
    ----------
    clicks, exposure, conversions, revenue, matured_clicks
        Effective counts.
    shown, shown_squared
        Sums of 1 / propensity and of its square over the impressions: an item's impressions are what the first
        estimates.
    """

    clicks: FloatArray
    exposure: FloatArray
    conversions: FloatArray
    revenue: FloatArray
    matured_clicks: FloatArray
    shown: FloatArray
    shown_squared: FloatArray

    @classmethod
    def of(
        cls,
        rows: TypedRows,
        sums: Columns,
        exposure: FloatArray,
        matured: FloatArray | None,
        window_hours: float | None,
    ) -> "InverseWeighted":
        """From the arms' sums; ``exposure`` and ``matured`` are weighted by 1 / propensity already."""
        weighted = inverse_sums(rows, window_hours)
        impressions = sums["propensity_impressions"].astype(np.float64)
        shown, squared = weighted["shown"], weighted["squared"]
        mean = shown / impressions
        by_impressions = squared * impressions / shown**2
        clicks = weighted["clicks"] / mean
        design = weighted["clicks_squared"] / mean**2 + _SURE_CLICKS * by_impressions
        design = np.maximum(design / (clicks + _SURE_CLICKS), 1.0)
        constant = sums["least_propensity"] == sums["most_propensity"]
        scale = np.where(constant, 1.0 / mean, 1.0 / mean / design)
        whole = {"clicks": sums["clicks"], "conversions": sums.get("conversions"), "revenue": sums.get("revenue")}
        counts = {
            name: np.where(constant, 0.0 if value is None else value.astype(np.float64), weighted[name] * scale)
            for name, value in whole.items()
        }
        matured = weighted["clicks"] if matured is None else matured
        return cls(
            **counts, exposure=exposure * scale, matured_clicks=matured * scale, shown=shown, shown_squared=squared
        )


def reweighted(arms: Arms, weighted: InverseWeighted) -> Arms:
    """The arms with effective counts in place of their own; impressions stay, they are the item's traffic."""
    return replace(
        arms,
        clicks=weighted.clicks,
        exposure=weighted.exposure,
        conversions=None if arms.conversions is None else weighted.conversions,
        revenue=None if arms.revenue is None else weighted.revenue,
        matured_clicks=None if arms.conversions is None else weighted.matured_clicks,
    )


def at_like_circumstances(
    arms: Arms, rows: TypedRows, weighting: Weighting, periods: Periods | None, window_hours: float | None
) -> Arms:
    """The arms with effective counts in place of their own, where titles were shown in unlike circumstances.

    Times are taken off title by title only where an item's titles ran side by side.

    Parameters
    ----------
    arms, rows
        The arms, and the valid rows that they are made of.
    weighting
        What is taken off.
    periods
        Times within the log, None if an item's titles were shown at like dates.
    window_hours
        Attribution window of conversions.
    """
    parted = any(np.any(effect.stratum > 0) for effect in weighting.effects)
    cells = stratum_cells(rows, weighting, window_hours) if parted else None
    if periods is not None and (alone_share(arms) or 0.0) <= OFTEN_ALONE:
        effects = (*weighting.effects, periods.effect(rows.expression("timestamp")))
        timed = stratum_cells(rows, replace(weighting, effects=effects), window_hours)
        cells = timed if timed.spread >= MIN_SPREAD else cells
    if cells is None:
        return arms
    standard = Standardised.of(cells, len(arms))
    matured = arms.matured_clicks
    if matured is not None:
        matured = standard.clicks * np.divide(matured, arms.clicks, out=np.ones(len(arms)), where=arms.clicks > 0)
    conversions = standard.conversions
    if matured is not None and conversions is not None:
        conversions = np.minimum(conversions, matured)
    return replace(
        arms,
        clicks=standard.clicks,
        exposure=standard.exposure * arms.exposure / standard.plain,
        conversions=conversions,
        revenue=standard.revenue,
        matured_clicks=matured,
    )
