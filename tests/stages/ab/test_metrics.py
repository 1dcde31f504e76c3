"""Metrics beyond clicks, guardrails and several variants, through the command line, on results with known truth."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlopt.errors import EvaluationError
from rlopt.stages.ab.metrics import Guardrail, Metric
from tests.conftest import Outcome
from tests.stages.menu import make_arms, make_run

Rlopt = Callable[..., Outcome]
ITEMS = 60


@pytest.fixture
def analyze(tmp_path: Path, rlopt: Rlopt) -> Callable[..., Any]:
    run = make_run(tmp_path / "run", make_arms(ITEMS))

    def call(table: dict[str, Any], *flags: str) -> Any:
        pq.write_table(pa.table(table), tmp_path / "results.parquet")
        return rlopt("ab-analyze", tmp_path / "results.parquet", "--run", run.path, "--final", "--json", *flags).json

    return call


def visitors(
    rng: np.random.Generator, lifts: dict[str, float], *, n: int = 6000, order: float = 2.0, value: float = 0.0
) -> dict[str, Any]:
    """One row a visitor; clicks differ by arm as ``lifts`` say, orders' values (log-normal) by ``value``."""
    names = ["control", *lifts]
    arm = rng.integers(0, len(names), n)
    rate = 0.3 * np.array([1.0, *(1 + x for x in lifts.values())])[arm]
    shown = rng.integers(1, 6, n)
    clicks = rng.binomial(shown, rate)
    conversions = rng.binomial(clicks, 0.5)
    worth = np.exp(rng.normal(0, order, n)) * np.where(arm > 0, 1 + value, 1.0)
    return {
        "arm": [names[a] for a in arm],
        "visitor": [f"v{i}" for i in range(n)],
        "item_id": [f"i{i:04d}" for i in rng.integers(0, ITEMS, n)],
        "impressions": shown,
        "clicks": clicks,
        "conversions": conversions,
        "revenue": conversions * worth,
        "dwell": rng.gamma(2.0, 10.0, n),
    }


def row_of(found: Any, metric: str, variant: str) -> Any:
    (row,) = [r for r in found["metrics"] if r["metric"] == metric and r["variant"] == variant]
    return row


def test_every_metric_is_measured_and_the_first_decides(analyze: Callable[..., Any]) -> None:
    table = visitors(np.random.default_rng(0), {"new": 0.2})
    names = ("clicks", "conversions", "revenue", "dwell", "conversions/clicks", "revenue/conversions")
    found = analyze(table, *(flag for name in names for flag in ("--metric", name)))
    assert [row["metric"] for row in found["metrics"]] == list(names)
    assert [row["role"] for row in found["metrics"]] == ["main", *["beside"] * 5]
    assert found["metric"] == "clicks"
    assert found["decision"] == "better"
    truth = {"clicks": 0.2, "conversions": 0.2, "dwell": 0.0, "conversions/clicks": 0.0}
    for name, lift in truth.items():
        outcome = row_of(found, name, "new")["outcome"]
        wide = (outcome["high"] - outcome["low"]) / 2
        assert abs(outcome["lift"] - lift) < 2 * wide, name
    per_click = row_of(found, "conversions/clicks", "new")["outcome"]
    assert per_click["impressions_control"] == sum(
        c for c, a in zip(table["clicks"], table["arm"], strict=True) if a == "control"
    )
    revenue = row_of(found, "revenue", "new")
    assert 0.0 < revenue["winsorised"] < 0.4
    assert row_of(found, "clicks", "new")["winsorised"] == 0.0


def test_rows_that_add_up_visitors_are_not_cut(analyze: Callable[..., Any]) -> None:
    table = visitors(np.random.default_rng(1), {"new": 0.0})
    del table["visitor"]
    table["impressions"] = table["impressions"] + 1
    found = analyze(table, "--metric", "revenue")
    assert found["metrics"][0]["winsorised"] is None


