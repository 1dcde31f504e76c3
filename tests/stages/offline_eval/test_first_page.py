"""First page of the report: its additions follow from the run, the lift and ab-plan."""

from pathlib import Path

import pytest

from reward.model.judge import Judge
from reward.model.reward_model import RewardModel
from rlopt.config import AbPlanConfig, EvalConfig
from rlopt.policy.title_policy import TitlePolicy
from rlopt.run import Run
from rlopt.stages.ab.plan import plan_test
from rlopt.stages.offline_eval.lifts import dividing_fields
from rlopt.stages.offline_eval.stage import EvaluationResult, evaluate
from tests.stages.menu import MenuJudge, MenuPolicy, MenuReward, make_arms, make_run

SFT = {"plain": 0.5, "long": 0.3, "new": 0.15, "magic": 0.05}
PPO = {"plain": 0.1, "long": 0.1, "new": 0.3, "magic": 0.5}
CONFIG = EvalConfig(samples=4, draws=200, best_of=0, max_text_kl=50.0)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    policies = {"ppo": MenuPolicy(PPO), "sft": MenuPolicy(SFT)}
    monkeypatch.setattr(TitlePolicy, "load", lambda folder, *_: policies[Path(folder).name])
    monkeypatch.setattr(Judge, "load", lambda folder, **_: MenuJudge())
    monkeypatch.setattr(RewardModel, "load", lambda folder, **_: MenuReward())
    return make_run(tmp_path / "run", make_arms(360))


@pytest.fixture
def result(run: Run) -> EvaluationResult:
    return evaluate(run, CONFIG)


def test_the_first_page_stands_on_the_run(result: EvaluationResult, run: Run) -> None:
    report = result.report
    test = run.arms().of_items(run.splits().test)
    clicks = next(o for o in report.outcomes if o.name == "clicks")
    assert clicks.rate == pytest.approx(test.clicks.sum() / test.impressions.sum())
    assert clicks.lift == report.lifts["logged"].value
    assert report.origin.run == "run"
    planned = plan_test(run, AbPlanConfig()).lifts  # by rlopt ab-plan, from report.json
    assert [size.lift for size in report.ab_sizes] == pytest.approx([p.lift for p in planned])
    assert [size.impressions for size in report.ab_sizes] == [p.impressions_control for p in planned]
    assert dividing_fields(run.arms()) == ("colour",)  # what segments are by default
    assert dividing_fields(test) == ()  # all of one colour
    assert report.segments == ()


def test_the_chance_and_the_loss_are_those_of_the_lift(result: EvaluationResult) -> None:
    lift = result.report.lifts["logged"]
    assert lift.low > 0
    assert lift.probability_positive == 1.0
    assert lift.expected_loss == 0.0


def test_the_verdict_is_told_in_the_reports_language(run: Run) -> None:
    told = evaluate(run, CONFIG.model_copy(update={"lang": "zh", "by": ("colour",)})).to_text()
    assert told.startswith("建议上线：请先做 A/B 测试。")
    assert "相对历史标题的提升" in told
    assert "colour: 红色（120 个商品）" in told
    assert "报告：" in told
