"""Context of the decision: exit codes, lift by day, segments, covariates, earlier tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlopt.ope.abtest import Counts, analyze
from rlopt.ope.comparison import compare
from rlopt.ope.novelty import lift_by_day
from rlopt.ope.past_tests import past_tests
from tests.conftest import Outcome
from tests.stages.menu import make_arms, make_run

Rlopt = Callable[..., Outcome]
ITEMS, DAYS = 60, 7


def table(rng: np.random.Generator, lift: Any, *, share: float = 0.5, skip: bool = False) -> dict[str, Any]:
    """Rows a day, item and arm; ``lift`` by day and item; ``skip``: red items lose a tenth of the treatment's rows."""
    day, item = (x.ravel() for x in np.indices((DAYS, ITEMS)))
    new = rng.binomial(2000, share, len(day))
    shown = np.concatenate([2000 - new, new])
    gain = np.broadcast_to(np.asarray(lift, dtype=float), (DAYS, ITEMS)).ravel()
    rate = 0.05 * np.concatenate([np.ones(len(day)), 1 + gain])
    if skip:
        lost = np.concatenate([np.zeros(len(day), bool), item % 3 == 0])
        shown = np.where(lost, rng.binomial(shown, 0.97), shown)
    return {
        "arm": ["control"] * len(day) + ["new"] * len(day),
        "item_id": [f"i{i:04d}" for i in np.tile(item, 2)],
        "date": [f"2026-03-{d + 1:02d}" for d in np.tile(day, 2)],
        "impressions": shown,
        "clicks": rng.binomial(shown, rate),
    }


@pytest.fixture
def call(tmp_path: Path, rlopt: Rlopt) -> Callable[..., Outcome]:
    run = make_run(tmp_path / "run", make_arms(ITEMS))

    def run_it(rows: dict[str, Any], *flags: str) -> Outcome:
        pq.write_table(pa.table(rows), tmp_path / "results.parquet")
        return rlopt("ab-analyze", tmp_path / "results.parquet", "--run", run.path, *flags)

    return run_it


def test_the_gate_has_a_code_for_each_decision(call: Callable[..., Outcome]) -> None:
    rng = np.random.default_rng(0)
    codes = [call(table(rng, lift), "--gate", "--json") for lift in (0.2, -0.2, 0.0)]
    assert [c.code for c in codes] == [0, 3, 4]
    assert [c.json["decision"] for c in codes] == ["better", "worse", "undecided"]
    off = call(table(rng, 0.2, share=0.45), "--gate", "--json")  # a gain, and a broken split, which comes first
    assert (off.code, off.json["decision"]) == (5, "invalid")
    assert call(table(rng, -0.2)).code == 0


def test_an_effect_that_wears_off_is_seen(call: Callable[..., Outcome]) -> None:
    rng = np.random.default_rng(1)
    found = call(table(rng, np.linspace(0.3, 0.0, DAYS)[:, None]), "--json").json["trend"]
    assert found["slope"] == pytest.approx((0.0 - np.log(1.3)) / (DAYS - 1), abs=0.015)
    assert found["p_value"] < 0.001
    assert [day["day"] for day in found["days"]] == list(range(DAYS))
    assert "wears off" in call(table(rng, np.linspace(0.3, 0.0, DAYS)[:, None])).out


def test_a_steady_effect_has_no_trend() -> None:
    rng, small = np.random.default_rng(2), 0
    for _ in range(150):
        rows = table(rng, 0.1)
        item = np.array([int(i[1:]) for i in rows["item_id"]])
        day = np.array([int(d[-2:]) - 1 for d in rows["date"]])
        treated = np.array([a == "new" for a in rows["arm"]])
        counts = Counts(treated, item, rows["impressions"].astype(float), rows["clicks"].astype(float), day)
        trend = lift_by_day(counts, compare(counts))
        assert trend is not None
        small += trend.p_value < 0.05
    assert small / 150 <= 0.11


