"""Assignment of titles: always the same for a unit, as often as the probabilities say."""

import math
from collections import Counter
from datetime import date
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from rlopt.assignment_hash import title_of, uniform
from rlopt.config import AbPlanConfig, ServeConfig
from rlopt.errors import RloptError
from rlopt.run import Run
from rlopt.serving.assignments import PlanAssigner, Row, TableAssigner, UnitNeededError
from rlopt.stages.ab.assignment import Assignment, assign, bucket_of
from rlopt.stages.serve.tables import PlannedArms, read_assigner

PROBABILITIES = {"a": {"x": 0.5, "y": 0.3, "z": 0.2}, "b": {"x": 0.01, "y": 0.99}, "c": {"only": 1.0}}
ROWS = [Row(item, title, p) for item, titles in PROBABILITIES.items() for title, p in titles.items()]


def test_frequencies_are_the_probabilities() -> None:
    table = TableAssigner(ROWS, 0, "v")
    n = 20_000
    for item, expected in PROBABILITIES.items():
        drawn = [table.draw(item, f"visitor-{i}") for i in range(n)]
        counts = Counter(one.title for one in drawn if one is not None)
        assert all(one is not None and one.probability == expected[one.title] for one in drawn)
        if len(expected) > 1:
            observed = [counts[title] for title in expected]
            assert stats.chisquare(observed, n * np.array(list(expected.values()))).pvalue > 0.001


def test_draws_are_uniform_and_apart_between_items_seeds_and_units() -> None:
    n = 5_000
    draws = {
        (seed, item): np.array([uniform(seed, item, str(i)) for i in range(n)])
        for seed, item in product((0, 1), ("a", "b"))
    }
    for numbers in draws.values():
        assert stats.kstest(numbers, "uniform").pvalue > 0.001
        assert numbers.min() >= 0
        assert numbers.max() < 1
    correlations = np.corrcoef(list(draws.values()))[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 4 / math.sqrt(n)
    assert uniform(1, "2", "3") != uniform(12, "", "3")


def test_a_unit_keeps_its_title_whatever_the_order_of_the_table() -> None:
    one, other = TableAssigner(ROWS, 7, "v"), TableAssigner(ROWS[::-1], 7, "v")
    assert [one.draw("a", str(i)) for i in range(500)] == [other.draw("a", str(i)) for i in range(500)]


def test_a_single_title_needs_no_unit_and_others_do() -> None:
    table = TableAssigner(ROWS, 0, "v")
    found = table.draw("c", None)
    assert found is not None
    assert (found.title, found.probability) == ("only", 1.0)
    assert table.draw("nothing", "u") is None
    with pytest.raises(UnitNeededError):
        table.draw("a", None)
    assert not TableAssigner([Row("c", "only")], 0, "v").random


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([Row("a", "x"), Row("a", "y")], "2 titles and no probability"),
        ([Row("a", "x", 0.5), Row("a", "y")], "no probability of each"),
        ([Row("a", "x", 0.5), Row("a", "y", 0.4)], "add up to 0.9"),
        ([Row("a", "x", 1.0), Row("a", "x", 0.0)], "twice"),
        ([Row("a", "x", 0.4)], "add up to 0.4"),
    ],
)
def test_tables_that_say_no_probability_are_refused(rows: list[Row], complaint: str) -> None:
    with pytest.raises(RloptError, match=complaint):
        TableAssigner(rows, 0, "v")


def plan_of(run: Path, folder: Path, **settings: object) -> Path:
    """A plan that runs from the third of March."""
    config = AbPlanConfig(**{"weeks": 2, "start": "2026-03-03", **settings})
    path = folder / "plan.csv"
    assign(Run.open(run).arms(), config, 0.05).write(path)
    return path


def test_visitors_of_a_plan_get_the_arm_of_their_bucket(fitted_run: Path, tmp_path: Path) -> None:
    plan = Assignment.read(plan_of(fitted_run, tmp_path, design="visitors", split=0.2, seed=3))
    planned = PlannedArms(plan)
    arm = dict(zip(plan.unit, plan.arm, strict=True))
    day = date(2026, 3, 10)
    for i in range(200):
        assert planned.arm_of("any", f"v{i}", day)[0] == arm[bucket_of(f"v{i}", 3)]
    n = 20_000
    drawn = [planned.arm_of("any", f"v{i}", day) for i in range(n)]
    counts = Counter(drawn)
    assert dict(counts.keys()) == pytest.approx({plan.control: 0.8, plan.arms[1]: 0.2})
    assert stats.binomtest(sum(a == plan.arms[1] for a, _ in drawn), n, 0.2).pvalue > 0.001
    for outside in (date(2026, 3, 2), date(2026, 3, 17)):
        assert planned.arm_of("any", "v1", outside) == (plan.control, 1.0)
    with pytest.raises(UnitNeededError):
        planned.arm_of("any", None, day)


