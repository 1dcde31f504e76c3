"""Reads logs of impressions or of aggregated counts into arms."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ..arms import Arms
from ..arrays import FloatArray
from ..errors import LogError
from ..items import Item
from .aggregate import Columns, aggregate, delay_model, log_end, matured_clicks, position_bias, repeat_dispersion
from .balance import Balance
from .catalogue import read_items, read_titles
from .circumstances import circumstances
from .cluster import LogCluster
from .comparable import InverseWeighted, at_like_circumstances, reweighted
from .delay import DelayModel
from .item_fields import ItemFields, read_context
from .keys import respelled
from .periods import SAME_TIME, Periods, apart, by_period
from .plans import with_plans
from .position import PositionBias
from .repeated_counts import refuse_repeated_counts
from .repeated_impressions import refuse_repeated_impressions
from .repeats import (
    refuse_copied_files,
    refuse_named_totals,
    refuse_repeated_rows,
    refuse_total_row,
    refuse_totals,
    without_repeated_events,
)
from .running_totals import refuse_running_totals
from .schema import ColumnMapping
from .some_items import some_items
from .source import DEFAULT_MEMORY_LIMIT, open_source
from .sources.local import LocalCopy, Source, local
from .spelt_numbers import Decimal
from .sums import refuse_sums
from .trim_sql import stripped
from .typed_rows import Exclude, TypedRows
from .validate import LogTotals, check_rows
from .weighting import exposure

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["LogData", "read_arms", "read_items", "read_logs", "read_titles"]

Copies = Literal["stop", "keep"]
LOGGED_SHARE = 0.99
"""Propensities count as logged where at least this share of the impressions, and every arm, has one."""


@dataclass(frozen=True)
class LogData:
    """Logs as arms, with what was found on the way.

    Parameters
    ----------
    arms
        The aggregated logs.
    totals
        Counts over the rows.
    columns
        Canonical column -> the logs' column it was read from.
    context_columns
        Columns that became fields of the items.
    dropped_columns
        Column -> why it is no context of the item.
    position_bias
        Examination by position; None where no position was logged.
    delay
        Delay of conversions; None where the logs do not tell it.
    periods
        Click level of each period over all titles, in logs that show titles of an item at different times and have
        a time in every row; None in others.
    overdispersion
        Variance of clicks over chance, from rows that repeat an arm (see `repeat_dispersion`); None where they are
        too few.
    padded_titles
        Number of (item, title) pairs with blanks at the ends of the title, which are taken off.
    source
        Name of the source, for messages.
    balances
        Balance test of each column that describes the impression: were an item's titles shown in similar circumstances.
    weighted
        Counts of rows weighted by 1 / propensity, where propensities differ between rows of an arm (they are the arms'
        counts then); None elsewhere.
    variants
        Rows of each arm, shape (arms,), where each row sums up a variant of a test: aggregated logs without times. None
        elsewhere.
    notes
        Decisions made while reading the logs, in plain words.
    """

    arms: Arms
    totals: LogTotals
    columns: Mapping[str, str]
    context_columns: tuple[str, ...]
    dropped_columns: Mapping[str, str]
    position_bias: PositionBias | None
    delay: DelayModel | None
    periods: Periods | None
    overdispersion: float | None
    padded_titles: int
    source: str
    balances: tuple[Balance, ...] = ()
    weighted: InverseWeighted | None = None
    variants: FloatArray | None = None
    notes: tuple[str, ...] = ()


def read_arms(source: Source, **options: Any) -> Arms:
    """The arms of the logs in ``source``; options and errors as in `read_logs`."""
    return read_logs(source, **options).arms


def read_logs(
    source: Source,
    *,
    query: str | None = None,
    columns: ColumnMapping | None = None,
    exclude: Exclude | None = None,
    ignore: Iterable[str] = (),
    conversion_window_hours: float | None = None,
    decimal: Decimal | None = None,
    copies: Copies = "stop",
    event_id: str | None = None,
    missing: Iterable[str] = (),
    plans: Sequence[str] = (),
    memory_limit: str = DEFAULT_MEMORY_LIMIT,
    threads: int | None = None,
    tmp_dir: str | Path | None = None,
    client: "Client | None" = None,
) -> LogData:
    """Read, check and aggregate logs.

    Parameters
    ----------
    source
        A parquet, CSV or JSONL file, a glob, or a folder of them; a table in memory or whatever else
        `reward.logs.sources.local` takes.
    query
        SQL, or a file that holds it, where the source is a database.
    columns
        The user's column names, where they differ from the schema (`reward.logs.schema.CANONICAL`).
    exclude
        Column -> value or list of values: rows that hold one of them are left out. None matches missing values.
    ignore
        Columns that are no context of the item although nothing else uses them.
    conversion_window_hours
        Attribution window: conversions that came later do not count. None counts all.
    decimal
        Decimal mark of numbers written as texts; None: inferred from the column (see
        `reward.logs.spelt_numbers`).
    copies
        "stop" where files, rows or sums are there twice (`reward.logs.repeats`), or "keep" and count them. Events that
        share an id count once in any case.
    event_id
        Column of event ids; None: event_id or impression_id, where there is one.
    missing
        Texts that mean "no value" in columns that describe items, beside `reward.items.MISSING`.
    plans
        Plans of ``rlopt explore`` that the titles were shown by, instead of propensities (`reward.logs.plans`).
    memory_limit, threads, tmp_dir
        Limits of DuckDB, and where it spills and keeps temporary files.
    client
        Dask cluster that adds up Parquet files (`reward.logs.cluster`), to the same arms; None: this process. Whatever
        cannot be added up from parts, other sources, and logs of plans are read by this process in any case.

    Returns
    -------
    LogData
        Arms sorted by item id, then title; titles without blanks at their ends. Conversion rates and CTR per arm are
        corrected for delay and position where the logs have what that takes (`Arms.matured_clicks`, `Arms.exposure`);
        where titles of an item were shown at different times, for what changed for all titles too
        (`reward.logs.periods`).

    Raises
    ------
    LogError
        If the logs cannot be read, hold a value that the schema forbids, or count something twice.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [("a", "Red shoe", 100, 3), ("a", "Red shoe", 50, 2), ("a", "Acme shoe", 90, 5)]
    >>> arms = read_logs(pd.DataFrame(rows, columns=["item_id", "title", "impressions", "clicks"])).arms
    >>> [(title, int(n)) for title, n in zip(arms.title, arms.clicks)]
    [('Acme shoe', 5), ('Red shoe', 5)]
    """
    if conversion_window_hours is not None and not conversion_window_hours > 0:
        raise LogError(f"conversion_window_hours must be positive. Got {conversion_window_hours} instead.")
    with (
        local(source, query=query, tmp_dir=tmp_dir) as here,
        open_source(here, memory_limit=memory_limit, threads=threads, tmp_dir=tmp_dir) as opened,
    ):
        if client is not None and not plans and not isinstance(here, LocalCopy):
            opened = replace(opened, cluster=LogCluster.of(client, opened, memory_limit))
        needed = ("item_id", "title", "clicks")
        rows = TypedRows.of(opened, columns, exclude, needed, ignore=ignore, decimal=decimal, missing=missing)
        as_given = rows
        rows, repeated_events = without_repeated_events(rows, event_id)
        totals = _checked(rows, copies)
        if copies == "stop":
            refuse_copied_files(as_given)
        sums = aggregate(rows, conversion_window_hours)
        # Arms are few and rows are many: only where an arm shows it are titles and ids spelt again, in a second pass.
        padded = sum(title != stripped(title) for title in sums["title"])
        spelt = respelled(replace(rows, trim=True) if padded else rows, dict.fromkeys(sums["item_id"].tolist()))
        if spelt is not rows:
            rows = spelt
            sums = aggregate(rows, conversion_window_hours)
        told: tuple[str, ...] = ()
        if plans:
            rows, told = with_plans(rows, plans)
            totals, sums = _checked(rows, copies), aggregate(rows, conversion_window_hours)
        some = some_items(rows)
        if copies == "stop":
            counts = sums["impressions"], sums["clicks"]
            refuse_totals(str(here), sums["item"], sums["item_id"], sums["title"], counts)
            refuse_sums(rows, totals)
            refuse_named_totals(str(here), sums["item"], sums["item_id"], sums["title"], counts)
            refuse_repeated_rows(rows, totals, len(sums["title"]))
            refuse_repeated_impressions(rows, some, totals)
            refuse_repeated_counts(rows, totals, len(sums["title"]))
            refuse_running_totals(rows, some, totals)
        context = read_context(rows, some)
        bias = position_bias(rows) if totals.position_impressions else None
        replaced = totals.timestamp_impressions == totals.impressions and apart(sums) > SAME_TIME
        found_circumstances = circumstances(
            rows, some, _with_propensity(sums, totals), bias, context.differing, replaced=replaced
        )
        weighting = found_circumstances.weighting
        delay = matured = None
        if rows.has("conversions", "conversion_delay_hours", "timestamp") and totals.timestamp_impressions:
            end = log_end(rows)
            delay = delay_model(rows, conversion_window_hours, end)
            if delay:
                matured = matured_clicks(rows, delay, end, by_propensity=weighting.by_propensity)
        exposed = None if weighting.trivial else exposure(rows, weighting)
        periods = None
        if replaced:
            found_periods = by_period(rows, sums["item"].astype(np.int64), weighting)
            if found_periods is not None:
                periods, exposed = found_periods
        weighted = None
        if weighting.by_propensity:
            exposed = exposure(rows, weighting) if exposed is None else exposed
            weighted = InverseWeighted.of(rows, sums, exposed, matured, conversion_window_hours)
        dispersion = repeat_dispersion(rows, weighting, periods.level_of_day if periods else None)
        found = {name: rows.location(name) for name in rows.sources}
        arms = _arms(sums, found, totals, context, exposed, matured)
        if weighted is None:
            shared = periods if found_circumstances.dates_differ else None
            arms = at_like_circumstances(arms, rows, weighting, shared, conversion_window_hours)
        else:
            arms = reweighted(arms, weighted)
    return LogData(
        arms,
        totals,
        found,
        context.columns,
        context.dropped,
        bias,
        delay,
        periods,
        dispersion,
        padded,
        str(here),
        found_circumstances.balances,
        weighted,
        _floats(sums["rows"]) if "impressions" in found and "timestamp" not in found else None,
        (*opened.notes, *told, *_notes(repeated_events, not_spread=client is not None and opened.cluster is None)),
    )


def _checked(rows: TypedRows, copies: Copies) -> LogTotals:
    """The totals of valid rows; a row that is the sum of the others is refused as such, whatever else is wrong."""
    try:
        return check_rows(rows)
    except LogError:
        if copies == "stop":
            refuse_total_row(rows)
        raise


def _notes(repeated_events: int, *, not_spread: bool) -> Iterator[str]:
    if not_spread:
        yield (
            "These logs were added up by this process: the cluster reads Parquet files that lie under their own path, "
            "and no plans."
        )
    if repeated_events:
        yield f"{repeated_events:,} rows repeat the event id, item and title of another row: each event counts once."


def _with_propensity(sums: Columns, totals: LogTotals) -> Columns:
    """The sums, without the propensities where these do not count as logged."""
    if _propensity_logged(sums, totals):
        return sums
    return {name: values for name, values in sums.items() if not name.endswith("_propensity")}


def _propensity_logged(sums: Columns, totals: LogTotals) -> bool:
    if "propensity_impressions" not in sums:
        return False
    enough = totals.propensity_impressions >= LOGGED_SHARE * totals.impressions
    return enough and bool(np.all(sums["propensity_impressions"] > 0))


def _arms(
    sums: Columns,
    found: Mapping[str, str],
    totals: LogTotals,
    context: ItemFields,
    exposed: FloatArray | None,
    matured: FloatArray | None,
) -> Arms:
    impressions, clicks = _floats(sums["impressions"]), _floats(sums["clicks"])
    conversions = _floats(sums["conversions"]) if "conversions" in found else None
    logged = _propensity_logged(sums, totals)
    if matured is None:
        matured = clicks
    elif conversions is not None:
        matured = np.clip(matured, conversions, clicks)
    return Arms(
        items=_items(sums, context, impressions),
        item_index=sums["item"].astype(np.int64),
        title=sums["title"].astype(object),
        impressions=impressions,
        clicks=clicks,
        exposure=impressions if exposed is None else exposed,
        propensity=_logged_propensity(sums) if logged else _traffic_share(sums["item"], impressions),
        propensity_logged=logged,
        conversions=conversions,
        revenue=_floats(sums["revenue"]) if "revenue" in found else None,
        matured_clicks=None if conversions is None else matured,
        first_seen=_times(sums, "first_seen"),
        last_seen=_times(sums, "last_seen"),
    )


def _items(sums: Columns, context: ItemFields, impressions: FloatArray) -> tuple[Item, ...]:
    """Items in the order of their rank; the current title is the one with most impressions (ties: the first)."""
    order = np.lexsort((np.arange(len(impressions)), -impressions, sums["item"]))
    first = order[np.unique(sums["item"][order], return_index=True)[1]]
    ids, titles = sums["item_id"][first].tolist(), sums["title"][first].tolist()
    return tuple(Item(i, context.fields.get(i, {}), title) for i, title in zip(ids, titles, strict=True))


def _logged_propensity(sums: Columns) -> FloatArray:
    """Impression-weighted harmonic mean of the rows' propensities: importance weights then average to theirs."""
    least, most = sums["least_propensity"], sums["most_propensity"]
    mean = sums["propensity_impressions"] / sums["inverse_propensity"]
    return np.asarray(np.where(least == most, least, np.minimum(mean, 1.0)))


def _traffic_share(item: npt.NDArray[Any], impressions: FloatArray) -> FloatArray:
    return np.asarray(impressions / np.bincount(item, impressions)[item])


def _times(sums: Columns, name: str) -> FloatArray | None:
    """Seconds since 1970; None where not every arm has a time."""
    if name not in sums or np.any(np.isnan(_floats(sums[name]))):
        return None
    return _floats(sums[name])


def _floats(values: npt.NDArray[Any]) -> FloatArray:
    return values.astype(np.float64)
