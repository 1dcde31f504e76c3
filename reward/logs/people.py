"""Balance test of a column with too many values to compare one by one: users, sessions, queries.

Who clicks often on *other* items says who somebody is before this item's title is drawn. If an item's titles were shown
without regard to the people, those who saw them click alike elsewhere. Each value has a score at each item: its clicks
on all other items over those that the titles it saw there earn from everybody. Titles of an item are compared by the
mean score of the values that they were shown to.

People see many items, and perhaps the same arm of all of them, so rows are not independent, but people are. They are
parted into groups; each group has a vector of sums over arms, with mean zero where titles were shown without regard to
the people. The products of two groups' vectors have mean zero and are uncorrelated, whatever the dependence within
(Chen and Qin 2010). Their sum over its standard error is between a standard normal one (many arms that vary freely) and
(chi-square(1) - 1) / sqrt(2) (one arm for a person throughout), whose longer tail gives the p value.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..arrays import FloatArray, IntArray
from .balance import Balance, ratio, totals
from .grouped import grouped
from .level_counts import compact, floats
from .typed_rows import TypedRows
from .weighting import Weighting, exact_sum, in_units

GROUPS = 32
SAMPLE_ROWS = 2_000_000
"""Rows that the test reads about: of longer logs, those of every k-th value."""
PRIOR_CLICKS = 5.0
"""Clicks expected on other items at which a value's own data weigh as much as the guess that it is like all others."""


@dataclass(frozen=True)
class SeenBy:
    """Counts of arms by the value of a column (a person); shape (n_cells,) each.

    Parameters
    ----------
    person, arm, stratum
        Numbers from 0. A stratum holds the rows whose titles are compared: an item's, at the levels, position and day
        that are taken off.
    item
        Item of each cell.
    impressions
        Impressions.
    clicks, exposure
        As of `reward.logs.balance.LevelCells`.
    weight
        Impressions, each counted 1 / propensity where that differs.
    """

    person: IntArray
    item: IntArray
    arm: IntArray
    stratum: IntArray
    impressions: FloatArray
    clicks: FloatArray
    exposure: FloatArray
    weight: FloatArray


def people_balance(rows: TypedRows, column: str, value: str, weighting: Weighting, *, by_day: bool) -> Balance | None:
    """Test one column; None if its values hardly recur, which leaves nothing to compare.

    Parameters
    ----------
    rows
        Valid rows.
    column, value
        Name of the column, and SQL of its value in a source row.
    weighting
        Weights of impressions; what it takes off is no difference.
    by_day
        True if titles are compared within days only, because they were shown at different times.
    """
    return balance_of_people(column, _seen_by(rows, value, weighting, by_day=by_day))


def balance_of_people(column: str, cells: SeenBy) -> Balance | None:
    """Test one column from its counts."""
    n_people, n_arms = (int(x.max()) + 1 if len(x) else 0 for x in (cells.person, cells.arm))
    rate = ratio(totals(cells.arm, cells.clicks), totals(cells.arm, cells.exposure))
    expected = cells.exposure * rate[cells.arm]
    excess = cells.clicks - expected
    # Sums of one value at one item, in all its cells there, are left out of its score at that item.
    here = _pairs(cells.person, cells.item)
    above, clicks = (totals(cells.person, x)[cells.person] - totals(here, x)[here] for x in (excess, expected))
    score = above / (np.maximum(clicks, 0.0) + PRIOR_CLICKS)
    group = cells.person % GROUPS
    alike = _pairs(group, cells.stratum)
    mean = ratio(totals(alike, cells.impressions * score), totals(alike, cells.impressions))
    apart = score - mean[alike]
    sums = totals(cells.arm * GROUPS + group, cells.weight * apart, n_arms * GROUPS).reshape(n_arms, GROUPS)
    item_of = np.zeros(n_arms, dtype=np.int64)
    item_of[cells.arm] = cells.item
    of_item = totals(cells.item, cells.weight)[item_of]
    p_value = _p_of_products(sums / np.sqrt(np.maximum(of_item, 1e-300))[:, None])
    if p_value is None:
        return None
    between = float(np.sum(ratio(sums.sum(axis=1) ** 2 - np.sum(sums**2, axis=1), totals(cells.arm, cells.weight))))
    within = float(np.sum(cells.weight * apart**2))
    told = totals(group, excess * score, GROUPS)
    spread = float(np.sqrt(np.sum(told**2)))
    high, low = (float(np.sum(cells.clicks[x]) / max(np.sum(expected[x]), 1e-300)) for x in (score > 0, score < 0))
    return Balance(
        column,
        n_people,
        p_value,
        float(np.sqrt(max(0.0, between) / within)),
        float(stats.norm.sf(told.sum() / spread)) if spread > 0 else 1.0,
        high / low if high > 0 and low > 0 else 1.0,
        tied_share=1.0,
        people=True,
    )