@pytest.mark.parametrize("design", ["items", "serial"])
def test_items_of_a_plan_need_no_unit(fitted_run: Path, tmp_path: Path, design: str) -> None:
    plan = Assignment.read(plan_of(fitted_run, tmp_path, design=design))
    planned = PlannedArms(plan)
    for unit, arm, first, last in zip(plan.unit, plan.arm, plan.first, plan.last, strict=True):
        for day in (first, last):
            assert planned.arm_of(unit, None, date.fromisoformat(day))[0] == arm
    assert planned.arm_of("stranger", None, date(2026, 3, 5)) == (plan.control, 1.0)


def test_control_titles_are_those_in_use_and_an_item_without_both_is_not_tested(
    fitted_run: Path, tmp_path: Path
) -> None:
    items = Run.open(fitted_run).arms().items
    plan = plan_of(fitted_run, tmp_path, design="visitors", seed=1)
    table = tmp_path / "titles.csv"
    table.write_text(f"item_id,title\n{items[0].item_id},A new one\nstranger,Another\n", encoding="utf-8")
    found = read_assigner(Run.open(fitted_run), ServeConfig(titles=str(table), plan=str(plan)))
    assert isinstance(found, PlanAssigner)
    drawn = found.draw(items[0].item_id, "anyone")  # outside of the plan's days, unless it is March 2026
    assert drawn is not None
    assert drawn.title in {"A new one", items[0].current_title}
    assert found.draw("stranger", "anyone") is None
    assert found.draw(items[1].item_id, "anyone") is None


@pytest.mark.parametrize(
    ("table", "with_plan", "complaint"),
    [
        ("item_id,title,arm\na,x,policy\n", False, "add --plan"),
        ("item_id,title,probability\na,x,1\n", True, "a column probability"),
        ("item_id,title,arm\na,x,nobody\n", True, "arm 'nobody'"),
        ("item_id,title,probability\na,x,much\n", False, "row 1: probability must be"),
        ("item_id,title,probability\na,x,1.2\n", False, "row 1: probability must be"),
    ],
)
def test_tables_and_plans_that_do_not_fit_are_refused(
    fitted_run: Path, tmp_path: Path, table: str, with_plan: bool, complaint: str
) -> None:
    path = tmp_path / "titles.csv"
    path.write_text(table, encoding="utf-8")
    plan = str(plan_of(fitted_run, tmp_path)) if with_plan else None
    with pytest.raises(RloptError, match=complaint):
        read_assigner(Run.open(fitted_run), ServeConfig(titles=str(path), plan=plan))


def test_a_plan_without_dates_is_refused(fitted_run: Path, tmp_path: Path) -> None:
    plan = Assignment.read(plan_of(fitted_run, tmp_path, start=None))
    with pytest.raises(RloptError, match="--start"):
        PlannedArms(plan)


def test_an_explore_plan_is_served_by_its_own_seed(fitted_run: Path, tmp_path: Path) -> None:
    chances = {"a": {"新 x": 0.5, "y": 0.3, "Z": 0.2}, "b": {"x": 0.01, "y": 0.99}}
    rows = [(item, title, p, 41) for item, titles in chances.items() for title, p in titles.items()]
    path = tmp_path / "plan.parquet"
    names = ("item_id", "title", "probability", "seed")
    pq.write_table(pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))), path)
    run = Run.open(fitted_run)
    told = ServeConfig(titles=str(path)).model_dump(mode="json", exclude_unset=True)  # as workers are told it
    for config in (ServeConfig(titles=str(path)), ServeConfig(titles=str(path), seed=41), ServeConfig(**told)):
        found = read_assigner(run, config)
        assert found is not None
        for item, unit in product(chances, map(str, range(300))):
            titles = chances[item]
            drawn = found.draw(item, unit)
            assert drawn is not None
            assert drawn.title == title_of(list(titles), list(titles.values()), uniform(41, item, unit))
            assert drawn.probability == titles[drawn.title]
    with pytest.raises(RloptError, match=r"drawn with seed 41, and --seed says 0\. Leave"):
        read_assigner(run, ServeConfig(titles=str(path), seed=0))
    for wrong in ("1,2", "x,x"):
        one, two = wrong.split(",")
        table = f"item_id,title,probability,seed\na,x,0.5,{one}\na,y,0.5,{two}\n"
        (tmp_path / "two.csv").write_text(table, encoding="utf-8")
        with pytest.raises(RloptError, match="seed must hold one whole number"):
            read_assigner(run, ServeConfig(titles=str(tmp_path / "two.csv")))
