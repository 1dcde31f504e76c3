"""Blanks at the ends of titles: the arms are those of the log without them, whatever the file and the pass."""

import json
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reward.doctor.examine import examine
from reward.logs.read import LogData, read_items, read_logs, read_titles
from reward.logs.splits import split_items
from reward.logs.trim_sql import BLANKS, stripped
from reward.logs.update import merge_arms

from ..log_fixtures import assert_same_arms, impressions_log, read_csv_text, write_log, written

PADS = ["", " ", "  ", "\t", "\n", "\u3000", "\u00a0", "\u2003 "]


def padded(log: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The log with blanks before and after some of its titles."""
    rng = np.random.default_rng(seed)
    before, after = (rng.choice(PADS, len(log)) for _ in range(2))
    return log.assign(title=[a + title + b for a, title, b in zip(before, log["title"], after, strict=True)])


def assert_same_logs(one: LogData, other: LogData) -> None:
    """Both read alike, what was estimated on the way included."""
    assert_same_arms(one.arms, other.arms)
    assert one.delay == other.delay
    assert one.overdispersion == other.overdispersion
    for left, right in ((one.periods, other.periods), (one.position_bias, other.position_bias)):
        assert (left is None) == (right is None)
        for name, value in vars(left).items() if left is not None else ():
            np.testing.assert_array_equal(value, getattr(right, name), err_msg=name)


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_padded_titles_are_the_arms_of_the_clean_log(ending: str, tmp_path: Path) -> None:
    log = impressions_log(3)
    clean = read_logs(written(log, tmp_path / f"clean.{ending}"))
    found = read_logs(written(padded(log, 0), tmp_path / f"padded.{ending}"))
    assert (clean.padded_titles, len(clean.arms)) == (0, 48)
    assert found.padded_titles > 48
    assert_same_logs(found, clean)


def test_periods_and_repeated_rows_do_not_see_the_blanks(tmp_path: Path) -> None:
    """Counts by day whose second title replaces the first one half way: each pass over the rows meets the titles."""
    rng = np.random.default_rng(1)
    rows = [(i, a, day) for i in range(60) for a in range(2) for day in range(30 * a, 30 * a + 40)]
    frame = pd.DataFrame(rows, columns=["item_id", "arm", "day"])
    log = pd.DataFrame(
        {
            "item_id": frame["item_id"].astype(str),
            "title": [f"title {a}" for a in frame["arm"]],
            "impressions": 400,
            "clicks": rng.binomial(400, np.where(frame["day"] < 35, 0.05, 0.1)),
            "timestamp": 1.7e9 + 86_400.0 * frame["day"],
        }
    )
    clean = read_logs(written(log, tmp_path / "clean.parquet"))
    assert clean.periods is not None
    assert clean.overdispersion is not None
    assert_same_logs(read_logs(written(padded(log, 2), tmp_path / "padded.parquet")), clean)


def test_logs_that_differ_in_blanks_join_to_one(tmp_path: Path) -> None:
    first, second = impressions_log(4), impressions_log(5)
    clean = [read_logs(written(log, tmp_path / f"{n}.parquet")).arms for n, log in enumerate((first, second))]
    other = read_logs(written(padded(second, 3), tmp_path / "2.parquet")).arms
    assert_same_arms(merge_arms([clean[0], other]), merge_arms(clean))
    assert split_items(merge_arms([clean[0], other]), seed=0) == split_items(merge_arms(clean), seed=0)


def test_white_space_and_characters_without_width_count_and_nothing_else(tmp_path: Path) -> None:
    spaces = {chr(c) for c in range(sys.maxunicode + 1) if chr(c).isspace()}
    assert spaces < set(BLANKS)
    assert {unicodedata.category(c) for c in set(BLANKS) - spaces} == {"Cf"}
    titles = [f"{blank}a{blank}b{blank}" for blank in BLANKS] + ["\u200bx", "x\ufeff", "x\u00ad", "NULL", "'x'"]
    columns = {"item_id": [" i"] * len(titles), "title": titles, "clicks": [0] * len(titles)}
    arms = read_logs(write_log(tmp_path / "log.parquet", columns)).arms
    assert arms.title.tolist() == sorted({stripped(title) for title in titles})
    assert {"x", "x\u00ad"} < set(arms.title)
    assert set(arms.item_ids) == {"i"}


def test_catalogues_and_titles_to_score_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "titles.jsonl"
    rows = [{"item_id": "a", "title": title} for title in ("Red dress ", "\u3000Red dress", "Blue dress")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, titles, table = read_titles(path)
    assert titles == ["Red dress", "Red dress", "Blue dress"]
    assert table["title"].to_pylist() == [row["title"] for row in rows]
    assert read_items(path)[0].current_title == "Red dress"


def test_the_doctor_says_that_blanks_were_taken_off(tmp_path: Path) -> None:
    logs = read_csv_text(tmp_path, "item_id,title,clicks\n1,Red dress,0\n1,Red dress ,1\n2,Blue dress,0\n")
    assert logs.arms.clicks.tolist() == [1, 0]
    assert any(
        "Titles with blanks at their ends, which were taken off: 1." in finding.message
        for finding in examine(logs).findings
    )