def _p_of_products(vectors: FloatArray) -> float | None:
    """P value of vectors, shape (n, groups), whose mean is zero; None where they say nothing."""
    products = (vectors.T @ vectors)[np.triu_indices(vectors.shape[1], 1)]
    spread = float(np.sqrt(np.sum(products**2)))
    if spread <= 1e-12:
        return None
    return float(stats.chi2.sf(max(0.0, 1.0 + np.sqrt(2.0) * float(products.sum()) / spread), 1))


def _pairs(first: IntArray, second: IntArray) -> IntArray:
    """Number of each pair, from 0."""
    return np.unique(first * (second.max(initial=0) + 1) + second, return_inverse=True)[1].astype(np.int64)


def _seen_by(rows: TypedRows, value: str, weighting: Weighting, *, by_day: bool) -> SeenBy:
    total = rows.source.query(f"SELECT count(*) FROM {rows.source.relation}", rows.source.parameters).fetchall()[0][0]
    step = -(-int(total) // SAMPLE_ROWS)
    levels, parameters = weighting.levels(rows)
    strata = dict(levels)
    if weighting.bias is not None:
        strata["shown_at"] = f"coalesce(CAST(round({rows.expression('position')}) AS BIGINT), -1)"
    if by_day:
        strata["shown_on"] = f"CAST(floor({rows.expression('timestamp')} / 86400) AS BIGINT)"
    person = f"CASE WHEN {value} IS NOT NULL AND hash({value}) % {step} = 0 THEN hash({value}) END"
    sums = {
        "seen": exact_sum("impressions"),
        "clicked": exact_sum("clicks * counts"),
        "exposure": exact_sum("impressions * exposed"),
        "weight": exact_sum("impressions * counts"),
    }
    parameters |= weighting.parameters(rows)
    table = f"(SELECT * FROM {weighting.table(rows, {'person': person, **strata})} WHERE person IS NOT NULL)"
    keys = ("person", "item_id", "title", *strata)
    found, parameters = grouped(rows, keys, sums, table, parameters, joined=weighting.tables)
    by = ", ".join(("item", *strata))
    query = (
        "SELECT dense_rank() OVER (ORDER BY person) - 1 AS person, item, arm, "
        f"dense_rank() OVER (ORDER BY {by}) - 1 AS stratum, "
        f"{', '.join(f'{in_units(name)} AS {name}' for name in sums)} "
        f"FROM {found} JOIN (SELECT arm, item, item_id, title FROM arms) USING (item_id, title) "
        "ORDER BY person, arm, stratum"
    )
    table = rows.source.table(query, parameters)
    names = ("person", "item", "arm", "stratum")
    person_of, item, arm, stratum = (compact(floats(table.column(name))) for name in names)
    seen, clicks, exposure, weight = (floats(table.column(name)) for name in sums)
    return SeenBy(person_of, item, arm, stratum, seen, clicks, exposure, weight)
