"""Logs of a simulated shop: one row an impression, or one row an arm, streamed to parquet in bounded memory.

Written beside each other: ``OUT`` (the logs), ``STEM.items.parquet`` (item_id and the same context columns) and
``STEM.market.json`` (what `Market.load` needs). Each appears under its name only when it is complete.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from reward.items import Item

from .errors import SimulationError
from .market import Market
from .position import POSITION_LIFT, POSITION_SHARE
from .seeds import Stream, generator

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

START_MS = int(np.datetime64(datetime(2026, 1, 5), "ms").astype(np.int64))
HOUR_MS = 3_600_000
CHUNK_ROWS = 1_000_000
SURFACES = ("search", "feed", "category page", "mail")
SURFACE_SHARE = (0.5, 0.25, 0.2, 0.05)
QUICK_SHARE, QUICK_HOURS, SLOW_HOURS = 0.6, 3.0, 72.0
"""Conversion delay: 60 % exponential with mean 3 hours, 40 % exponential with mean 72 hours."""


@dataclass(frozen=True)
class SimulatedLogs:
    """What `simulate` wrote: the three files, and the totals of the logs."""

    logs: Path
    items: Path
    market: Path
    rows: int
    impressions: int
    clicks: int
    conversions: int

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, paths as text."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class MarketArms:
    """Every logged (item, title) of a market with its truth; arrays of shape (n_arms,), arms of an item adjacent."""

    item_index: IntArray
    titles: list[str]
    propensity: FloatArray
    traffic: FloatArray
    click: FloatArray
    conversion: FloatArray


def market_arms(market: Market, rng: np.random.Generator) -> MarketArms:
    """The arms the market logs; ``traffic`` is each arm's share of all impressions (item shares are log-normal)."""
    item_index: list[int] = []
    titles: list[str] = []
    propensity: list[float] = []
    for index, item in enumerate(market.items):
        for title, share in market.logging_policy(item):
            item_index.append(index)
            titles.append(title)
            propensity.append(share)
    index_array = np.array(item_index, dtype=np.int64)
    share_array = np.array(propensity)
    item_traffic = np.exp(0.5 * rng.standard_normal(len(market.items)))
    item_traffic /= item_traffic.sum()
    arm_items = [market.items[i] for i in item_index]
    return MarketArms(
        item_index=index_array,
        titles=titles,
        propensity=share_array,
        traffic=item_traffic[index_array] * share_array,
        click=market.click_probability(arm_items, titles),
        conversion=market.conversion_probability(arm_items, titles),
    )


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
        "impressions" writes one row each (item_id, title, click, conversions, propensity, position, timestamp,
        conversion_delay_hours, surface, locale, and the context columns category, brand, price, attributes), sorted
        by time. "arms" writes one row an arm with impressions, clicks and conversions instead; arms never shown are
        left out.
    days
        Length of the logs. A conversion that comes after their end is not in them.
    seed
        Of the shoppers; the market's own when None.
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
    rng = generator(market.seed if seed is None else seed, market.locale, Stream.LOGS)
    stem = out.with_suffix("") if out.suffix == ".parquet" else out
    items_path = stem.with_name(stem.name + ".items.parquet")
    market_path = stem.with_name(stem.name + ".market.json")
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            logs = Path(folder) / "logs.parquet"
            arms = market_arms(market, rng)
            write = _write_impressions if rows == "impressions" else _write_arms
            totals = write(market, arms, impressions, logs, days, rng, progress)
            pq.write_table(_items_table(market.items), Path(folder) / "items.parquet", compression="zstd")
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
    impressions: int,
    path: Path,
    days: float,
    rng: np.random.Generator,
    progress: Callable[[int], None] | None,
) -> tuple[int, int, int, int]:
    """Chunks of one stretch of time each, sorted within; returns rows, impressions, clicks, conversions."""
    columns = _ArmColumns(market, arms)
    edges = np.cumsum(arms.traffic)
    end_ms = START_MS + int(days * 24 * HOUR_MS)
    writer: pq.ParquetWriter | None = None
    clicks = conversions = done = 0
    try:
        while done < impressions:
            n = min(CHUNK_ROWS, impressions - done)
            span = (np.array([done, done + n]) / impressions * days * 24 * HOUR_MS).astype(np.int64) + START_MS
            arm = np.minimum(np.searchsorted(edges, rng.random(n) * edges[-1], side="right"), len(edges) - 1)
            position = _draw(POSITION_SHARE, n, rng)
            clicked = rng.random(n) < arms.click[arm] * POSITION_LIFT[position]
            timestamp = np.sort(rng.integers(span[0], max(span[1], span[0] + 1), n))
            delay = _delays(np.flatnonzero(clicked), arms.conversion[arm[clicked]], timestamp, end_ms, rng)
            batch = columns.impressions(arm, clicked, delay, position, timestamp, _draw(SURFACE_SHARE, n, rng))
            if writer is None:
                writer = _writer(path, batch.schema)
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
    impressions: int,
    path: Path,
    days: float,
    rng: np.random.Generator,
    progress: Callable[[int], None] | None,
) -> tuple[int, int, int, int]:
    """Counts drawn at once: exactly the distribution that counting simulated impressions has."""
    shown = rng.multinomial(impressions, arms.traffic / arms.traffic.sum())
    clicks = rng.binomial(shown, arms.click)
    conversions = rng.binomial(clicks, arms.conversion * matured_share(days))
    kept = np.flatnonzero(shown)
    table = _ArmColumns(market, arms).arms(kept, shown, clicks, conversions)
    with _writer(path, table.schema) as writer:
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


