"""Logs of a simulated shop: one row an impression, or one row an arm, streamed to parquet in bounded memory.

Written beside each other: ``OUT`` (the logs), ``STEM.items.parquet`` (item_id and the same context columns) and
``STEM.market.json`` (what `Market.load` needs). Each appears under its name only when it is complete.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from reward.arrays import FloatArray, IntArray
from reward.plain import Plain

from .arms import MarketArms, market_arms
from .errors import SimulationError
from .log_columns import LogColumns, items_table, log_writer
from .market import Market
from .position import POSITION_LIFT, arm_positions
from .seeds import Stream, generator

START_MS = int(np.datetime64(datetime(2026, 1, 5), "ms").astype(np.int64))
HOUR_MS = 3_600_000
CHUNK_ROWS = 1_000_000
SURFACE_SHARE = (0.5, 0.25, 0.2, 0.05)
QUICK_SHARE, QUICK_HOURS, SLOW_HOURS = 0.6, 3.0, 72.0
"""Conversion delay: 60% exponential with mean 3 hours, 40% exponential with mean 72 hours."""


@dataclass(frozen=True)
class SimulatedLogs(Plain):
    """Files that `simulate` wrote, and the totals of the logs."""

    logs: Path
    items: Path
    market: Path
    rows: int
    impressions: int
    clicks: int
    conversions: int


def matured_share(days: float) -> float:
    """Chance that a conversion of a click at a uniform moment of ``days`` is seen by the end of the logs."""
    hours = 24.0 * days
    shares = ((QUICK_SHARE, QUICK_HOURS), (1 - QUICK_SHARE, SLOW_HOURS))
    return sum(share * (1 - mean / hours * -float(np.expm1(-hours / mean))) for share, mean in shares)


def simulate(
    market: Market,
    impressions: int,
    out: Path | str,
    rows: Literal["impressions", "arms"] = "impressions",
    *,
    days: float = 28.0,
    seed: int | None = None,
    position_confounding: float = 0.0,
    progress: Callable[[int], None] | None = None,
) -> SimulatedLogs:
    """Let shoppers loose on the market and write what its logs hold.

    Parameters
    ----------
    market
        The shop.
    impressions
        Titles shown in all.
    out
        Parquet file of the logs; its folder must exist.
    rows
        "impressions" writes one row each, sorted by time: item_id, title, click, conversions, propensity, position,
        timestamp, conversion_delay_hours, surface, and the items' context (locale, category, brand, price,
        attributes). "arms" writes one row an arm with impressions, clicks and conversions instead; arms never shown
        are left out.
    days
        Length of the logs. A conversion that comes after their end is not in them.
    seed
        Of the shoppers; the market's own when None.
    position_confounding
        0 shows every title at the same mix of positions, so that an arm's CTR estimates `Market.click_probability`.
        Above 0 some titles get better places than others (`position.arm_positions`), and only the debiased CTR does.
    progress
        Called with the impressions written so far.

    Raises
    ------
    SimulationError
        If an argument is out of range or the files cannot be written; nothing is left behind then.
    """
    out = Path(out)
    if impressions < 1:
        raise SimulationError(f"impressions must be 1 or more. Got {impressions} instead.")
    if not days > 0:
        raise SimulationError(f"days must be above 0. Got {days} instead.")
    if rows not in ("impressions", "arms"):
        raise SimulationError(f"rows must be 'impressions' or 'arms'. Got {rows!r} instead.")
    if position_confounding < 0:
        raise SimulationError(f"position_confounding must be 0 or more. Got {position_confounding} instead.")
    if out.is_dir():
        raise SimulationError(f"cannot write {out}: it is a folder. Name a file in it with -o.")
    if out.suffix.lower() != ".parquet":
        raise SimulationError(f"logs are written as parquet: -o must end in .parquet. Got {out}.")
    rng = generator(market.seed if seed is None else seed, market.locale, Stream.LOGS)
    stem = out.with_suffix("") if out.suffix == ".parquet" else out
    items_path = stem.with_name(stem.name + ".items.parquet")
    market_path = stem.with_name(stem.name + ".market.json")
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            logs = Path(folder) / "logs.parquet"
            arms = market_arms(market, rng)
            places = arm_positions(position_confounding, len(arms.titles), rng)
            write = _write_impressions if rows == "impressions" else _write_arms
            totals = write(market, arms, places, impressions, logs, days, rng, progress)
            pq.write_table(items_table(market.items), Path(folder) / "items.parquet", compression="zstd")
            market.save(Path(folder) / "market.json")
            (Path(folder) / "items.parquet").replace(items_path)
            (Path(folder) / "market.json").replace(market_path)
            logs.replace(out)
    except OSError as error:
        raise SimulationError(f"cannot write {out}: {error.strerror or error}. Choose another path with -o.") from error
    return SimulatedLogs(out, items_path, market_path, *totals)


def _write_impressions(
    market: Market,
    arms: MarketArms,
    places: FloatArray,
    impressions: int,
    path: Path,
    days: float,
    rng: np.random.Generator,
    progress: Callable[[int], None] | None,
) -> tuple[int, int, int, int]:
    """Chunks of one stretch of time each, sorted within; returns rows, impressions, clicks, conversions."""
    columns = LogColumns(market.items, arms)
    edges = np.cumsum(arms.traffic)
    place_edges = np.cumsum(places, axis=1)[:, :-1]
    end_ms = START_MS + int(days * 24 * HOUR_MS)
    writer: pq.ParquetWriter | None = None
    clicks = conversions = done = 0
    try:
        while done < impressions:
            n = min(CHUNK_ROWS, impressions - done)
            span = (np.array([done, done + n]) / impressions * days * 24 * HOUR_MS).astype(np.int64) + START_MS
            arm = np.minimum(np.searchsorted(edges, rng.random(n) * edges[-1], side="right"), len(edges) - 1)
            position = (rng.random((n, 1)) >= place_edges[arm]).sum(axis=1, dtype=np.int8)
            clicked = rng.random(n) < arms.click[arm] * POSITION_LIFT[position]
            timestamp = np.sort(rng.integers(span[0], max(span[1], span[0] + 1), n))
            delay = _delays(np.flatnonzero(clicked), arms.conversion[arm[clicked]], timestamp, end_ms, rng)
            batch = columns.impressions(arm, clicked, delay, position, timestamp, _draw(SURFACE_SHARE, n, rng))
            if writer is None:
                writer = log_writer(path, batch.schema)
            writer.write_table(batch, row_group_size=CHUNK_ROWS)
            clicks += int(clicked.sum())
            conversions += int((~np.isnan(delay)).sum())
            done += n
            if progress is not None:
                progress(done)
    finally:
        if writer is not None:
            writer.close()
    return impressions, impressions, clicks, conversions


def _write_arms(
    market: Market,
    arms: MarketArms,
    places: FloatArray,
    impressions: int,
    path: Path,
    days: float,
    rng: np.random.Generator,
    progress: Callable[[int], None] | None,
) -> tuple[int, int, int, int]:
    """Counts drawn at once: exactly the distribution that counting simulated impressions has."""
    shown = rng.multinomial(impressions, arms.traffic / arms.traffic.sum())
    clicks = rng.binomial(shown, arms.click * (places @ POSITION_LIFT))
    conversions = rng.binomial(clicks, arms.conversion * matured_share(days))
    kept = np.flatnonzero(shown)
    table = LogColumns(market.items, arms).arms(kept, shown, clicks, conversions)
    with log_writer(path, table.schema) as writer:
        writer.write_table(table)
    if progress is not None:
        progress(impressions)
    return len(kept), impressions, int(clicks.sum()), int(conversions.sum())


def _draw(shares: npt.ArrayLike, n: int, rng: np.random.Generator) -> npt.NDArray[np.int8]:
    edges = np.cumsum(np.asarray(shares, dtype=np.float64))
    drawn = np.searchsorted(edges / edges[-1], rng.random(n), side="right")
    return np.minimum(drawn, len(edges) - 1).astype(np.int8)


def _delays(
    clicked: npt.NDArray[np.intp], probability: FloatArray, timestamp: IntArray, end_ms: int, rng: np.random.Generator
) -> FloatArray:
    """Hours from click to conversion for every impression; NaN without one, or where it comes after the logs."""
    hours = np.full(len(timestamp), np.nan)
    n = len(clicked)
    mean = np.where(rng.random(n) < QUICK_SHARE, QUICK_HOURS, SLOW_HOURS)
    delay = mean * rng.standard_exponential(n)
    seen = (rng.random(n) < probability) & (timestamp[clicked] + delay * HOUR_MS <= end_ms)
    hours[clicked[seen]] = delay[seen]
    return hours
