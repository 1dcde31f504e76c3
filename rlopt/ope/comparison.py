"""Two arms compared: the log of the quotient of a metric, what each row adds to it, and its error by design."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reward.arrays import BoolArray, FloatArray, IntArray

from .intervals import ClusteredInterval, clustered_interval
from .rounds import RoundsError
from .serial import changes_arms, common_periods, two_way
from .stratified import LogRatio, adjusted, comparable_share, mantel_haenszel

Design = Literal["visitors", "items", "serial"]
"""Unit of the split: visitors, so that items have both arms at a time; items, each whole in one arm; or (serial) the
time, one arm of an item after the other."""

FEWEST_BLOCKS = 20


@dataclass(frozen=True)
class Counts:
    """Results of two arms, one row an item, arm and (perhaps) day and visitor; arrays of shape (n,).

    Parameters
    ----------
    treated
        True for the treatment.
    item
        Item of each row, integers from 0.
    impressions, events
        Denominator and numerator of the metric: impressions and clicks, or any two sums.
    day
        Day of each row, integers from 0 in order of time; None without dates.
    visitor
        Visitor (or another unit that was randomised) of each row, integers from 0; None where it is not known, and
        impressions are taken as independent.
    expected
        Covariates, shape (n,) or (n, k): events expected whichever arm the item or visitor went to, as clicks before
        the test; None without.
    block
        Block of each row's item, integers from 0, where whole items were shared between the arms within blocks of
        alike ones; None where they were not, or it is not known.
    """

    treated: BoolArray
    item: IntArray
    impressions: FloatArray
    events: FloatArray
    day: IntArray | None = None
    visitor: IntArray | None = None
    expected: FloatArray | None = None
    block: IntArray | None = None

    @property
    def days(self) -> IntArray:
        """Day of each row; all one day without dates."""
        return np.zeros(len(self.item), dtype=np.int64) if self.day is None else self.day

    def take(self, rows: BoolArray) -> "Counts":
        """These rows only."""
        return Counts(
            self.treated[rows],
            self.item[rows],
            self.impressions[rows],
            self.events[rows],
            *(None if x is None else x[rows] for x in (self.day, self.visitor, self.expected, self.block)),  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Comparison:
    """Difference between two arms, with its error.

    Parameters
    ----------
    design
        Unit of the split: visitors, items or periods.
    ratio
        The log ratio that decides.
    unadjusted
        The one without covariates; the same where there are none.
    unadjusted_error
        The error of that one.
    removed_variance
        Share of the variance that the covariates remove; None without.
    cluster
        Independent unit of each row: that of the randomisation with the largest variance, or the block
        within which items were shared between the arms; integers from 0.
    std_error
        Of the log ratio; two-way where units and items cross.
    effective, clusters
        The effective and the plain number of independent units.
    """

    design: Design
    ratio: LogRatio
    unadjusted: LogRatio
    unadjusted_error: float
    removed_variance: float | None
    cluster: IntArray
    std_error: float
    effective: float
    clusters: int


def compare(counts: Counts, design: Design | None = None) -> Comparison:
    """The arms' log ratio with its error, by what was split.

    Visitors: within each day and item (Mantel-Haenszel); items: within each day; either with the covariates where there
    are some; serial: within each item, days' levels taken off (two-way log-linear).

    Errors are by item, and where visitors are known by visitor too (two-way, Cameron, Gelbach and Miller 2011), or of a
    single item by them alone; by block where items were randomised within blocks, whose items differ less than any two
    (de Chaisemartin and Ramirez-Cuellar 2024, at what level should one cluster standard errors in paired and
    small-strata experiments?); by day or period, whichever is wider, where all items of a serial test change together.

    Raises
    ------
    RoundsError
        There is too little to compare, or no error to be had.
    """
    design = design or design_of(counts)
    if design == "serial":
        ratio = plain_ratio = two_way(counts.treated, counts.item, counts.days, counts.impressions, counts.events)
    else:
        stratum = day_and_item(counts) if design == "visitors" else counts.days
        ratio = plain_ratio = mantel_haenszel(counts.treated, stratum, counts.impressions, counts.events)
        if before := _before(counts, stratum):
            ratio = adjusted(
                plain_ratio, before, counts.item if design == "items" or counts.visitor is None else counts.visitor
            )
    return _with_error(counts, design, ratio, plain_ratio)


def design_of(counts: Counts) -> Design:
    """Infer what was split from most impressions: both arms of an item on a day, one after another, or only one."""
    if comparable_share(counts.treated, day_and_item(counts), counts.impressions) > 0.5:
        return "visitors"
    both = comparable_share(counts.treated, counts.item, counts.impressions)
    if counts.day is not None and both > 0.5 and changes_arms(counts.treated, counts.item, counts.days):
        return "serial"
    return "items"


def day_and_item(counts: Counts) -> IntArray:
    """Number of each row's day and item together."""
    cell = counts.days * (int(counts.item.max()) + 1) + counts.item
    return np.asarray(np.unique(cell, return_inverse=True)[1], dtype=np.int64)