class _ArmColumns:
    """Columns of the logs as dictionary arrays: each text is held once, whatever the number of rows."""

    def __init__(self, market: Market, arms: MarketArms) -> None:
        self._arms = arms
        self._locale = pa.array([market.locale])
        self._items = _items_table(market.items)
        self._titles = pa.array(arms.titles)

    def impressions(
        self,
        arm: npt.NDArray[np.intp],
        clicked: npt.NDArray[np.bool_],
        delay: FloatArray,
        position: npt.NDArray[np.int8],
        timestamp: IntArray,
        surface: npt.NDArray[np.int8],
    ) -> pa.Table:
        """One chunk of impressions."""
        middle = {
            "click": pa.array(clicked),
            "conversions": pa.array((~np.isnan(delay)).astype(np.int8)),
            "propensity": pa.array(self._arms.propensity[arm]),
            "position": pa.array(position + np.int8(1)),
            "timestamp": pa.array(timestamp, pa.timestamp("ms")),
            "conversion_delay_hours": pa.array(delay, from_pandas=True),
            "surface": pa.DictionaryArray.from_arrays(pa.array(surface), pa.array(SURFACES)),
        }
        return self._table(arm, middle)

    def arms(self, kept: npt.NDArray[np.intp], shown: IntArray, clicks: IntArray, conversions: IntArray) -> pa.Table:
        """The kept arms with their counts."""
        middle = {
            "impressions": pa.array(shown[kept]),
            "clicks": pa.array(clicks[kept]),
            "conversions": pa.array(conversions[kept]),
            "propensity": pa.array(self._arms.propensity[kept]),
        }
        return self._table(kept, middle)

    def _table(self, arm: npt.NDArray[np.intp], middle: dict[str, pa.Array]) -> pa.Table:
        item = pa.array(self._arms.item_index[arm].astype(np.int32))
        constant = pa.array(np.zeros(len(arm), dtype=np.int8))
        columns = {
            "item_id": pa.DictionaryArray.from_arrays(item, self._items["item_id"].combine_chunks()),
            "title": pa.DictionaryArray.from_arrays(pa.array(arm.astype(np.int32)), self._titles),
            **middle,
            "locale": pa.DictionaryArray.from_arrays(constant, self._locale),
        }
        for name in self._items.column_names[1:]:
            columns[name] = pa.DictionaryArray.from_arrays(item, self._items[name].combine_chunks())
        return pa.table(columns)


def _items_table(items: tuple[Item, ...]) -> pa.Table:
    """item_id, category, brand, price (as text, as in `Item.fields`), and the other fields as a JSON object."""
    plain = ("category", "brand", "price")
    attributes = [
        {name: values[0] if len(values) == 1 else values for name, values in item.fields.items() if name not in plain}
        for item in items
    ]
    columns = {"item_id": [item.item_id for item in items]}
    columns |= {name: [item.fields[name][0] for item in items] for name in plain}
    return pa.table({**columns, "attributes": [json.dumps(row, ensure_ascii=False) for row in attributes]})


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Writer that keeps every text column dictionary-encoded, however many titles there are."""
    texts = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[*texts, "propensity"],
        column_encoding={"timestamp": "DELTA_BINARY_PACKED"} if "timestamp" in schema.names else None,
        dictionary_pagesize_limit=1 << 28,
    )
