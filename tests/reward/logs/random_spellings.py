"""Helpers of the property tests of spellings: frames of counts, and the result of reading a file of them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, settings

from reward.errors import LogError
from reward.logs.read import LogData, read_logs

EXAMPLES = int(os.environ.get("RLOPT_HYPOTHESIS", "25"))
PROPERTY = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize="RLOPT_HYPOTHESIS" not in os.environ,  # the same few in every `make test`
    suppress_health_check=list(HealthCheck),
)
TITLES = (
    "Red shoes",
    'The "best" lamp, now',
    "Größe 42 — für Läufer",
    "红色跑鞋 新款",
    "50% off; today only",
    "Tom's desk",
)


def frame(seed: int, n_items: int = 4, rows_an_arm: int = 3) -> pd.DataFrame:
    """Rows of counts, two titles an item; no two rows agree in their counts."""
    rng = np.random.default_rng(seed)
    n = n_items * 2 * rows_an_arm
    arm = np.arange(n) % (2 * n_items)
    shown = rng.choice(np.arange(900, 90_000), n, replace=False)
    log = pd.DataFrame(
        {
            "item_id": [f"i{a // 2}" for a in arm],
            "title": [f"{TITLES[(a + seed) % len(TITLES)]} {a}" for a in arm],
            "impressions": shown,
            "clicks": rng.binomial(shown, 0.07),
        }
    )
    return log.sample(frac=1, random_state=seed % 2**32).reset_index(drop=True)


def truth(log: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float]]:
    """Impressions and clicks of each item's titles."""
    sums = log.groupby(["item_id", "title"])[["impressions", "clicks"]].sum()
    rows = zip(sums.index, sums.to_numpy(), strict=True)
    return {(str(item), str(title)): (float(shown), float(clicked)) for (item, title), (shown, clicked) in rows}


def found(path: Path, **options: Any) -> LogData | str:
    """The logs, or the one line that refuses them."""
    try:
        return read_logs(path, threads=1, **options)
    except LogError as error:
        line = str(error)
        assert line
        assert "\n" not in line
        assert "Traceback" not in line
        return line


def counted(logs: LogData) -> dict[tuple[str, str], tuple[float, float]]:
    """Totals of what was read, in the form of `truth`."""
    arms = logs.arms
    pairs = zip(arms.item_ids, arms.title, strict=True)
    return dict(zip(pairs, zip(arms.impressions.tolist(), arms.clicks.tolist(), strict=True), strict=True))