def cluster_sums(values: FloatArray, cluster: IntArray) -> FloatArray:
    """Sum of each cluster that occurs, shape (n_clusters,)."""
    where = np.unique(cluster, return_inverse=True)[1]
    return np.bincount(where, values).astype(np.float64)


def _before(counts: Counts, stratum: IntArray) -> list[LogRatio]:
    """The ratio of what was expected by each covariate, where both arms' units had anything before the test."""
    if counts.expected is None:
        return []
    columns = counts.expected.reshape(len(counts.item), -1).T
    sides = (counts.treated, ~counts.treated)
    known = [column for column in columns if all(column[rows].sum() > 0 for rows in sides)]
    return [mantel_haenszel(counts.treated, stratum, counts.impressions, column) for column in known]


def _split_units(counts: Counts) -> IntArray:
    """Independently randomised units where items were split: blocks of items, or items.

    Fewer than `FEWEST_BLOCKS` blocks give no error; that of items is too wide then, and holds.
    """
    if counts.block is None or len(np.unique(counts.block)) < FEWEST_BLOCKS:
        return counts.item
    return counts.block


def _with_error(counts: Counts, design: Design, ratio: LogRatio, plain_ratio: LogRatio) -> Comparison:
    clusters = [_split_units(counts) if design == "items" else counts.item]
    if design == "serial":  # periods lie within items, unless all items change together
        periods = common_periods(counts.treated, counts.days, counts.impressions)
        clusters = clusters if periods is None else [counts.days, periods]
    elif counts.visitor is not None and (counts.item == counts.item[0]).all():
        clusters = [counts.visitor]  # one item's visitors are all there is to draw
    elif counts.visitor is not None:
        clusters += [counts.visitor, counts.visitor * (int(counts.item.max()) + 1) + counts.item]
    found = _intervals(ratio, clusters)
    squares = [interval.std_error**2 for interval in found]
    if max(squares) == 0:
        raise RoundsError("Every item has the same rates, so that the error is unknown. Are these real results?")
    widest = int(np.argmax(squares[:2]))
    error = _two_way_error(found)
    bare = error if ratio is plain_ratio else _two_way_error(_intervals(plain_ratio, clusters))
    return Comparison(
        design,
        ratio,
        plain_ratio,
        bare,
        None if ratio is plain_ratio else max(1 - (error / bare) ** 2, 0.0),
        clusters[widest],
        error,
        _effective(found, in_blocks=design == "items" and clusters[0] is counts.block),
        min(len(np.unique(cluster)) for cluster in clusters[:2]),
    )


def _effective(found: Sequence[ClusteredInterval], *, in_blocks: bool) -> float:
    """The effective number of clusters, of blocks as many as Satterthwaite's degrees of freedom.

    G_eff takes the fourth powers of sums as seen, which are three times those of normal sums' variances, and errs on
    the wide side. Sums over blocks need less care: given their size each is as likely of either sign, so that few that
    weigh much make the tails lighter (Efron 1969, Student's t-test under symmetry conditions).
    """
    fewest = min(interval.effective_clusters for interval in found[:2])
    return 3 * fewest if in_blocks else fewest


def _intervals(ratio: LogRatio, clusters: Sequence[IntArray]) -> list[ClusteredInterval]:
    """Interval by each kind of cluster."""
    sums = [cluster_sums(ratio.influence, cluster) for cluster in clusters]
    return [clustered_interval(1.0, u, confidence=0.95, log_scale=True) for u in sums]


def _two_way_error(found: Sequence[ClusteredInterval]) -> float:
    """The larger of two, or with a third, of where they cross, their sum less that one if it is larger still."""
    squares = [interval.std_error**2 for interval in found]
    variance = max(squares[:2])
    if len(squares) > 2:
        variance = max(squares[0] + squares[1] - squares[2], variance)
    return float(np.sqrt(variance))
