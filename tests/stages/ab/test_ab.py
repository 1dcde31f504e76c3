"""ab-plan and ab-analyze through the real command line, on a run whose every figure is known."""

import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reward.errors import LogError
from rlopt.errors import EvaluationError
from rlopt.files import fingerprint, to_json
from rlopt.ope.past_tests import last_analyses
from rlopt.ope.power import TestDesign
from rlopt.run import DATA, Run
from rlopt.stages.ab.analyze import analyze_test
from rlopt.stages.ab.plan import predicted_lift
from rlopt.stages.ab.prediction import Evaluation
from tests.conftest import Outcome
from tests.stages.log_reports import log_report
from tests.stages.menu import make_arms, make_run

Rlopt = Callable[..., Outcome]
LIFTS = {"logged": {"value": 0.1, "low": 0.04, "high": 0.16}, "sft": {"value": 0.2, "low": -0.01, "high": 0.3}}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Stages done; an evaluation that predicted `LIFTS`, overdispersion 1.5."""
    run = make_run(tmp_path / "run", make_arms(60))
    (run / DATA / "findings.json").write_text(to_json(log_report(overdispersion=1.5)))
    with run.stage("offline-eval", {"seed": 0}), run.replacing("eval") as folder:
        guardrails = {"conversions": {"value": 0.02, "low": 0.01, "high": 0.03}}
        report = {
            "lifts": LIFTS,
            "guardrails": guardrails,
            "verdict": {"decision": "launch"},
            "diagnostics": {"item_lift_spread": 0.05},
        }
        (folder / "report.json").write_text(json.dumps(report))
    return run


def write_results(path: Path, *, lift: float = 0.1, days: int = 1, seed: int = 0, **changes: Any) -> Path:
    """Results of a test on 60 items, 2,000 impressions each in either arm and day."""
    rng = np.random.default_rng(seed)
    n = 120 * days
    arm = np.tile(["control", "new"], n // 2)
    columns: dict[str, Any] = {
        "arm": arm.tolist(),
        "item_id": [f"i{i % 60:04d}" for i in np.arange(n) // 2],
        "impressions": [2000] * n,
        "clicks": rng.binomial(2000, np.where(arm == "new", 0.05 * (1 + lift), 0.05)).tolist(),
        "date": [f"2026-03-{1 + i // 120:02d}" for i in range(n)],
    }
    columns.update(changes)
    pq.write_table(pa.table({k: v for k, v in columns.items() if v is not None}), path)
    return path


def test_plan_for_the_predicted_lift_and_its_lower_limit(rlopt: Rlopt, run: Run) -> None:
    plan = rlopt("ab-plan", "--run", run.path, "--split", "0.2", "--traffic", "10000", "--json").json
    predicted, lower = plan["lifts"]
    arms = run.arms()
    design = TestDesign(
        float(arms.clicks.sum() / arms.impressions.sum()), 0.2, overdispersion=1.5, lift_spread=0.05, effective_items=60
    )
    assert plan["effective_items"] == pytest.approx(60)
    assert (predicted["lift"], lower["lift"]) == (0.1, 0.04)
    total = design.impressions(0.1)
    assert predicted["impressions_treatment"] == np.ceil(total * 0.2)
    assert predicted["impressions_control"] == np.ceil(total * 0.8)
    assert predicted["days"] == pytest.approx(
        {"100%": total / 1e4, "50%": total / 5e3, "25%": total / 2.5e3, "10%": total / 1e3}
    )
    assert lower["impressions_treatment"] > 3 * predicted["impressions_treatment"]
    over_sft = rlopt("ab-plan", "--run", run.path, "--baseline", "sft", "--json").json["lifts"]
    assert over_sft[0]["days"] == {}  # no timestamps, no --traffic
    assert over_sft[1]["impressions_control"] is None
    assert "no" in over_sft[1]["reason"]


def test_plan_for_a_given_lift_needs_no_evaluation(rlopt: Rlopt, tmp_path: Path) -> None:
    run = make_run(tmp_path / "bare", make_arms(60))
    outcome = rlopt("ab-plan", "--run", run.path)
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert "has no evaluation of ppo to take a lift from. Run rlopt offline-eval, or name one: --lift" in outcome.err
    text = rlopt("ab-plan", "--run", run.path, "--lift", "0.05", "--one-sided").out
    assert "one-sided" in text
    assert "not known from these logs" in text
    one, two = (
        rlopt("ab-plan", "--run", run.path, "--lift", "0.05", "--json", *flags).json["lifts"][0]["impressions_control"]
        for flags in (["--one-sided"], [])
    )
    assert one < two
    assert "hold no conversions" in rlopt("ab-plan", "--run", run.path, "--lift", "0.1", "--metric", "conversions").err
    assert rlopt("ab-plan", "--run", run.path, "--lift", "40").code == 1


def test_conversions_are_planned_for_by_their_own_lift(run: Run) -> None:
    path = run / "eval" / "report.json"
    report = Evaluation.from_json(path.read_text(), path)
    assert predicted_lift(report, "conversions", "logged").value == 0.02
    assert predicted_lift(report, "clicks", "sft").value == 0.2
    with pytest.raises(EvaluationError, match="no lift of conversions over sft"):
        predicted_lift(report, "conversions", "sft")


def test_analysis_beside_the_prediction_is_kept_once(rlopt: Rlopt, run: Run, tmp_path: Path) -> None:
    results = write_results(tmp_path / "results.parquet")
    found = rlopt("ab-analyze", results, "--run", run.path, "--final", "--json").json
    outcome = found["outcome"]
    assert outcome["low"] <= 0.1 <= outcome["high"]
    assert outcome["always_low"] < outcome["low"] < outcome["high"] < outcome["always_high"]
    assert outcome["decision"] == "better"
    assert found["prediction"] == {"lift": 0.1, "low": 0.04, "high": 0.16, "baseline": "logged", "verdict": "launch"}
    assert found["agrees"] is True
    assert found["last_date"] == "2026-03-01"
    text = rlopt("ab-analyze", results, "--run", run.path, "--final").out
    assert "new titles are better" in text
    assert "agrees with the test" in text
    assert len(run.metrics("calibration").rows()) == 1  # the same results twice are one line
    rlopt("ab-analyze", write_results(tmp_path / "later.parquet", days=2), "--run", run.path)
    history = run.metrics("calibration").rows()
    assert [row["last_date"] for row in history] == ["2026-03-01", "2026-03-02"]
    assert history[1]["outcome"]["impressions_control"] == 240_000
    assert len(last_analyses(history)) == 1  # two looks at one test


def test_the_history_knows_contents_and_not_places(rlopt: Rlopt, run: Run, tmp_path: Path) -> None:
    """A copy is the same results; another test in the same place is another test."""
    results = write_results(tmp_path / "results.parquet")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "part.parquet").write_bytes(results.read_bytes())
    for place in (results, tmp_path / "copy" / "part.parquet", tmp_path / "copy", tmp_path / "copy" / "*.parquet"):
        assert rlopt("ab-analyze", place, "--run", run.path).code == 0
    assert len(run.metrics("calibration").rows()) == 1
    write_results(results, date=["2026-09-09"] * pq.read_metadata(results).num_rows)
    assert rlopt("ab-analyze", results, "--run", run.path).code == 0
    history = run.metrics("calibration").rows()
    assert history[0]["file"] == history[1]["file"]
    assert len(last_analyses(history)) == 2


def test_titles_from_elsewhere_have_their_own_prediction(rlopt: Rlopt, run: Run, tmp_path: Path) -> None:
    titles = tmp_path / "agency.csv"
    titles.write_text("item_id,title\ni1,New\n")
    flags = ["--run", run.path, "--policy", titles]
    outcome = rlopt("ab-plan", *flags)
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert f"Run rlopt offline-eval --policy {titles}" in outcome.err
    with (
        run.stage("offline-eval-agency", {"seed": 0}, {"policy": fingerprint(titles)}),
        run.replacing("eval-agency") as folder,
    ):
        lifts = {"logged": {"value": 0.3, "low": 0.2, "high": 0.4}}
        (folder / "report.json").write_text(json.dumps({"lifts": lifts, "verdict": {"decision": "hold"}}))
    assert rlopt("ab-plan", *flags, "--json").json["lifts"][0]["lift"] == 0.3
    assert "no lift of clicks over sft" in rlopt("ab-plan", *flags, "--baseline", "sft").err
    results = write_results(tmp_path / "results.parquet")
    found = rlopt("ab-analyze", results, *flags, "--json").json
    assert (found["prediction"]["lift"], found["prediction"]["verdict"]) == (0.3, "hold")
    (row,) = run.metrics("calibration").rows()
    assert row["policy"] == str(titles)
    assert rlopt("ab-plan", "--run", run.path, "--policy", "nobody").code == 1
    titles.write_text("item_id,title\ni1,Newer\n")  # other titles than those that were evaluated
    assert "has no evaluation of" in rlopt("ab-plan", *flags).err


def test_csv_and_conversions(rlopt: Rlopt, run: Run, tmp_path: Path) -> None:
    lines = ["arm,item,impressions,clicks,conversions"]
    lines += [
        f"{arm},{chr(97 + i)}{chr(98 + i)},1000,60,{20 + 5 * (arm == 'b') + i % 3}"
        for i in range(20)
        for arm in ("a", "b")
    ]
    (tmp_path / "r.csv").write_text("\n".join(lines))
    found = rlopt(
        "ab-analyze", tmp_path / "r.csv", "--run", run.path, "--control", "a", "--metric", "conversions", "--json"
    ).json
    assert found["outcome"]["lift"] == pytest.approx(5 * 20 / sum(20 + i % 3 for i in range(20)))
    assert found["prediction"] == {"lift": 0.02, "low": 0.01, "high": 0.03, "baseline": "logged", "verdict": "launch"}
    assert found["planned_lift"] == 0.02


def test_results_may_have_the_names_of_the_runs_logs_or_those_of_columns(
    rlopt: Rlopt, run: Run, tmp_path: Path
) -> None:
    """The same results under other names give the same analysis; item ids of several columns are joined as in logs."""
    plain = rlopt("ab-analyze", write_results(tmp_path / "plain.parquet"), "--run", run.path, "--json").json
    table = pq.read_table(tmp_path / "plain.parquet")
    shop = {"item_id": "sku", "impressions": "views", "clicks": "taps"}
    pq.write_table(table.rename_columns([shop.get(n, n) for n in table.column_names]), tmp_path / "shop.parquet")
    outcome = rlopt("ab-analyze", tmp_path / "shop.parquet", "--run", run.path)
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert "has no column 'item_id'" in outcome.err
    (run / DATA / "preset.json").write_text(json.dumps({"columns": {**shop, "title": "headline"}}))
    found = rlopt("ab-analyze", tmp_path / "shop.parquet", "--run", run.path, "--json").json
    assert found == plain

    items = table["item_id"].to_pylist()
    tool = {
        "variant": table["arm"],
        "day": table["date"],
        "a": [item[:3] for item in items],
        "b": [item[3:] for item in items],
        "shown": table["impressions"],
        "hits": table["clicks"].cast(pa.string()),
        "clicks": [0] * len(items),
    }
    pq.write_table(pa.table(tool), tmp_path / "tool.parquet")
    flags = ["--run", run.path, "--columns"]
    names = "arm=variant,date=day,item_id=a+b,impressions=shown,clicks=hits"
    found = rlopt("ab-analyze", tmp_path / "tool.parquet", *flags, names, "--json").json
    assert found == plain
    for columns, message in (
        ("arm=group", "has no column 'group' (mapped to 'arm'). It has variant, day, a,"),
        ("arm=variant,arm=day", "--columns names 'arm' twice: variant and day"),
        ("arm=variant,item_id=a+c", "has no column 'c' (mapped to 'item_id')"),
        ("arm=variant,visits=shown", "Unknown column 'visits'"),
        (
            "arm=variant,item_id=a+b,impressions=day,clicks=hits",
            "day must be whole numbers, 0 or more. Got '2026-03-01'",
        ),
    ):
        outcome = rlopt("ab-analyze", tmp_path / "tool.parquet", *flags, columns)
        assert (outcome.code, outcome.err.count("\n")) == (1, 1)
        assert message in outcome.err, outcome.err


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"arm": None}, [], r"has no column 'arm'. Results need arm, item_id, impressions and clicks"),
        ({"arm": ["a", "b"] * 60}, [], r"'control' \(--control\) and one other or several. Got 2: 'a', 'b'"),
        ({"arm": ["control"] * 120}, [], "Got 1: 'control'"),
        ({}, ["--metric", "clicks/"], "--metric takes a column, or one over another"),
        ({}, ["--metric", "dwell"], r"has no column 'dwell' \(--metric, --guardrail\). It has arm,"),
        ({"dwell": ["1.5"] * 119 + ["long"]}, ["--metric", "dwell"], "dwell must be numbers. Got 'long' in row 120"),
        ({"dwell": [0.0] * 120}, ["--metric", "dwell"], "The control has 0 rows with an amount"),
        ({}, ["--guardrail", "clicks"], "--guardrail takes NAME:LIMIT"),
        ({}, ["--guardrail", "clicks:0"], "--guardrail takes NAME:LIMIT"),
        ({}, ["--guardrail", "clicks:-0.1", "--guardrail", "clicks:-0.2"], "guardrail clicks:- is asked for twice"),
        ({}, ["--final", "--look", "0.5"], "--final is a single look at the end"),
        ({}, ["--look", "0.5", "--look", "0.25"], r"Looks must be rising shares .* Got 0.5, 0.25"),
        ({"date": None}, ["--design", "serial"], "A serial test needs the column date"),
        ({}, ["--by", "size"], r"No item of the results has the field 'size' \(--by\). Fields: colour, kind"),
        ({"clicks": [-1] * 120}, [], r"clicks must be whole numbers, 0 or more. Got '-1' in row 1"),
        ({"clicks": ["many"] * 120}, [], "Got 'many' in row 1"),
        ({"clicks": [3000] * 120}, [], "clicks must not exceed impressions. Got 3000 of 2000 in row 1"),
        ({"clicks": [0] * 120}, [], "The control has 0 clicks or conversions"),
        ({"item_id": ["one"] * 120}, [], "at least two items"),
        ({"item_id": [None] * 120}, [], "item_id must not be empty"),
        ({"date": ["soon"] * 120}, [], "date must be a day such as 2026-03-01. Got 'soon' in row 1"),
        ({}, ["--metric", "conversions"], "has no column 'conversions'"),
        ({}, ["--planned-lift", "0"], "planned lift must be above -1 and not 0"),
    ],
)
def test_bad_results_are_one_line(
    rlopt: Rlopt, run: Run, tmp_path: Path, changes: dict[str, Any], options: list[str], message: str
) -> None:
    results = write_results(tmp_path / "results.parquet", **changes)
    outcome = rlopt("ab-analyze", results, "--run", run.path, *options)
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert re.search(message, outcome.err), outcome.err
    assert not run.metrics("calibration").rows()


def test_a_later_analysis_of_the_same_results_takes_the_place_of_a_mistaken_one() -> None:
    def row(n: int, name: str, metric: str, decision: str = "better", **more: str) -> dict[str, Any]:
        return {"results": name, "metric": metric, "n": n, "outcome": {"decision": decision}, **more}

    rows = [row(0, "a", "x"), row(1, "a", "y"), row(2, "b", "x", "invalid"), row(3, "a", "x", policy="ppo")]
    assert [one["n"] for one in last_analyses(rows)] == [3, 1, 2]
    rows += [row(4, "a", "x", "invalid"), row(5, "b", "x", "worse"), row(6, "a", "x", policy="sft")]
    assert [one["n"] for one in last_analyses(rows)] == [3, 1, 5, 6]


def test_a_test_whose_split_is_off_agrees_with_nothing(rlopt: Rlopt, run: Run, tmp_path: Path) -> None:
    results = write_results(tmp_path / "results.parquet")
    outcome = rlopt("ab-analyze", results, "--run", run.path, "--split", "0.2")
    assert "invalid: the split is not the intended one" in outcome.out
    assert "Offline" not in outcome.out
    assert run.metrics("calibration").rows()[0]["agrees"] is None


def test_results_from_tables_and_databases_say_what_files_say(rlopt: Rlopt, run: Run, tmp_path: Path) -> None:
    file = write_results(tmp_path / "results.parquet", days=3, lift=0.2)
    frame = pd.read_parquet(file)
    con = sqlite3.connect(tmp_path / "tests.db")
    frame.to_sql("results", con, index=False)
    con.close()
    wanted = analyze_test(run, file)
    for table in (frame, pl.from_pandas(frame), pa.Table.from_pandas(frame)):
        assert analyze_test(run, table).outcome == wanted.outcome
    asked = ("ab-analyze", f"sqlite:///{tmp_path}/tests.db", "--query", "SELECT * FROM results", "--run", run.path)
    assert rlopt(*asked, "--json").json["outcome"]["lift"] == pytest.approx(wanted.outcome.lift)
    with pytest.raises(LogError, match=r"the pandas\.DataFrame"):
        analyze_test(run, frame.drop(columns="item_id"))
    with pytest.raises(EvaluationError, match=r"the pandas\.DataFrame holds no rows"):
        analyze_test(run, frame.iloc[:0])
