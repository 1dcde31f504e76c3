"""Rows that sum up other rows are found in the forms that reports have, with what they add."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward.errors import LogError
from reward.logs.read import read_logs
from reward.logs.sums import subtotals, totals_at_end

COUNTS = ["impressions", "clicks"]


def report(seed: int = 0) -> pd.DataFrame:
    """Counts of 96 titles on each of three days."""
    rng = np.random.default_rng(seed)
    arm = np.repeat(np.arange(96), 3)
    shown = rng.integers(300, 2_500, len(arm))
    return pd.DataFrame(
        {
            "item_id": [f"p{a // 4:02d}" for a in arm],
            "title": [f"title {a % 4} of {a // 4}" for a in arm],
            "brand": [f"brand {a // 4 % 3}" for a in arm],
            "timestamp": [f"2026-03-0{1 + d % 3}" for d in range(len(arm))],
            "impressions": shown,
            "clicks": rng.binomial(shown, 0.05),
        }
    )


def sums_of(log: pd.DataFrame, by: list[str], **values: str) -> pd.DataFrame:
    return log.groupby(by, as_index=False)[COUNTS].sum().assign(**values)


def below_each(log: pd.DataFrame, by: str, sums: pd.DataFrame) -> pd.DataFrame:
    parts = [pd.concat([rows, sums[sums[by] == key]]) for key, rows in log.groupby(by)]
    return pd.concat(parts, ignore_index=True)


def of_devices(log: pd.DataFrame) -> pd.DataFrame:
    phone = log.assign(device="phone", **{c: log[c] * 3 // 5 for c in COUNTS})
    desk = log.assign(device="desk", **{c: log[c] - phone[c] for c in COUNTS})
    return pd.concat([log.assign(device="all"), phone, desk])


LOG = report()
OF_ITEMS = sums_of(LOG, ["item_id"], title="Subtotal")
WHOLE = pd.DataFrame([{"item_id": "Total", "title": "Total", **LOG[COUNTS].sum()}])
REPORTS = {
    "months beside days": (pd.concat([LOG, sums_of(LOG, ["item_id", "title", "brand"], timestamp="2026-03-31")]), 1),
    "a total a title, without a day": (pd.concat([LOG, sums_of(LOG, ["item_id", "title", "brand"])]), 1),
    "all devices": (of_devices(LOG), 1),
    "totals of brands": (
        pd.concat([LOG, sums_of(LOG, ["brand"], title="all").assign(item_id=lambda rows: rows["brand"])]),
        1,
    ),
    "two totals": (pd.concat([LOG, WHOLE, WHOLE.assign(item_id="Account")]), 2),
    "totals first": (pd.concat([WHOLE.assign(item_id="Account"), WHOLE, LOG]), 2),
    "subtotals": (below_each(LOG, "item_id", OF_ITEMS).assign(item_id=lambda rows: rows["item_id"] + rows["title"]), 1),
    "subtotals and a total": (
        pd.concat([below_each(LOG, "item_id", OF_ITEMS).assign(item_id=lambda r: r["item_id"] + r["title"]), WHOLE]),
        2,
    ),
}


@pytest.mark.parametrize("name", REPORTS)
def test_sums_are_told_with_what_they_add(tmp_path: Path, name: str) -> None:
    log, times = REPORTS[name]
    log.to_csv(tmp_path / "report.csv", index=False)
    added = f"add {times * LOG['impressions'].sum():,} impressions and {times * LOG['clicks'].sum():,} clicks"
    with pytest.raises(LogError, match=f"{added} a second time.*--copies keep"):
        read_logs(tmp_path / "report.csv", threads=1)
    kept = read_logs(tmp_path / "report.csv", copies="keep", threads=1)
    assert kept.totals.clicks == (times + 1) * LOG["clicks"].sum()


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(6, 400), size=st.sampled_from([3, 50, 2_000]))
def test_rows_without_sums_are_none(seed: int, n: int, size: int) -> None:
    """Counts small and large, sorted and not, the same again and again."""
    rng = np.random.default_rng(seed)
    shown = rng.integers(1, size + 1, n).astype(float)
    clicked = rng.binomial(shown.astype(int), 0.2).astype(float)
    order = np.argsort(-shown) if seed % 2 else slice(None)
    for find in (subtotals, totals_at_end):
        assert len(find(shown[order], clicked[order])) == 0


def test_subtotals_of_several_levels() -> None:
    rng = np.random.default_rng(0)
    rows, marks, brands = [], [], []
    for _ in range(3):
        items = []
        for _ in range(4):
            own = rng.integers([300, 5], [3_000, 90], (5, 2))
            rows += [*own, own.sum(axis=0)]
            marks.append(len(rows) - 1)
            items.append(rows[-1])
        rows.append(np.sum(items, axis=0))
        marks.append(len(rows) - 1)
        brands.append(rows[-1])
    rows.append(np.sum(brands, axis=0))
    found = np.array(rows, dtype=float)
    assert subtotals(found[:, 0], found[:, 1]).tolist() == [*marks, len(rows) - 1]
