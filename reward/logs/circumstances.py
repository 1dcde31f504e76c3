"""Circumstances in which titles were shown: tests of what the logs record of them, and corrections where they matter.

Titles of an item are comparable where they were shown in similar circumstances. Logs record three kinds of difference:
propensities that differ between the rows of one arm (each row then counts 1 / propensity), positions (corrected for by
examination), and every column that describes the impression (clicks are compared at equal levels where titles
have different levels and clicks depend on the level). Unlogged circumstances cannot be separated from the titles.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from .aggregate import Columns
from .balance import MIN_TIED, Balance, LevelCells, balance_of
from .combinations import MIN_BIAS, combination_balances, linked, pairs_of
from .effects import taken_effects, taken_together
from .held import held_by_titles
from .impression_columns import AT_ONCE, DATE, TIME, ImpressionColumn, impression_columns
from .item_fields import batched
from .level_counts import level_cells
from .people import people_balance
from .position import PositionBias
from .some_items import some_items
from .standardised import MAX_STRATA
from .typed_rows import TypedRows
from .weighting import Weighting

LEVEL = 0.01
"""False-discovery rate at which titles count as shown under unlike circumstances."""
_ROWS_AND_ITEMS_FOR_COMBINATIONS = 500_000, 100  # many pairs of columns, and all items tell their factors together
_ROWS_FOR_EFFECTS = 20_000_000  # what is taken off has to be known better than that it matters
_ROWS_FOR_VALUES = 5_000_000  # where a column has hundreds of them, counts are many


@dataclass(frozen=True)
class Circumstances:
    """Circumstances that were found, and the weight they give a row.

    Parameters
    ----------
    balances
        The test of each column that describes the impression.
    weighting
        Weights of impressions, for every later sum.
    dates_differ
        True if an item's titles were shown at different dates, and many of them at several.
    """

    balances: tuple[Balance, ...]
    weighting: Weighting
    dates_differ: bool


def circumstances(
    rows: TypedRows,
    some: TypedRows,
    sums: Columns,
    bias: PositionBias | None,
    differing: Sequence[str],
    *,
    replaced: bool,
) -> Circumstances:
    """Test every column that describes the impression, and take off those that titles and clicks both go with.

    Parameters
    ----------
    rows, some, sums
        Valid rows, those of some items (`reward.logs.some_items`), which are tested, and the arms' sums
        (`reward.logs.aggregate.aggregate`).
    bias
        Examination by position, None where no position is logged.
    differing
        Columns that differ within items, see `reward.logs.item_fields.ItemFields`.
    replaced
        True if an item's titles may have been shown at different times, which `reward.logs.periods` takes off.
    """
    weighting = Weighting(propensities_differ(sums), bias)
    every = impression_columns(rows, some, differing, timed=not replaced)
    columns = [column for column in every if column.n_levels > 2]
    left_out = {DATE} if replaced else set()
    found = [*_balances(some, columns, weighting, left_out)]
    few = some_items(some, *_ROWS_AND_ITEMS_FOR_COMBINATIONS)
    found += combination_balances(few, pairs_of(columns, dates=not replaced), weighting, found)
    found = with_held(found)
    # Whether revenue differs by a column is not tested: it may.
    differ = [balance for balance in unlike(found) if not balance.held]
    matter = [balance for balance in differ if balance.outcomes or rows.has("revenue")]
    sets, names = linked(
        [balance for balance in matter if balance.columns], {column.name: column.n_levels for column in columns}
    )
    names |= {balance.column for balance in matter if not balance.columns}
    balances = tuple(replace(balance, adjusted=balance.column in names) for balance in found)
    # Titles at levels of their own cannot be compared, which is a doubt: their counts stay as they are.
    shared = all(balance.tied_share >= MIN_TIED for balance in matter)
    if taken := taken_together(columns, sets, names - left_out):
        most_rows = _ROWS_FOR_VALUES if any(column.grouped for own in taken for column in own) else _ROWS_FOR_EFFECTS
        effects = taken_effects(some_items(rows, most_rows), taken, weighting, MAX_STRATA if shared else 1)
        weighting = replace(weighting, effects=effects)
    people = [column for column in every if column.names_people and column.name not in names]
    tested = (people_balance(rows, column.name, column.sql, weighting, by_day=replaced) for column in people)
    return Circumstances(
        (*balances, *(balance for balance in tested if balance is not None)), weighting, shared and DATE in names
    )


def unlike(balances: Sequence[Balance]) -> list[Balance]:
    """Balances that show different circumstances for an item's titles, at the false-discovery rate `LEVEL`.

    Columns are one family of tests, their combinations another; of these, differences that cannot matter are left out.
    """
    out = []
    for family in ([b for b in balances if not b.columns], [b for b in balances if b.columns]):
        if family:
            rejected = stats.false_discovery_control([balance.p_value for balance in family]) <= LEVEL
            out += [balance for balance, unbalanced in zip(family, rejected, strict=True) if unbalanced or balance.held]
    return [balance for balance in out if not balance.columns or balance.imbalance >= MIN_BIAS or balance.held]


def with_held(balances: Sequence[Balance]) -> list[Balance]:
    """The balances, of which those are marked that titles hold, at the false-discovery rate `LEVEL`.

    Combinations of a column that titles hold by itself say nothing more.
    """
    alone = [b.column for b in _discovered([b for b in balances if not b.columns])]
    apart = [b for b in balances if not set(b.columns) & set(alone)]
    held = {balance.column for balance in _discovered(apart)}
    return [replace(balance, held=balance.column in held) for balance in balances]


def _discovered(balances: Sequence[Balance]) -> list[Balance]:
    tested = [(balance, balance.title_p_value) for balance in balances if balance.title_p_value is not None]
    if not tested:
        return []
    found = stats.false_discovery_control([p_value for _, p_value in tested]) <= LEVEL
    return [balance for (balance, _), differs in zip(tested, found, strict=True) if differs]


def propensities_differ(sums: Columns) -> bool:
    """True if rows of one arm have different propensities."""
    return "least_propensity" in sums and bool(np.any(sums["least_propensity"] < sums["most_propensity"]))


def _balances(
    rows: TypedRows, columns: Sequence[ImpressionColumn], weighting: Weighting, left_to_periods: set[str]
) -> Iterator[Balance]:
    for part in batched(columns, AT_ONCE):
        cells = level_cells(rows, part, weighting)
        for column in part:
            own = cells[column.name]
            if column.name in (DATE, TIME):  # later conversions are still to come
                own = replace(own, conversions=None)
            balance = balance_of(column.name, own)
            title_p = None
            if balance.p_value <= LEVEL and column.name not in left_to_periods:
                title_p = _p_if_held(rows, column, own, balance, weighting)
            yield replace(balance, pooled=column.pooled, title_p_value=title_p)


def _p_if_held(
    rows: TypedRows, column: ImpressionColumn, cells: LevelCells, balance: Balance, weighting: Weighting
) -> float | None:
    """`Balance.title_p_value` of a column that is not balanced, and does not surely go with clicks within titles."""
    if column.grouped:  # by the click rates that are tested
        cells = level_cells(rows, [column.by_value], weighting)[column.name]
    elif min(balance.click_p_value, balance.conversion_p_value) < LEVEL:
        return None
    return held_by_titles(cells, column.by_value.n_levels, of_item=column.of_item)
