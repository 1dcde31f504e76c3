"""Results that count something twice are refused, with what it adds; clean ones are not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reward.errors import LogError
from rlopt.errors import EvaluationError
from rlopt.stages.ab.results import read_results

COUNTS = ["impressions", "clicks"]


def results(seed: int = 0, days: int = 8, items: int = 15) -> pd.DataFrame:
    """Counts of two arms of every item on every day."""
    rng = np.random.default_rng(seed)
    item, day, arm = (part.ravel() for part in np.indices((items, days, 2)))
    shown = rng.integers(150, 400, len(item))
    return pd.DataFrame(
        {
            "arm": np.array(["control", "treatment"])[arm],
            "item_id": [f"i{i:04d}" for i in item],
            "date": [f"2026-03-{d + 1:02d}" for d in day],
            "impressions": shown,
            "clicks": rng.binomial(shown, 0.08),
        }
    )


def refused(frame: pd.DataFrame, folder: Path) -> str:
    """What the results are refused for, nothing where they are read; with ``copies="keep"`` they always are."""
    frame.to_parquet(folder / "results.parquet", index=False)
    read_results(folder / "results.parquet", copies="keep")
    try:
        read_results(folder / "results.parquet", copies="stop")
    except (LogError, EvaluationError) as error:
        return str(error)
    return ""


def summed(frame: pd.DataFrame, *keys: str, **values: str) -> pd.DataFrame:
    return frame.groupby(list(keys), as_index=False)[COUNTS].sum().assign(**values)


@pytest.mark.parametrize("kind", ["file", "day", "item", "arm", "devices", "so far"])
def test_what_counts_twice_is_refused(tmp_path: Path, kind: str) -> None:
    clean = results()
    more, words = {
        "file": (clean, "a second time"),
        "day": (clean[clean["date"] == "2026-03-04"], "a second time"),
        "item": (summed(clean, "arm", item_id="Total", date="2026-03-08"), "item_id 'Total' has as many"),
        "arm": (summed(clean, "item_id", "date", arm="all"), "arm 'all' has as many"),
        "devices": (clean.assign(device="all"), "the rows with 'all' in the column 'device'"),
        "so far": (clean, "running totals"),
    }[kind]
    if kind == "so far":
        frame = clean.assign(**{c: clean.groupby(["arm", "item_id"])[c].cumsum() for c in COUNTS})
    elif kind == "devices":
        phone = clean.assign(device="phone", **{c: clean[c] // 3 for c in COUNTS})
        rest = clean.assign(device="desktop", **{c: clean[c] - clean[c] // 3 for c in COUNTS})
        frame = pd.concat([phone, rest, more])
    else:
        frame = pd.concat([clean, more])
    message = refused(frame, tmp_path)
    assert words in message
    assert "--copies keep" in message


@pytest.mark.parametrize("seed", range(5))
def test_clean_results_are_read(tmp_path: Path, seed: int) -> None:
    frame = results(seed)
    assert not refused(frame, tmp_path)
    rng = np.random.default_rng(seed)
    equal = frame.assign(impressions=200, clicks=rng.binomial(200, 0.1, len(frame)))
    assert not refused(equal.drop(columns="date"), tmp_path)
    visits = frame.loc[frame.index.repeat(4)].assign(impressions=1, clicks=rng.binomial(1, 0.1, 4 * len(frame)))
    assert not refused(visits, tmp_path)
    assert not refused(frame.assign(arm=frame["arm"].eq("control").map({True: "control", False: "b "})), tmp_path)


def test_names_of_columns_and_arms_are_read_whatever_their_case_and_blanks(tmp_path: Path) -> None:
    clean = results()
    spelt = clean.assign(arm=[arm + " " * (row % 3) for row, arm in enumerate(clean["arm"])])
    spelt.rename(columns={"arm": "Arm", "date": " Date"}).to_csv(tmp_path / "results.csv", index=False)
    found = read_results(tmp_path / "results.csv")
    assert found.arms == ("control", "treatment")
    assert found.last_date == "2026-03-08"


def test_arms_of_two_spellings_and_dates_of_some_rows_are_refused(tmp_path: Path) -> None:
    clean = results()
    spelt = clean.assign(arm=[a.title() if row % 4 == 0 else a for row, a in enumerate(clean["arm"])])
    with pytest.raises(EvaluationError, match="arm has 'Control' and 'control', which differ in spelling only"):
        refused(spelt, tmp_path)
    with pytest.raises(EvaluationError, match=r"date must not be empty \(1 row is\)"):
        refused(clean.assign(date=[None, *clean["date"][1:]]), tmp_path)
    assert not refused(clean.assign(date=None), tmp_path)