def test_heavy_tails_are_cut_alike_in_all_arms_and_less_noisy(analyze: Callable[..., Any]) -> None:
    table = visitors(np.random.default_rng(2), {"new": 0.0})
    kept, cut = (analyze(table, "--metric", "revenue", "--winsorize", level)["outcome"] for level in ("1", "0.99"))
    assert cut["std_error"] < 0.75 * kept["std_error"]
    total = np.asarray(table["revenue"])
    cap = np.quantile(total[total > 0], 0.99)
    control = np.array([a == "control" for a in table["arm"]])
    assert cut["events_control"] == pytest.approx(np.minimum(total, cap)[control].sum())


def test_revenue_with_log_normal_tails_is_covered() -> None:
    from rlopt.ope.abtest import Counts, analyze
    from rlopt.ope.heavy_tails import winsorised

    rng, covered = np.random.default_rng(3), 0
    n = 3000
    for _ in range(200):
        treated = rng.random(n) < 0.5
        worth = np.exp(rng.normal(0, 2.0, n)) * (rng.random(n) < 0.3)
        values, _ = winsorised(worth, np.arange(n), 0.999)
        counts = Counts(treated, rng.integers(0, 50, n), np.ones(n), values, visitor=np.arange(n))
        found = analyze(counts, planned_lift=0.05, final=True, counted=False)
        covered += found.low <= 0 <= found.high
    assert covered / 200 >= 0.91  # 93% and more, less the error of 200 repetitions


def test_a_guardrail_holds_breaks_or_stays_open(analyze: Callable[..., Any]) -> None:
    rng = np.random.default_rng(4)
    table = visitors(rng, {"new": 0.2})
    new = np.array([a == "new" for a in table["arm"]])
    table["returns"] = rng.binomial(3, np.where(new, 0.4, 0.2))
    held = analyze(table, "--guardrail", "dwell:-0.2", "--guardrail", "returns:+3")
    assert [row["status"] for row in held["metrics"] if row["role"] == "guardrail"] == ["held", "held"]
    assert held["decision"] == "better"
    broken = analyze(table, "--guardrail", "returns:+0.05")
    assert row_of(broken, "returns", "new")["status"] == "broken"
    assert (broken["outcome"]["decision"], broken["decision"]) == ("better", "worse")
    still = analyze(table, "--guardrail", "dwell:-0.0001")
    assert row_of(still, "dwell", "new")["status"] == "open"
    assert still["decision"] == "undecided"


def test_guardrails_decide_by_the_side_of_their_limit() -> None:
    fall, rise = Guardrail.parse("revenue:-0.02"), Guardrail.parse("returns/conversions:+.05")
    assert rise.metric == Metric("returns", "conversions")
    assert [fall.status(*limits) for limits in ((-0.01, 0.1), (-0.03, 0.1), (-0.1, -0.03))] == [
        "held",
        "open",
        "broken",
    ]
    assert [rise.status(*limits) for limits in ((-0.1, 0.04), (-0.1, 0.06), (0.06, 0.1))] == ["held", "open", "broken"]
    for wrong in ("revenue", "revenue:", ":0.1", "revenue:nan", "revenue:1e3"):
        with pytest.raises(EvaluationError, match="takes NAME:LIMIT"):
            Guardrail.parse(wrong)


def test_several_variants_hold_together_and_the_best_is_corrected(analyze: Callable[..., Any]) -> None:
    table = visitors(np.random.default_rng(5), {"a": 0.0, "b": 0.3, "c": 0.02}, n=9000)
    found = analyze(table, "--split", "0.75")
    assert [one["name"] for one in found["variants"]] == ["a", "b", "c"]
    assert found["variant"] == "b"
    assert found["decision"] == "better"
    alone = {k: [v for v, a in zip(table[k], table["arm"], strict=True) if a in ("control", "b")] for k in table}
    single = analyze(alone)["outcome"]
    together = found["outcome"]
    assert together["lift"] == pytest.approx(single["lift"])
    assert together["low"] < single["low"] < single["high"] < together["high"]  # they hold together, so they are wider
    assert found["best"]["variant"] == "b"
    assert found["best"]["lift"] <= together["lift"] + 1e-9
    assert all(one["p_value"] >= 0 for one in found["variants"])
    assert min(found["variants"], key=lambda one: one["p_value"])["name"] == "b"
