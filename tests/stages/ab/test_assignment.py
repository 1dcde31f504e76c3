"""The plan's assignment: shares, strata, a round trip through the file, and results that do not fit it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlopt.config import AbPlanConfig
from rlopt.errors import EvaluationError
from rlopt.run import Run
from rlopt.stages.ab.assignment import BUCKETS, Assignment, assign, bucket_of, stratified, surplus_clicks
from rlopt.stages.ab.metrics import Metric
from rlopt.stages.ab.plan_check import check_plan
from rlopt.stages.ab.results import read_results
from tests.conftest import Outcome
from tests.stages.menu import make_arms, make_run

Rlopt = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", make_arms(60))


def config(**settings: Any) -> AbPlanConfig:
    return AbPlanConfig(**settings)


@pytest.mark.parametrize("design", ["visitors", "items", "serial"])
def test_the_file_round_trips_and_the_seed_decides(design: str, tmp_path: Path) -> None:
    arms = make_arms(60)
    made = assign(arms, config(design=design, split=0.2, seed=7, start="2026-03-02"), 0.05)
    made.write(tmp_path / "plan.csv")
    assert Assignment.read(tmp_path / "plan.csv") == made
    assert assign(arms, config(design=design, split=0.2, seed=7, start="2026-03-02"), 0.05) == made
    assert assign(arms, config(design=design, split=0.2, seed=8, start="2026-03-02"), 0.05).arm != made.arm
    rows = list(csv.DictReader((tmp_path / "plan.csv").open()))
    assert {row["plan"] for row in rows} == {made.fingerprint}
    assert {row["seed"] for row in rows} == {"7"}
    assert (rows[0]["time_from"], rows[-1]["time_to"]) == ("2026-03-02", "2026-03-29")
    share = sum(arm == "treatment" for arm in made.arm) / len(made.arm)
    assert share == pytest.approx(0.2, abs=0.06)


def test_several_arms_share_alike() -> None:
    made = assign(make_arms(60), config(arm=("old", "a", "b"), split=0.5), None)
    counts = {name: made.arm.count(name) for name in ("old", "a", "b")}
    assert counts == {"old": BUCKETS // 2, "a": BUCKETS // 4, "b": BUCKETS // 4}
    assert made.arms == ("old", "a", "b")


def test_items_are_stratified_on_what_predicts_their_clicks() -> None:
    rng = np.random.default_rng(0)
    predicts = rng.lognormal(0, 2, 400)
    gaps = {"strata": [], "none": []}
    for _ in range(200):
        arm, _ = stratified(predicts, (0.5, 0.5), rng)
        assert abs(arm.sum() - 200) <= 1
        gaps["strata"].append(predicts @ (2 * arm - 1))
        gaps["none"].append(predicts @ (2 * (rng.permutation(400) < 200) - 1))
    assert np.std(gaps["strata"]) < 0.7 * np.std(gaps["none"])
    assert np.mean(gaps["strata"]) == pytest.approx(0, abs=4 * np.std(gaps["strata"]) / np.sqrt(200))
    five, block = stratified(np.arange(100.0), (0.8, 0.2), rng)
    assert (five.reshape(20, 5).sum(axis=1) == 1).all()  # one of five neighbours each
    assert (block == np.repeat(np.arange(20), 5)).all()


def test_surplus_is_that_over_the_average_item() -> None:
    arms = make_arms(30)
    assert surplus_clicks(arms).sum() == pytest.approx(0, abs=1e-6)


def test_every_item_of_a_serial_test_has_both_arms_one_after_the_other() -> None:
    made = assign(make_arms(20), config(design="serial", weeks=4, period=7), None)
    by_item: dict[str, list[str]] = {}
    for unit, arm in zip(made.unit, made.arm, strict=True):
        by_item.setdefault(unit, []).append(arm)
    assert all(sorted(arms) == ["control"] * 2 + ["treatment"] * 2 for arms in by_item.values())
    assert sorted(set(zip(made.first, made.last, strict=True)), key=lambda s: int(s[0])) == [
        ("1", "7"), ("8", "14"), ("15", "21"), ("22", "28")
    ]  # fmt: skip
    with pytest.raises(EvaluationError, match="1 period of 7 days in 1 week cannot be shared between 2 arms"):
        assign(make_arms(20), config(design="serial", weeks=1, period=7), None)


def test_buckets_are_of_equal_size() -> None:
    buckets = [int(bucket_of(f"visitor {i}", 3)) for i in range(20_000)]
    counts = np.bincount(buckets, minlength=BUCKETS)
    assert ((counts - 20) ** 2 / 20).sum() == pytest.approx(BUCKETS, rel=0.2)  # chi-squared


def results_of(plan: Assignment, path: Path, *, days: int = 3, **wrong: str) -> Path:
    """Results as planned, by item or bucket and day; ``wrong`` gives a unit another arm."""
    rng = np.random.default_rng(0)
    lines = ["arm,item_id,date,impressions,clicks,visitor"]
    for n, (unit, arm, first) in enumerate(zip(plan.unit, plan.arm, plan.first, strict=True)):
        for day in range(days):
            number = (int(first) if first.isdigit() else int(first[-2:]) - 1) + day
            item = unit if plan.design != "visitors" else f"i{n % 60:04d}"
            date = f"2026-03-{number + 1:02d}"
            lines.append(f"{wrong.get(unit, arm)},{item},{date},400,{rng.binomial(400, 0.1)},{unit}")
    if plan.design != "visitors":
        lines = [line.rpartition(",")[0] for line in lines]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("design", ["visitors", "items", "serial"])
def test_results_are_checked_against_the_plan(design: str, rlopt: Rlopt, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "plan.csv"
    flags = ["--design", design, "--lift", "0.1", "--traffic", "9000", "--assign", file, "--arm", "old", "--arm", "new"]
    said = rlopt("ab-plan", "--run", run.path, *flags, "--json").json
    plan = Assignment.read(file)
    assert (said["fingerprint"], said["assignment"]) == (plan.fingerprint, str(file))
    good = results_of(plan, tmp_path / "good.csv")
    found = rlopt("ab-analyze", good, "--run", run.path, "--plan", file, "--json").json
    assert found["outcome"]["design"] == design
    assert found["planned_lift"] == 0.1
    assert found["decision"] == "undecided"
    before = len(run.metrics("calibration").rows())
    unit = plan.unit[4]
    bad = results_of(plan, tmp_path / "bad.csv", **{unit: "new" if plan.arm[4] == "old" else "old"})
    outcome = rlopt("ab-analyze", bad, "--run", run.path, "--plan", file)
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert "do not fit the plan" in outcome.err
    assert f"{unit!r}" in outcome.err
    assert len(run.metrics("calibration").rows()) == before


def test_the_results_of_an_item_split_know_its_blocks(tmp_path: Path) -> None:
    """Every block of a 50/50 split is a pair with an item in either arm; serial plans have none."""
    plan = assign(make_arms(60), config(design="items"), 0.05)
    file = results_of(plan, tmp_path / "results.csv", days=2)
    found = check_plan(plan, read_results(file), file, "plan.csv")
    assert found.block is not None
    for number in range(30):
        rows = found.block == number
        assert len(set(found.item[rows])) == 2
        assert set(found.arm[rows]) == {0, 1}
    assert found.counts(Metric("clicks")).block is not None
    assert found.without(found.item == 0).block is not None
    serial = assign(make_arms(60), config(design="serial"), 0.05)
    assert set(serial.block) == {""}
    file = results_of(serial, tmp_path / "serial.csv", days=2)
    assert check_plan(serial, read_results(file), file, "plan.csv").block is None


def test_a_plan_that_was_changed_is_refused(rlopt: Rlopt, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "plan.csv"
    rlopt("ab-plan", "--run", run.path, "--design", "items", "--lift", "0.1", "--assign", file)
    results = results_of(Assignment.read(file), tmp_path / "results.csv")
    text = file.read_text()
    for content, message in (
        (text.replace(",treatment,", ",control,", 1), "was changed since ab-plan wrote it"),
        (text.replace("unit,", "thing,", 1), "is no plan: it needs unit, variation"),
        ("", "is no plan"),
    ):
        file.write_text(content)
        outcome = rlopt("ab-analyze", results, "--run", run.path, "--plan", file)
        assert (outcome.code, outcome.err.count("\n")) == (1, 1)
        assert message in outcome.err
    missing = rlopt("ab-analyze", results, "--run", run.path, "--plan", tmp_path / "none.csv")
    assert "cannot be read" in missing.err
    assert rlopt("ab-plan", "--run", run.path, "--lift", "0.1", "--start", "2026-02-31", "--assign", file).code == 1
    other = tmp_path / "other.json"
    other.write_text(json.dumps({}))
    assert "is no plan" in rlopt("ab-analyze", results, "--run", run.path, "--plan", other).err


def test_designs_are_sized_by_their_own_noise(rlopt: Rlopt, run: Run) -> None:
    def plan(*flags: str) -> Any:
        return rlopt("ab-plan", "--run", run.path, "--lift", "0.1", "--traffic", "5000", "--json", *flags).json

    visitors, items, serial = (plan("--design", name) for name in ("visitors", "items", "serial"))
    sizes = [found["lifts"][0]["impressions_control"] for found in (visitors, items, serial)]
    assert sizes[0] < sizes[2]
    assert sizes[1] is None or sizes[1] >= sizes[0]  # these items all have the same rate
    assert serial["overdispersion"] > visitors["overdispersion"]
    assert items["item_spread_adjusted"] <= items["item_spread"]
    kinds = [visitors[name][0]["impressions_control"] for name in ("lifts", "group_sequential", "always_valid")]
    assert kinds == sorted(kinds)
    assert kinds[1] < 1.1 * kinds[0]
    found = visitors["smallest_lifts"]["one"]
    assert found["1"] > found["2"] > found["4"] > found["8"]
    weeks = visitors["lifts"][0]["weeks"]
    days = visitors["lifts"][0]["days"]["100%"]
    assert weeks == int(np.ceil(days / 7))
    three = plan("--arm", "old", "--arm", "a", "--arm", "b")["lifts"][0]
    assert three["impressions_control"] > kinds[0]
    assert "--traffic" in rlopt("ab-plan", "--run", run.path, "--lift", "0.1", "--design", "serial").err
    long = rlopt("ab-plan", "--run", run.path, "--lift", "0.1", "--design", "serial", "--traffic", "9", "--period", "1")
    assert "leave nothing after" in long.err


def test_pre_data_saves_what_it_explains() -> None:
    from rlopt.stages.common.ab_sizing import item_spreads

    arms = make_arms(200, impressions=20_000)
    rng = np.random.default_rng(0)
    appeal = rng.lognormal(0, 0.5, len(arms.items))
    clicks = rng.poisson(arms.impressions * 0.02 * appeal[arms.item_index]).astype(float)
    from dataclasses import replace

    arms = replace(arms, clicks=clicks, exposure=arms.impressions)
    base = float(clicks.sum() / arms.impressions.sum())
    spread, left, none = item_spreads(arms, config(), base, 1.0)
    by_item = np.bincount(arms.item_index, arms.impressions)
    true = np.sqrt(np.average((appeal - np.average(appeal, weights=by_item)) ** 2)) / np.average(appeal)
    assert spread == pytest.approx(true, rel=0.1)
    assert left < 0.3 * spread
    assert none is None
    more, *_ = item_spreads(arms, config(), base, 1.5)
    assert more <= spread