def test_segments_hold_together_and_say_where(call: Callable[..., Outcome]) -> None:
    rng = np.random.default_rng(3)
    red = np.where(np.arange(ITEMS) % 3 == 0, 0.3, 0.0)[None, :]
    found = call(table(rng, red), "--by", "colour", "--json").json
    by_value = {segment["value"]: segment for segment in found["segments"]}
    assert set(by_value) == {"red", "blue", "红色"}
    assert by_value["red"]["low"] > 0.1
    assert by_value["blue"]["low"] < 0 < by_value["blue"]["high"]
    assert by_value["red"]["q_value"] < 0.01 < by_value["blue"]["q_value"]
    assert found["mismatched_segments"] == []


def test_a_segment_that_loses_rows_makes_the_test_invalid(call: Callable[..., Outcome]) -> None:
    found = call(table(np.random.default_rng(4), 0.0, skip=True), "--by", "colour", "--json").json
    assert found["mismatched_segments"][0] == "colour: red"
    assert found["decision"] == "invalid"


def test_clicks_of_visitors_before_the_test_narrow_both_intervals() -> None:
    rng, narrower, covered = np.random.default_rng(5), [], 0
    for _ in range(60):
        n = 3000
        clicky = rng.gamma(0.5, 0.1, n)
        treated, item = rng.random(n) < 0.5, rng.integers(0, 20, n)
        clicks = rng.poisson(5 * clicky * np.where(treated, 1.1, 1.0)).astype(float)
        before = rng.poisson(20 * clicky).astype(float)
        plain, with_it = (
            analyze(
                Counts(treated, item, np.full(n, 5.0), clicks, visitor=np.arange(n), expected=expected),
                planned_lift=0.1,
                final=True,
            )
            for expected in (None, before)
        )
        narrower.append((with_it.always_high - with_it.always_low) / (plain.always_high - plain.always_low))
        covered += with_it.low <= 0.1 <= with_it.high
        assert with_it.unadjusted_lift == pytest.approx(plain.lift)
    assert np.mean(narrower) < 0.86
    assert covered / 60 >= 0.86


def test_a_covariate_is_read_from_its_column(call: Callable[..., Outcome]) -> None:
    rng = np.random.default_rng(6)
    rows = table(rng, 0.0)
    rows["visitor"] = [f"v{i}" for i in range(len(rows["arm"]))]
    rows["before"] = rows["clicks"] + 1
    found = call(rows, "--covariate", "before", "--json").json["outcome"]
    assert found["removed_variance"] > 0.5
    rows["before"] = -rows["before"]
    outcome = call(rows, "--covariate", "before")
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert "before (--covariate) must be 0 or more" in outcome.err


def history(slope: float, n: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        said, error = float(rng.normal(0.08, 0.05)), 0.01
        seen = slope * np.log1p(said) + rng.normal(0, error)
        rows.append({
            "results": str(k), "test": str(k), "metric": "clicks",
            "prediction": {"lift": said, "low": said - 1e-4, "high": said + 1e-4},
            "outcome": {
                "decision": "better", "confidence": 0.95, "lift": float(np.expm1(seen)),
                "low": float(np.expm1(seen - 1.96 * error)), "high": float(np.expm1(seen + 1.96 * error)),
            },
        })  # fmt: skip
    return rows


def test_earlier_tests_say_how_predictions_should_be_read() -> None:
    assert past_tests(history(0.5, 2)) is None
    found = past_tests(history(0.5, 40))
    assert found is not None
    assert found.slope == pytest.approx(0.5, abs=3 * found.slope_std_error)
    assert found.n_tests == 40
    assert found.right == sum(
        np.sign(r["prediction"]["lift"]) == np.sign(r["outcome"]["lift"]) for r in history(0.5, 40)
    )
    lift, low, high = found.rescaled(0.1, 0.05, 0.15)
    assert low < lift < high
    assert lift == pytest.approx(np.expm1(found.slope * np.log1p(0.1)))
    assert len(history(0.5, 5)) == past_tests(history(0.5, 5)).n_tests  # type: ignore[union-attr]
    assert past_tests(history(0.5, 4), but="0").n_tests == 3  # type: ignore[union-attr]
    assert past_tests(history(0.5, 5), "conversions") is None
