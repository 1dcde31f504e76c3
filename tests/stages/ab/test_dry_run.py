"""The dry run: logs in which nothing differs are split as planned, and the intervals keep their word."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlopt.run import Run
from tests.conftest import Outcome
from tests.stages.menu import make_arms, make_run

Rlopt = Callable[..., Outcome]
ITEMS, DAYS = 80, 28


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", make_arms(ITEMS))


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    day, item = (x.ravel() for x in np.indices((DAYS, ITEMS)))
    appeal, level = rng.gamma(3.0, 0.02, ITEMS), np.exp(rng.normal(0, 0.2, DAYS))
    shown = rng.poisson(400, len(day))
    clicks = rng.binomial(shown, np.minimum(appeal[item] * level[day], 0.9))
    table = {
        "item_id": [f"i{i:04d}" for i in item],
        "title": ["a"] * len(day),
        "timestamp": [f"2026-03-{d + 1:02d}T12:00:00" for d in day],
        "impressions": shown,
        "clicks": clicks,
    }
    pq.write_table(pa.table(table), tmp_path / "logs.parquet")
    return tmp_path / "logs.parquet"


def tried(rlopt: Rlopt, run: Run, logs: Path, *flags: Any) -> Any:
    told = ["--lift", "0.05", "--traffic", "32000", "--repetitions", "100", "--dry-run", logs, "--json", *flags]
    return rlopt("ab-plan", "--run", run.path, *told).json["dry_run"]


@pytest.mark.parametrize("design", ["visitors", "items", "serial"])
def test_false_decisions_are_as_rare_as_they_should_be(design: str, rlopt: Rlopt, run: Run, logs: Path) -> None:
    found = tried(rlopt, run, logs, "--design", design)
    assert found["repetitions"] == 100
    assert found["false_decisions"] <= 0.12  # 5% and three standard errors
    assert found["false_decisions_any"] <= 0.05
    assert found["split_alarms"] <= 0.03
    assert found["half_width"] < found["half_width_any"]
    assert (found["days"], found["pre_days"]) == ((14, 14) if design == "items" else (28, 0))


def test_the_half_width_is_that_of_a_poisson_comparison(rlopt: Rlopt, run: Run, logs: Path) -> None:
    found = tried(rlopt, run, logs)
    clicks = sum(pq.read_table(logs)["clicks"].to_pylist())
    assert found["half_width"] == pytest.approx(1.96 * np.sqrt(4 / clicks), rel=0.25)  # t and random clusters: wider


def test_logs_that_cannot_be_split_are_one_line(rlopt: Rlopt, run: Run, logs: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.parquet"
    table = pq.read_table(logs)
    pq.write_table(table.drop_columns(["timestamp"]), short)
    for file, flags, message in (
        (short, ["--design", "serial"], "on logs with timestamps"),
        (logs, ["--design", "serial", "--period", "20"], "needs two periods of 20"),
        (tmp_path / "none.parquet", [], "none.parquet"),
        (logs, ["--metric", "conversions"], "conversions"),
        (logs, ["--columns", "visitor=who"], "no column 'who'"),
    ):
        told = ["--lift", "0.05", "--traffic", "32000", "--dry-run", file, *flags]
        outcome = rlopt("ab-plan", "--run", run.path, *told)
        assert (outcome.code, outcome.err.count("\n")) == (1, 1), outcome.err
        assert message in outcome.err
