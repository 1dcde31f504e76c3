"""Lines of the history keep their layout, and come back as what was written."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reward.evidence.contest import Contest
from reward.evidence.metrics import Interval
from reward.saved import SavedError
from rlopt.stages.fit_reward.history import HISTORY, Entry, UpdateOutcome, history_text, read_history

FIT = Entry("2026-01-05T10:00:00+00:00", "fit", "logs.parquet", ("ab12",), "cd34", 150, 792, 200_000, 5587)
GAP = Interval(0.5, -0.1, 1.1)
CONTEST = Contest(30, 165, 41_114, {"pair_accuracy": 0.6}, {"pair_accuracy": 0.7}, GAP, GAP, GAP)
UPDATE = replace(FIT, event="update", outcome=UpdateOutcome("new", "it is better", CONTEST))
TRIAL = replace(FIT, event="trial", outcome=UpdateOutcome("old", "there is no judge side", None))
LOG = ["date", "event", "logs", "files", "counts", "items", "arms", "impressions", "clicks"]


def test_lines_have_the_keys_that_programs_read() -> None:
    lines = [json.loads(line) for line in history_text([FIT, UPDATE, TRIAL]).splitlines()]
    assert [list(line) for line in lines] == [LOG, *[[*LOG, "kept", "why", "figures"]] * 2]
    assert lines[1]["figures"]["pair_accuracy"] == {"value": 0.5, "low": -0.1, "high": 1.1}
    assert lines[2]["figures"] == {}


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    assert read_history(tmp_path) == []
    (tmp_path / HISTORY).write_text(history_text([FIT, UPDATE, TRIAL]), encoding="utf-8")
    assert read_history(tmp_path) == [FIT, UPDATE, TRIAL]


def test_a_damaged_line_is_told(tmp_path: Path) -> None:
    (tmp_path / HISTORY).write_text(history_text([FIT]).replace("792", '"many"'), encoding="utf-8")
    with pytest.raises(SavedError, match=r"history\.jsonl.* is damaged \(arms: Input should be a valid integer\)"):
        read_history(tmp_path)
    (tmp_path / HISTORY).write_text(history_text([UPDATE]).replace('"why"', '"because"'), encoding="utf-8")
    with pytest.raises(SavedError, match=r"history\.jsonl.* is damaged \(why: Field required\)"):
        read_history(tmp_path)
