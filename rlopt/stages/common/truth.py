"""The simulator's truth about a run on simulated logs: true click rates, and words that items do not state."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from envs.market import Market
from reward.arrays import FloatArray
from reward.items import Item
from rlopt.run import Run

MARKET = "market.json"
Truth = Callable[[Sequence[Item], Sequence[str]], FloatArray]
"""True clicks per impression of (items, titles), shape (n,)."""


def market_of(run: Run) -> Market | None:
    """The shop whose logs the run was fitted on, None for real logs.

    Raises
    ------
    MarketError
        If the file in the run is damaged.
    """
    return Market.load(run / MARKET) if (run / MARKET).exists() else None


def truth_of(run: Run) -> Truth | None:
    """The truth of the shop whose logs the run was fitted on; None for real logs."""
    market = market_of(run)
    return None if market is None else market.click_probability


@dataclass(frozen=True)
class Faithfulness:
    """Share of titles with no word that the item does not state, and with a broken promise, by the simulator."""

    ppo: float
    sft: float
    broken: dict[str, float]


def true_faithfulness(run: Run, market: Market) -> Faithfulness:
    """Faithfulness of the titles that ``offline-eval`` had the policies write."""
    table = pq.read_table(run / "eval" / "titles.parquet", columns=["item_id", "policy", "title"])
    by_id = {item.item_id: item for item in market.items}
    stated: dict[str, list[bool]] = {"ppo": [], "sft": []}
    broken: dict[str, list[bool]] = {"ppo": [], "sft": [], "logged": []}
    for row in table.to_pylist():
        if row["policy"] in broken:
            broken[row["policy"]].append(bool(market.broken_promises(by_id[row["item_id"]], row["title"])))
        if row["policy"] in stated:
            stated[row["policy"]].append(not market.unstated_words(by_id[row["item_id"]], row["title"]))
    shares = {name: float(np.mean(values)) for name, values in broken.items()}
    return Faithfulness(float(np.mean(stated["ppo"])), float(np.mean(stated["sft"])), shares)
