"""ab/report.html and the export: complete in both languages, inert, and what goes out adds up to what came in."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from rlopt.report import language
from rlopt.report.ab_test import render_test
from rlopt.run import Run
from tests.conftest import Outcome
from tests.report.test_html import VOID, Page
from tests.stages.ab.test_gate import table
from tests.stages.menu import make_arms, make_run

Rlopt = Callable[..., Outcome]
HOSTILE = '<script>alert("1")</script>'


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", make_arms(60))


def rich(rng: np.random.Generator) -> dict[str, Any]:
    """Results of three arms with revenue, days, and a hostile name."""
    rows = table(rng, np.linspace(0.4, 0.1, 7)[:, None])
    other = [name for name in rows["arm"] if name == "new"]
    rows["arm"] = [name if n % 2 or name == "control" else HOSTILE for n, name in enumerate(rows["arm"])]
    assert other
    rows["revenue"] = rows["clicks"] * rng.lognormal(0, 1, len(rows["arm"]))
    return rows


@pytest.mark.parametrize(("lang", "told"), [("en", "revenue/clicks"), ("zh", "收入/点击")])
def test_the_report_is_complete_and_inert(lang: str, told: str, rlopt: Rlopt, run: Run, tmp_path: Path) -> None:
    pq.write_table(pa.table(rich(np.random.default_rng(0))), tmp_path / "r.parquet")
    flags = ["--metric", "clicks", "--metric", "revenue", "--guardrail", "revenue/clicks:-0.5", "--by", "colour"]
    found = rlopt("ab-analyze", tmp_path / "r.parquet", "--run", run.path, "--lang", lang, "--json", *flags).json
    assert json.loads((run / "ab" / "report.json").read_text()) == found
    html = (run / "ab" / "report.html").read_text()
    page = Page(html)
    assert not page.open
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert html.count("<script") == 0
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert not re.search(r'(?:src|href)="(?!#)', html)
    words = yaml.safe_load((Path(language.__file__).parent / "lang" / f"ab.{lang}.yaml").read_text())
    text = "".join(page.text)
    for key in ("why", "lift", "variants", "metrics", "worth", "days", "segments", "predicted", "facts", "method"):
        assert words[key] in text, key
    assert words["headlines"]["undecided_guardrail"].format(metrics=told) in text
    assert page.tags.index("section") < page.tags.index("table")  # the decision comes first
    assert "meta" in VOID
    assert f"{found['gains'][0]['a_month']:+,.0f}" in text


def test_both_languages_say_the_same_things() -> None:
    def keys(node: Any, at: str = "") -> set[str]:
        if isinstance(node, dict):
            return {key for name, inner in node.items() for key in keys(inner, f"{at}.{name}")}
        return {at + str(sorted(re.findall(r"{\w+}", str(node))))}

    folder = Path(language.__file__).parent / "lang"
    en, zh = (yaml.safe_load((folder / f"ab.{lang}.yaml").read_text()) for lang in ("en", "zh"))
    assert keys(en) == keys(zh)


def test_every_decision_and_design_has_its_sentences(run: Run, rlopt: Rlopt, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pq.write_table(pa.table(table(rng, 0.0, share=0.45)), tmp_path / "off.parquet")
    found = rlopt("ab-analyze", tmp_path / "off.parquet", "--run", run.path, "--json").json
    for lang in ("en", "zh"):
        for decision in ("better", "worse", "undecided", "invalid"):
            for design in ("visitors", "items", "serial"):
                outcome = {**found["outcome"], "decision": decision, "design": design, "removed_variance": 0.5}
                outcome |= {"unadjusted_lift": 0.1, "unadjusted_low": -0.1, "unadjusted_high": 0.3}
                changed = {**found, "decision": decision, "outcome": outcome}
                assert render_test(changed, {"file": "abc"}, lang)


@pytest.mark.parametrize(("lang", "told"), [("en", "conversions"), ("zh", "转化")])
def test_where_a_guardrail_decides_the_headline_names_it(
    lang: str, told: str, rlopt: Rlopt, run: Run, tmp_path: Path
) -> None:
    rows = table(np.random.default_rng(3), 0.3)
    rows["conversions"] = np.random.default_rng(4).binomial(
        rows["clicks"], np.where(np.array(rows["arm"]) == "new", 0.02 / 1.3, 0.02)
    )
    pq.write_table(pa.table(rows), tmp_path / "r.parquet")
    flags = ("--guardrail", "conversions:-0.01", "--final", "--lang", lang)
    found = rlopt("ab-analyze", tmp_path / "r.parquet", "--run", run.path, "--json", *flags).json
    assert (found["decision"], found["outcome"]["decision"]) == ("undecided", "better")
    words = yaml.safe_load((Path(language.__file__).parent / "lang" / f"ab.{lang}.yaml").read_text())
    headline = words["headlines"]["undecided_guardrail"].format(metrics=told)
    assert headline in "".join(Page((run / "ab" / "report.html").read_text()).text)


def test_the_export_is_long_and_adds_up(rlopt: Rlopt, run: Run, tmp_path: Path) -> None:
    rows = table(np.random.default_rng(2), 0.1)
    pq.write_table(pa.table(rows), tmp_path / "r.parquet")
    rlopt("ab-analyze", tmp_path / "r.parquet", "--run", run.path, "--export", tmp_path / "long.csv")
    long = list(csv.DictReader((tmp_path / "long.csv").open()))
    assert list(long[0]) == ["unit", "variation", "time", "metric", "value"]
    for metric in ("impressions", "clicks"):
        for arm in ("control", "new"):
            total = sum(float(r["value"]) for r in long if r["metric"] == metric and r["variation"] == arm)
            assert total == sum(int(v) for v, a in zip(rows[metric], rows["arm"], strict=True) if a == arm)
    assert {r["time"] for r in long} == set(rows["date"])
    rows["visitor"] = [f"v{i}" for i in range(len(rows["arm"]))]
    pq.write_table(pa.table(rows), tmp_path / "v.parquet")
    rlopt("ab-analyze", tmp_path / "v.parquet", "--run", run.path, "--export", tmp_path / "long.csv")
    assert next(csv.DictReader((tmp_path / "long.csv").open()))["unit"].startswith("v")


def test_bad_results_leave_no_report(rlopt: Rlopt, run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("arm,item_id,impressions,clicks\ncontrol,i0000,10,20\n")
    assert rlopt("ab-analyze", tmp_path / "bad.csv", "--run", run.path).code == 1
    assert not (run / "ab").exists()
    assert not (run / "metrics" / "calibration.jsonl").exists()
