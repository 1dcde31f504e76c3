"""Weight of an impression: by its propensity, its position, and the levels of other columns that describe it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, IntArray
from .grouped import grouped
from .impression_columns import Crossed, Days, ImpressionColumn
from .position import PositionBias
from .text_files import Parameters
from .typed_rows import TypedRows

UNIT = 10**9
"""Sums are made of whole multiples of 1 / UNIT, so that they do not depend on the order in which threads add."""


@dataclass(frozen=True)
class LevelEffect:
    """Effect of a column that is taken off.

    Parameters
    ----------
    column
        The column, several crossed, or the time.
    theta
        Relative click rate at each of its levels, whatever the title, shape (n_levels,).
    stratum
        Stratum of each level, shape (n_levels,): see `reward.logs.standardised`.
    """

    column: ImpressionColumn | Crossed | Days
    theta: FloatArray
    stratum: IntArray


@dataclass(frozen=True)
class Weighting:
    """Weighting of rows.

    Parameters
    ----------
    by_propensity
        True if rows count 1 / propensity: where propensities differ between rows of an arm, only so are its
        impressions like the item's (Horvitz and Thompson 1952). Rows without a propensity count nothing.
    bias
        Examination by position, None where none is logged.
    effects
        Columns that describe the impression, and are taken off.
    """

    by_propensity: bool = False
    bias: PositionBias | None = None
    effects: tuple[LevelEffect, ...] = ()

    @property
    def trivial(self) -> bool:
        """True if every impression has an exposure of one."""
        return self.bias is None and not self.effects

    @property
    def tables(self) -> tuple[str, ...]:
        """Temporary tables that `table` names."""
        return ("weights", *(table for effect in self.effects for table in effect.column.tables))

    def levels(self, rows: TypedRows) -> tuple[dict[str, str], Parameters]:
        """SQL of the levels that rows are compared at, by name, and the parameters that it and a select take."""
        columns = {f"level{i}": effect.column for i, effect in enumerate(self.effects)}
        parameters = dict(rows.parameters)
        for name, column in columns.items():
            parameters |= column.parameters(name)
        return {name: column.level_sql(name) for name, column in columns.items()}, parameters

    def parameters(self, rows: TypedRows) -> Parameters:
        """Parameters of `table`; also makes the table of the positions' weights."""
        out = dict(rows.parameters)
        for i, effect in enumerate(self.effects):
            out |= effect.column.parameters(f"levels{i}")
            out[f"theta{i}"] = effect.theta.tolist()
        places = {-1: 1.0}  # a place that no row has
        if self.bias is not None:
            places = dict(zip(self.bias.position.tolist(), self.bias.theta.tolist(), strict=True))
        least = 1 / UNIT  # no exposure is rounded to nothing
        weight_table(rows, {place: max(weight, least) for place, weight in places.items()})
        return out

    def table(self, rows: TypedRows, extra: Mapping[str, str] | None = None, *names: str) -> str:
        """SQL of rows item_id, title, impressions, clicks, counts and exposed, with ``extra`` source expressions.

        ``names`` are further canonical columns.
        ``counts`` is what the row's impressions and clicks count, ``exposed`` what its impressions do when compared
        with clicks: ``counts`` times the relative click rate of its position and levels.
        """
        values = dict(extra or {})
        values["counts"] = f"1 / ({rows.expression('propensity')})" if self.by_propensity else "CAST(1 AS DOUBLE)"
        levels = (effect.column.level_sql(f"levels{i}") for i, effect in enumerate(self.effects))
        factors = [f"list_element($theta{i}, {level} + 1)" for i, level in enumerate(levels)]
        values["effect"] = " * ".join(factors) or "CAST(1 AS DOUBLE)"
        position = "NULL" if self.bias is None else rows.expression("position")
        values["place"] = f"CAST(round({position}) AS BIGINT)"
        source = rows.select("item_id", "title", "impressions", "clicks", *names, where="impressions > 0", extra=values)
        return (
            f"(SELECT *, counts * effect * coalesce(weight, {UNIT}) / {UNIT} AS exposed FROM {source} "
            "LEFT JOIN weights ON place = key WHERE counts IS NOT NULL)"
        )


def whole(sql: str) -> str:
    """SQL of a number as a whole multiple of 1 / UNIT."""
    return f"CAST(round(({sql}) * {UNIT}) AS HUGEINT)"


def exact_sum(sql: str) -> str:
    """SQL of a sum in whole multiples of 1 / UNIT."""
    return f"sum({whole(sql)})"


def in_units(sql: str) -> str:
    """SQL of n multiples of 1 / UNIT as a number."""
    return f"CAST({sql} AS DOUBLE) / {UNIT}"


def summed(sql: str) -> str:
    """SQL of an exact sum."""
    return in_units(exact_sum(sql))


def weight_table(rows: TypedRows, weights: Mapping[int, float]) -> None:
    """Table ``weights`` (key, weight): weights as whole multiples of 1 / UNIT."""
    rows.source.query(
        "CREATE OR REPLACE TEMP TABLE weights AS SELECT unnest($keys) AS key, unnest($weights) AS weight",
        {"keys": list(weights), "weights": [round(w * UNIT) for w in weights.values()]},
    )


def exposure(rows: TypedRows, weighting: Weighting) -> FloatArray:
    """Exposure of each arm, shape (n_arms,): its impressions with what each counts for."""
    parameters = weighting.parameters(rows)
    if not weighting.by_propensity and not weighting.effects:  # the arms' counts by position are there already
        by_place = f"sum(CAST(cells.impressions AS HUGEINT) * coalesce(weight, {UNIT})) AS seen"
        by_arm = (
            f"(SELECT item_id, title, {by_place} FROM cells LEFT JOIN weights ON place = key GROUP BY item_id, title)"
        )
        return _in_order(rows, by_arm)
    seen = {"seen": exact_sum("impressions * exposed")}
    table = weighting.table(rows)
    by_arm, parameters = grouped(rows, ("item_id", "title"), seen, table, parameters, joined=weighting.tables)
    return _in_order(rows, by_arm, parameters)


def _in_order(rows: TypedRows, by_arm: str, parameters: Parameters | None = None) -> FloatArray:
    query = f"SELECT {in_units('seen')} AS n FROM {by_arm} JOIN arms USING (item_id, title) ORDER BY arm"
    return np.asarray(rows.source.table(query, parameters).column("n").to_numpy(), dtype=np.float64)
