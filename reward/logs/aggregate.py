"""From rows to arms: the sums that DuckDB makes of the logs, in memory that does not grow with the rows.

Sums of fractions are made of whole multiples of 1e-9, so that they do not depend on the order in which threads add.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray
from .delay import DelayModel, bin_hours, bin_sql, fit_delay
from .grouped import grouped
from .position import PositionBias, examination
from .text_files import Parameters
from .typed_rows import TypedRows
from .weighting import UNIT, Weighting, exact_sum, in_units, summed, weight_table

Columns = dict[str, npt.NDArray[Any]]
_MIN_FREEDOM = 30
_DAY = "CAST(floor(timestamp / 86400) AS BIGINT)"


def aggregate(rows: TypedRows, window_hours: float | None) -> Columns:
    """Make the tables ``cells`` (arm by position) and ``arms``; return the columns of ``arms`` in order.

    Arms are sorted by item_id, then title, in the order of code points. ``item_id`` and ``title`` are texts,
    ``item`` the rank of the item, the others sums; ``inverse_propensity`` is the sum of 1 / propensity over
    ``propensity_impressions``, ``seconds`` that of the impressions' times.
    """
    amounts = counted(rows, window_hours)
    parameters = dict(rows.parameters)
    if window_hours is not None and rows.has("conversion_delay_hours"):
        parameters["window"] = window_hours
    sums = {
        "rows": "count(*)",
        "impressions": "CAST(sum(CAST(impressions AS BIGINT)) AS BIGINT)",
        "clicks": "CAST(sum(CAST(clicks AS BIGINT)) AS BIGINT)",
    }
    if rows.has("conversions"):
        sums["conversions"] = f"CAST(sum(CAST({amounts['conversions']} AS BIGINT)) AS BIGINT)"
    if rows.has("revenue"):
        sums["revenue"] = f"sum(CAST(round({amounts['revenue']} * {UNIT}) AS HUGEINT))"
    if rows.has("propensity"):
        whole = "CAST(impressions AS HUGEINT) * CAST(round(1e9 / propensity) AS HUGEINT)"
        sums |= {
            "propensity_impressions": "coalesce(CAST(sum(CAST(impressions AS BIGINT)) "
            "FILTER (propensity IS NOT NULL) AS BIGINT), 0)",
            "inverse_propensity": f"coalesce(sum({whole}), 0)",
            "least_propensity": "min(propensity)",
            "most_propensity": "max(propensity)",
        }
    if rows.has("timestamp"):
        whole = "CAST(impressions AS HUGEINT) * CAST(round(timestamp) AS HUGEINT)"
        sums |= {"first_seen": "min(timestamp)", "last_seen": "max(timestamp)", "seconds": f"coalesce(sum({whole}), 0)"}
    position = "CAST(round(position) AS BIGINT)" if rows.has("position") else "CAST(NULL AS BIGINT)"
    names = ("item_id", "title", "impressions", "clicks", "conversions", "revenue", "conversion_delay_hours")
    table = rows.select(*names, "propensity", "position", "timestamp", where="impressions > 0")
    sql, parameters = grouped(rows, ("item_id", "title", f"{position} AS place"), sums, table, parameters)
    query = rows.source.query
    query(f"CREATE OR REPLACE TEMP TABLE cells AS SELECT * FROM {sql}", parameters)
    again = ", ".join(f"{_again(name)} AS {name}" for name in sums)
    query(
        "CREATE OR REPLACE TEMP TABLE arms AS SELECT row_number() OVER (ORDER BY item_id, title) - 1 AS arm, "
        "dense_rank() OVER (ORDER BY item_id) - 1 AS item, * FROM "
        f"(SELECT item_id, title, count(place) AS places, {again} FROM cells GROUP BY item_id, title)"
    )
    return fetch(rows, "SELECT * FROM arms ORDER BY arm")


def position_bias(rows: TypedRows) -> PositionBias:
    """Examination by position, from the table ``cells``."""
    totals = fetch(
        rows, "SELECT place, CAST(sum(impressions) AS BIGINT) AS n FROM cells WHERE place IS NOT NULL GROUP BY place"
    )
    cells = fetch(
        rows,
        "SELECT arm, place, cells.impressions, cells.clicks FROM cells JOIN arms USING (item_id, title) "
        "WHERE place IS NOT NULL AND places >= 2 AND arms.clicks > 0 ORDER BY arm, place",
    )
    return examination(
        cells["arm"],
        cells["place"],
        cells["impressions"].astype(np.float64),
        cells["clicks"].astype(np.float64),
        dict(zip(totals["place"].tolist(), totals["n"].tolist(), strict=True)),
    )


def inverse_sums(rows: TypedRows, window_hours: float | None) -> Columns:
    """Sums of each arm's rows weighted by w = 1 / propensity, in the order of ``arms``.

    Columns shown (w * impressions), squared (w^2 * impressions), clicks, clicks_squared (w^2 * clicks), conversions and
    revenue; rows without a propensity count nothing.
    """
    amounts = counted(rows, window_hours)
    parameters = dict(rows.parameters)
    if window_hours is not None and rows.has("conversion_delay_hours"):
        parameters["window"] = window_hours
    names = ("item_id", "title", "impressions", "clicks", "conversions", "revenue", "conversion_delay_hours")
    table = rows.select(*names, "propensity", where="impressions > 0 AND propensity IS NOT NULL")
    sums = {
        "shown": "impressions / propensity",
        "squared": "impressions / propensity / propensity",
        "clicks": "clicks / propensity",
        "clicks_squared": "clicks / propensity / propensity",
        "conversions": f"{amounts['conversions']} / propensity",
        "revenue": f"{amounts['revenue']} / propensity",
    }
    back = ", ".join(f"{in_units(f'w_{name}')} AS {name}" for name in sums)
    values = {f"w_{name}": exact_sum(sql) for name, sql in sums.items()}
    by_arm, parameters = grouped(rows, ("item_id", "title"), values, table, parameters)
    return fetch(rows, f"SELECT {back} FROM {by_arm} JOIN arms USING (item_id, title) ORDER BY arm", parameters)


def day_totals(rows: TypedRows) -> Columns:
    """Columns day (since 1970) and clicks, of the days that have impressions, in order."""
    table = rows.select("impressions", "clicks", "timestamp", where="impressions > 0")
    clicks = {"clicked": "CAST(sum(CAST(clicks AS BIGINT)) AS BIGINT)"}
    by_day, parameters = grouped(rows, (f"{_DAY} AS day",), clicks, table, rows.parameters)
    return fetch(rows, f"SELECT day, clicked AS clicks FROM {by_day} ORDER BY day", parameters)


def period_cells(rows: TypedRows, weighting: Weighting, period_of_day: Mapping[int, int], most: int) -> Columns:
    """Make the table ``timed`` (arm by period); return columns arm, period, clicks and exposure of about ``most`` rows.

    If there are more, they are those of every k-th item.
    """
    query = rows.source.query
    query(
        "CREATE OR REPLACE TEMP TABLE days AS SELECT unnest($days) AS day, unnest($periods) AS period",
        {"days": list(period_of_day), "periods": list(period_of_day.values())},
    )
    day = f"CAST(floor({rows.expression('timestamp')} / 86400) AS BIGINT)"
    parameters = weighting.parameters(rows)
    by_period, parameters = grouped(
        rows,
        ("item_id", "title", "period"),
        {"clicked": exact_sum("clicks * counts"), "seen": exact_sum("impressions * exposed")},
        f"{weighting.table(rows, {'day': day})} JOIN days USING (day)",
        parameters,
        joined=(*weighting.tables, "days"),
    )
    query(
        f"CREATE OR REPLACE TEMP TABLE timed AS SELECT arm, item, period, {in_units('clicked')} AS clicks, "
        f"{in_units('seen')} AS shown FROM {by_period} "
        "JOIN (SELECT arm, item, item_id, title FROM arms) USING (item_id, title)",
        parameters,
    )
    n = query("SELECT count(*) FROM timed").fetchall()[0][0]
    return fetch(
        rows,
        f"SELECT arm, period, clicks, shown AS exposure FROM timed "
        f"WHERE item % {max(1, -(-n // most))} = 0 ORDER BY arm, period",
    )


def level_exposure(rows: TypedRows, level: FloatArray) -> FloatArray:
    """Exposure of each arm weighted by the level of its periods, from the table ``timed``."""
    weight_table(rows, dict(enumerate(level.tolist())))
    by_arm = (
        f"SELECT arm, {summed(f'shown * weight / {UNIT}')} AS n FROM timed JOIN weights ON period = key GROUP BY arm"
    )
    found = fetch(rows, f"SELECT n FROM ({by_arm}) JOIN arms USING (arm) ORDER BY arm")
    return np.asarray(found["n"], dtype=np.float64)


def delay_model(rows: TypedRows, window_hours: float | None, end: float) -> DelayModel | None:
    """Delay of conversions in logs with this ``end`` (`log_end`)."""
    bought = counted(rows, window_hours)["conversions"]
    names = ("impressions", "conversions", "conversion_delay_hours", "timestamp")
    known = "conversions > 0 AND conversion_delay_hours IS NOT NULL AND timestamp IS NOT NULL"
    parameters: Parameters = {**rows.parameters, "end": end}
    if window_hours is not None:
        parameters["window"] = window_hours
    cells = fetch(
        rows,
        f"SELECT {bin_sql('conversion_delay_hours')} AS delay, {bin_sql(_age_sql())} AS age, "
        f"CAST(sum(CAST({bought} AS BIGINT)) AS BIGINT) AS n "
        f"FROM {rows.select(*names, where=known)} GROUP BY ALL HAVING n > 0 ORDER BY ALL",
        parameters,
    )
    oldest = rows.source.query(
        f"SELECT $end - min(timestamp) FROM {rows.select('clicks', 'timestamp', where='clicks > 0')}",
        {**rows.parameters, "end": end},
    ).fetchall()[0][0]
    hours = (oldest or 0.0) / 3600
    return fit_delay(cells["delay"], cells["age"], cells["n"].astype(np.float64), hours, window_hours)


def matured_clicks(rows: TypedRows, model: DelayModel, end: float, *, by_propensity: bool = False) -> FloatArray:
    """Clicks of each arm weighted by the chance that their conversion is in the logs; 1 without a timestamp.

    ``by_propensity`` counts a click 1 / propensity times.
    """
    weight_table(rows, dict(enumerate(model.seen(bin_hours()).tolist())))
    names, clicks = ("item_id", "title", "clicks", "timestamp", "propensity"), "CAST(clicks AS BIGINT)"
    if by_propensity:
        clicks = "CAST(round(coalesce(clicks / propensity, 0)) AS BIGINT)"
    table = rows.select(*names, where="clicks > 0")
    by_age = f"SELECT item_id, title, {bin_sql(_age_sql())} AS age, sum({clicks}) AS clicks FROM {table}"
    rows.source.query(f"CREATE OR REPLACE TEMP TABLE ages AS {by_age} GROUP BY ALL", {**rows.parameters, "end": end})
    weighed = f"SELECT item_id, title, sum(CAST(clicks AS HUGEINT) * coalesce(weight, {UNIT})) AS n FROM ages "
    weighed += "LEFT JOIN weights ON age = key GROUP BY item_id, title"
    found = fetch(
        rows,
        f"SELECT coalesce(CAST(n AS DOUBLE), 0) / {UNIT} AS n FROM arms LEFT JOIN ({weighed}) USING (item_id, title) "
        "ORDER BY arm",
    )
    return np.asarray(found["n"], dtype=np.float64)


def repeat_dispersion(
    rows: TypedRows, weighting: Weighting, level_of_day: Mapping[int, float] | None = None
) -> float | None:
    """Variance of clicks over chance between rows that repeat one arm in similar circumstances; None where too few do.

    Pearson's statistic over aggregated rows with at least 5 expected clicks, by its degrees of freedom: 1 is chance.
    Like are rows at one position, at one level of every column that is taken off, and with one propensity where these
    differ. With ``level_of_day`` more clicks are expected on better days.
    """
    if not rows.has("impressions"):
        return None
    levels, parameters = weighting.levels(rows)
    like = [*levels, *(["round(position)"] if rows.has("position") else [])]
    like += ["propensity"] if weighting.by_propensity else []
    names = ("item_id", "title", "impressions", "clicks", "position", "timestamp", "propensity")
    table, exposed = rows.select(*names, where="impressions >= 2", extra=levels), "impressions"
    if level_of_day is not None:
        weight_table(rows, level_of_day)
        table = f"(SELECT * FROM {table} JOIN weights ON key = {_DAY})"
        exposed = f"(impressions * weight / {UNIT})"
    grouped = (
        f"SELECT count(*) AS n, sum(clicks) AS c, sum(impressions) AS m, {_rounded_sum(exposed)} AS e, "
        f"min({exposed}) AS least, {_rounded_sum(f'clicks * clicks / {exposed}')} AS s "
        f"FROM {table} GROUP BY {', '.join(['item_id', 'title', *like])}"
    )
    kept = f"SELECT n - 1 AS freedom, (s - c * c / e) / (c / e * (1 - c / m)) AS chi FROM ({grouped}) "
    kept += "WHERE n >= 2 AND c < m AND least * c / e >= 5"
    chi, freedom = rows.source.query(
        f"SELECT {_rounded_sum('chi')}, sum(freedom) FROM ({kept})", parameters
    ).fetchall()[0]
    return float(chi / freedom) if freedom and freedom >= _MIN_FREEDOM else None


def fetch(rows: TypedRows, sql: str, parameters: Mapping[str, Any] | None = None) -> Columns:
    """Columns of a result as NumPy arrays; texts as objects, missing numbers as NaN."""
    table = rows.source.table(sql, parameters)
    return {name: table.column(name).to_numpy() for name in table.column_names}


def _rounded_sum(sql: str) -> str:
    """Sum of millionths, the same in any order."""
    return f"CAST(sum(CAST(round({sql} * 1e6) AS HUGEINT)) AS DOUBLE) / 1e6"


def counted(rows: TypedRows, window_hours: float | None) -> dict[str, str]:
    """SQL of a row's conversions and revenue: missing is none, and so is what came after the attribution window."""
    late = "conversion_delay_hours > $window" if window_hours and rows.has("conversion_delay_hours") else "false"
    return {
        name: f"CASE WHEN {late} THEN 0 ELSE coalesce({name}, 0) END" if rows.has(name) else "0"
        for name in ("conversions", "revenue")
    }


def _again(name: str) -> str:
    if name in ("least_propensity", "first_seen"):
        return f"min({name})"
    if name in ("most_propensity", "last_seen"):
        return f"max({name})"
    if name in ("revenue", "inverse_propensity"):
        return f"CAST(sum({name}) AS DOUBLE) / {UNIT}"
    if name == "seconds":
        return "CAST(sum(seconds) AS DOUBLE)"
    return f"CAST(sum({name}) AS BIGINT)"


def _age_sql() -> str:
    return "(greatest($end - timestamp, 0) / 3600)"


def log_end(rows: TypedRows) -> float:
    """Time of the last impression or conversion, in seconds."""
    names = ("conversions", "conversion_delay_hours", "timestamp")
    last = "max(timestamp + coalesce(CASE WHEN conversions > 0 THEN conversion_delay_hours END, 0) * 3600)"
    return float(rows.source.query(f"SELECT {last} FROM {rows.select(*names)}", rows.parameters).fetchall()[0][0])
