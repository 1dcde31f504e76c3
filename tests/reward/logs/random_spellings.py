"""Helpers of the property tests of spellings: frames of counts, and the result of reading a file of them."""

import json
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
    """Rows of counts, two titles per item; no two rows agree in their counts."""
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


JSON_FORMS = (
    *("lines", "array", "wrapped", "deep", "concatenated", "indented", "pages", "hits", "names and rows"),
    *("lists", "arrays", "by key", "commas"),
)


def json_texts(rows: list[dict[str, Any]], *, ascii_only: bool) -> dict[str, str]:
    """The rows in each of `JSON_FORMS`."""
    one = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    return {
        "lines": "\n".join(one),
        "array": f"[{', '.join(one)}]",
        "wrapped": f'{{"data": [{",".join(one)}], "next": null}}',
        "deep": f'{{"answer": {{"rows": [{",".join(one)}]}}}}',
        "concatenated": "".join(one),
        "indented": json.dumps(rows, indent=2, ensure_ascii=ascii_only),
        "pages": "".join(f'{{"page": {p}, "data": [{",".join(one[p::3])}]}}\n' for p in range(3)),
        "hits": json.dumps(
            {
                "took": 3,
                "_shards": {"total": 1},
                "hits": {"hits": [{"_id": str(i), "_source": r} for i, r in enumerate(rows)]},
            },
            ensure_ascii=ascii_only,
        ),
        "names and rows": json.dumps({"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}),
        "lists": json.dumps([list(rows[0]), *(list(row.values()) for row in rows)], ensure_ascii=ascii_only),
        "arrays": "\n".join(f"[{', '.join(one[p::3])}]" for p in range(3)),
        "by key": json.dumps({f"row {i}": row for i, row in enumerate(rows)}, ensure_ascii=ascii_only),
        "commas": ",\n".join(one),
    }
