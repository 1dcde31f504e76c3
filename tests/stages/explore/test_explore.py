"""``rlopt explore`` on a simulated shop: plans keep their promises of form, and results teach the truth."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reward.errors import LogError
from rlopt.assignment_hash import RULE
from rlopt.config import ExploreConfig
from rlopt.run import Run
from rlopt.stages.explore import explore

WIDE = ExploreConfig(loss=1.0, floor=0.02, span=60.0)


@pytest.fixture(scope="module")
def titles(simulated_logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three logged titles of each of twenty items."""
    out = tmp_path_factory.mktemp("titles") / "titles.parquet"
    duckdb.sql(
        "COPY (SELECT item_id, title FROM (SELECT DISTINCT item_id, title FROM read_parquet(?)) "
        "QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY title) <= 3 ORDER BY ALL LIMIT 60) TO '"
        + str(out)
        + "'",
        params=[str(simulated_logs)],
    )
    return out


def _rows(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


def _results(plan: list[dict[str, Any]], best: dict[str, str], batch: int, each: float) -> list[dict[str, Any]]:
    """Results of ``each`` impressions of every item when the best title has 4% clicks and the others 2%."""
    shown = [(row, each * row["probability"]) for row in plan]
    return [
        {
            "item_id": row["item_id"],
            "title": row["title"],
            "impressions": n,
            "clicks": n * (0.04 if best.get(row["item_id"]) == row["title"] else 0.02),
            "batch": batch,
        }
        for row, n in shown
    ]


def test_a_plan_has_exact_probabilities_and_todays_titles(fitted_run: Path, titles: Path, tmp_path: Path) -> None:
    result = explore(Run.open(fitted_run), titles, tmp_path / "plan.parquet", WIDE)
    plan = _rows(tmp_path / "plan.parquet")
    total = Counter[str]()
    for row in plan:
        total[row["item_id"]] += row["probability"]
        assert row["probability"] >= 0.02 - 1e-12
        assert row["lift_low"] <= row["lift"] <= row["lift_high"]
    assert list(total.values()) == pytest.approx([1.0] * result.explored)
    assert result.explored > 0
    assert result.titles == len(plan)
    assert sum(row["today"] for row in plan) == result.explored
    assert pq.read_schema(tmp_path / "plan.parquet").metadata[b"assignment"].decode() == RULE
    mean = np.array([row["alpha"] / (row["alpha"] + row["beta"]) for row in plan])
    assert ((mean > 0.001) & (mean < 0.5)).all()
    assert result.promise is not None
    assert result.promise.lift_after >= result.promise.lift_now
    assert 0.9 < result.promise.coverage < 0.99
    explore(Run.open(fitted_run), titles, tmp_path / "again.csv", WIDE)
    explore(Run.open(fitted_run), titles, tmp_path / "again.parquet", WIDE)
    assert _rows(tmp_path / "again.parquet") == plan


def test_results_lead_to_the_best_titles(fitted_run: Path, titles: Path, tmp_path: Path) -> None:
    run, plan_file = Run.open(fitted_run), tmp_path / "plan.parquet"
    explore(run, titles, plan_file, WIDE)
    plan = _rows(plan_file)
    best = {row["item_id"]: row["title"] for row in plan}  # the last of each item
    seen = []
    for batch in range(4):
        seen += _results(plan, best, batch, 60_000)
        pq.write_table(pa.Table.from_pylist(seen), tmp_path / "results.parquet")
        result = explore(run, titles, plan_file, WIDE, results=tmp_path / "results.parquet")
        plan = _rows(plan_file)
        assert {row["item_id"] for row in plan} <= set(best)
    decided = {row["item_id"]: row["title"] for row in plan if row["state"] == "decided"}
    assert len(decided) == result.decided
    assert len(decided) >= 0.8 * len(best)
    assert np.mean([best[item_id] == title for item_id, title in decided.items()]) >= 0.9
    assert result.impressions_seen == pytest.approx(sum(row["impressions"] for row in seen))


def test_budget_and_loss_are_kept(fitted_run: Path, titles: Path, tmp_path: Path) -> None:
    run, out = Run.open(fitted_run), tmp_path / "plan.parquet"
    whole = explore(run, titles, out, WIDE)
    half = explore(run, titles, out, WIDE.model_copy(update={"budget": whole.impressions / 2}))
    assert 0 < half.explored < whole.explored
    assert half.impressions <= whole.impressions / 2
    assert explore(run, titles, out, WIDE.model_copy(update={"loss": 0.0})).expected_loss <= 0


def test_results_that_do_not_fit_are_one_line(
    fitted_run: Path, titles: Path, tmp_path: Path, rlopt: Callable[..., Any]
) -> None:
    item = _rows(titles)[0]
    bad = tmp_path / "results.csv"
    arguments = ["explore", titles, "-o", tmp_path / "plan.parquet", "--run", fitted_run, "--continue", bad]
    for line, told in (
        (f"{item['item_id']},a title never shown,100,1", "none of the titles to show"),
        (f'{item["item_id"]},"{item["title"]}",100,200', "200 clicks of 100 impressions"),
        (f'{item["item_id"]},"{item["title"]}",many,2', "impressions must be a number"),
    ):
        bad.write_text(f"item_id,title,impressions,clicks\n{line}\n", encoding="utf-8")
        outcome = rlopt(*arguments)
        assert outcome.code == 1
        assert told in outcome.err
        assert "Traceback" not in outcome.err
    outcome = rlopt("explore", titles, "-o", tmp_path / "plan.parquet", "--run", fitted_run, "--json")
    assert outcome.code == 0
    assert outcome.json["rule"] == RULE


def test_the_longer_the_best_title_is_shown_afterwards_the_more_items_are_worth_exploring(
    fitted_run: Path, titles: Path, tmp_path: Path, rlopt: Callable[..., Any]
) -> None:
    short = ["explore", titles, "-o", tmp_path / "plan.parquet", "--run", fitted_run, "--span", "0.05", "--loss", "1"]
    explored = [rlopt(*short, "--afterwards", length, "--json").json["explored"] for length in (0, 100)]
    assert explored[0] < explored[1]


def test_too_many_titles_are_refused(fitted_run: Path, titles: Path, tmp_path: Path) -> None:
    item_id = _rows(titles)[0]["item_id"]
    many = [{"item_id": item_id, "title": f"title number {n}"} for n in range(50)]
    pq.write_table(pa.Table.from_pylist(many), tmp_path / "many.parquet")
    with pytest.raises(LogError, match="at most 40"):
        explore(Run.open(fitted_run), tmp_path / "many.parquet", tmp_path / "plan.parquet")
