"""offline-eval in a shop where everything is known: figures against closed forms, files, refusals, interruption."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest

from reward.arms import Arms
from reward.logs.splits import Splits
from reward.model.judge import Judge
from reward.model.reward_model import RewardModel
from rlopt.config import EvalConfig
from rlopt.errors import EvaluationError, StageOrderError
from rlopt.policy.title_policy import TitlePolicy
from rlopt.report.html import schema
from rlopt.run import Run
from rlopt.stages.common.held_out import check_splits
from rlopt.stages.offline_eval.stage import EvaluationResult, evaluate
from tests.stages.menu import EFFECT, LOGGED, PROPENSITY, MenuJudge, MenuPolicy, MenuReward, make_arms, make_run, truth

SFT = {"plain": 0.5, "long": 0.3, "new": 0.15, "magic": 0.05}
PPO = {"plain": 0.1, "long": 0.1, "new": 0.3, "magic": 0.5}
# half of what PPO writes here was never logged in any form: told apart at once, and judged rightly all the same
CONFIG = EvalConfig(samples=4, draws=200, best_of=4, min_overlap=0.05, max_text_kl=50.0)


def value(policy: dict[str, float]) -> float:
    return sum(p * float(np.exp(EFFECT[style])) for style, p in policy.items())


LOGGED_VALUE = value(dict(zip(LOGGED, PROPENSITY, strict=True)))


def use(
    monkeypatch: pytest.MonkeyPatch,
    *,
    ppo: dict[str, float] | None = None,
    judge: MenuJudge | None = None,
) -> dict[str, MenuPolicy]:
    """Let the stage load these instead of trained models."""
    policies = {"ppo": MenuPolicy(ppo or PPO), "sft": MenuPolicy(SFT)}
    monkeypatch.setattr(TitlePolicy, "load", lambda folder, *_: policies[Path(folder).name])
    monkeypatch.setattr(Judge, "load", lambda folder, **_: judge or MenuJudge())
    monkeypatch.setattr(RewardModel, "load", lambda folder, **_: MenuReward())
    return policies


@pytest.fixture(scope="module")
def arms() -> Arms:
    return make_arms(360)


@pytest.fixture
def run(tmp_path: Path, arms: Arms) -> Run:
    return make_run(tmp_path / "run", arms)


@pytest.fixture
def result(run: Run, monkeypatch: pytest.MonkeyPatch) -> EvaluationResult:
    use(monkeypatch)
    return evaluate(run, CONFIG, truth=truth)


def test_lifts_find_the_truth(result: EvaluationResult) -> None:
    over_sft, over_logged = result.report.lifts["sft"], result.report.lifts["logged"]
    assert over_sft.low < value(PPO) / value(SFT) - 1 < over_sft.high
    assert over_logged.low < value(PPO) / LOGGED_VALUE - 1 < over_logged.high
    true = result.report.true_lifts
    assert true is not None
    assert true["sft"] == pytest.approx(
        value(PPO) / value(SFT) - 1, abs=0.05
    )  # of the titles drawn, not in expectation
    assert true["logged"] == pytest.approx(value(PPO) / LOGGED_VALUE - 1, abs=0.05)
    assert result.report.verdict.decision == "launch"


def test_kl_overlap_and_exact_estimates_have_their_closed_forms(result: EvaluationResult) -> None:
    report = result.report
    assert report.kl.value == pytest.approx(sum(p * np.log(p / SFT[s]) for s, p in PPO.items()))
    assert report.overlap.usable
    assert report.overlap.mass == pytest.approx(0.5)  # all but "magic", which was never logged
    estimates = {e.estimator: e for e in report.estimates}
    # IPS sees the logged half of the policy only; DR fills the rest in from the judge
    seen = sum(p * np.exp(EFFECT[s]) for s, p in PPO.items() if s in LOGGED) * 0.05
    assert estimates["ips"].low < seen < estimates["ips"].high
    assert estimates["dr"].low < value(PPO) * 0.05 < estimates["dr"].high
    assert abs(report.model_against_weights or 0.0) < 3


def test_cross_checks_side_with_the_judge_or_against_it(
    result: EvaluationResult, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = {check.kind: check for check in result.report.cross_checks}
    assert set(checks) == {"dm", "kernel_dr", "balanced_dr", "cells_dr", "mips"}
    for kind in ("kernel_dr", "cells_dr"):  # the judge is right: so are its corrected predictions
        assert checks[kind].low < value(PPO) / LOGGED_VALUE - 1 < checks[kind].high
        assert abs(checks[kind].z or 0.0) < 3
    assert {e.estimator for e in result.report.estimates} >= {"mips", "dr"}
    use(monkeypatch, judge=MenuJudge(sign=-1.0))
    wrong = {check.kind: check for check in evaluate(run, CONFIG).report.cross_checks}
    assert wrong["dm"].lift < 0
    assert (wrong["kernel_dr"].z or 0.0) > 3
    assert (wrong["balanced_dr"].z or 0.0) > 3


def test_result_has_what_programs_ask_for(result: EvaluationResult) -> None:
    data = result.to_dict()
    json.dumps(data)
    assert data["verdict"] == "launch"
    assert data["low"] < data["estimated_lift"] < data["high"]
    assert data["faithfulness"] == 1.0
    assert data["promises"] == dict.fromkeys(data["promises"], 0.0)
    assert {"ppo", "sft", "logged"} <= set(data["promises"])
    assert {"true_lift", "true_lift_over_logged", "kl", "reasons", "over_logged"} <= set(data)
    assert "Launch" in result.to_text()
    assert str(result.folder / "report.html") in result.to_text()


def test_files(result: EvaluationResult, run: Run, arms: Arms) -> None:
    assert {p.name for p in result.folder.iterdir()} == {"report.html", "report.json", "titles.parquet"}
    report = json.loads((result.folder / "report.json").read_text(encoding="utf-8"))
    jsonschema.validate(report, schema())
    assert set(report["fingerprints"]) == {"logs", "fit-reward", "sft", "ppo"}
    assert "Launch" in (result.folder / "report.html").read_text(encoding="utf-8")
    titles = pq.read_table(result.folder / "titles.parquet").to_pydict()
    n_test = len(run.splits().test)
    counts = {policy: titles["policy"].count(policy) for policy in set(titles["policy"])}
    assert counts == {"ppo": 4 * n_test, "sft": 4 * n_test, "best_of": n_test, "logged": 3 * n_test}
    assert set(titles["item_id"]) == set(run.splits().test)  # and no other item
    by_reward = [t for t, p in zip(titles["title"], titles["policy"], strict=True) if p == "best_of"]
    assert np.mean([truth([], [t])[0] for t in by_reward]) > 0.05 * value(SFT)
    assert run.record("offline-eval")["notes"]["verdict"] == "launch"


def test_same_seed_same_report(tmp_path: Path, arms: Arms, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)
    reports = []
    for name in ("a", "b"):
        folder = evaluate(make_run(tmp_path / name, arms), CONFIG).folder
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        report.pop("seconds")
        assert report.pop("origin")["run"] == name
        reports.append(report)
    assert reports[0] == reports[1]


def test_a_policy_without_overlap_gets_no_exact_estimates(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ppo={"plain": 0.0, "long": 0.0, "new": 0.0, "magic": 1.0})
    report = evaluate(run, CONFIG).report
    assert report.estimates == ()
    assert report.model_against_weights is None
    assert report.overlap.message.startswith("too little overlap")
    assert "Too little overlap" in (run / "eval" / "report.html").read_text(encoding="utf-8")


def test_a_wrong_judge_is_found_out_by_the_logs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    worse = {"plain": 0.9, "long": 0.1, "new": 0.0, "magic": 0.0}  # the wrong judge would love it
    use(monkeypatch, ppo=worse, judge=MenuJudge(sign=-1.0))
    verdict = evaluate(run, CONFIG).report.verdict
    assert verdict.decision == "insufficient-evidence"
    assert verdict.reasons[0].topic in ("hidden_arms", "model_against_weights")


@pytest.mark.parametrize(
    ("change", "decision"),
    [
        ({"ppo": SFT}, "hold"),  # no better than the baseline
        ({"judge": MenuJudge(supported=0.2)}, "insufficient-evidence"),
    ],
)
def test_verdicts(run: Run, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], decision: str) -> None:
    use(monkeypatch, **change)
    assert evaluate(run, CONFIG).report.verdict.decision == decision


def test_fewer_items_on_request(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)
    report = evaluate(run, CONFIG.model_copy(update={"max_items": 40, "best_of": 0})).report
    assert report.n_items == 40
    assert report.n_test_items == 120
    assert [p.policy for p in report.policies] == ["ppo", "sft"]


def test_an_interrupted_evaluation_goes_on(
    run: Run, arms: Arms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = use(monkeypatch)
    whole = policies["sft"].generate
    calls = 0

    def dies(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return whole(*args, **kwargs)

    monkeypatch.setattr(policies["sft"], "generate", dies)
    with pytest.raises(KeyboardInterrupt):
        evaluate(run, CONFIG)
    assert not (run / "eval").exists()
    assert list((run / "checkpoints" / "offline-eval").rglob("*.jsonl"))
    written = len(policies["ppo"].calls), len(policies["sft"].calls)
    evaluate(run, CONFIG)
    assert len(policies["ppo"].calls) == written[0]  # nothing is written twice
    assert len(policies["sft"].calls) == 2
    assert not (run / "checkpoints" / "offline-eval").exists()
    uninterrupted = evaluate(make_run(tmp_path / "other", arms), CONFIG).folder
    assert pq.read_table(run / "eval" / "titles.parquet").equals(pq.read_table(uninterrupted / "titles.parquet"))


def sides(*shares: tuple[slice, slice, slice]) -> Any:
    def split(arms: Arms) -> Splits:
        ids = [item.item_id for item in arms.items]
        return Splits(*(tuple(ids[part]) for part in shares[0]))

    return split


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((slice(0, 300), slice(300, 360), slice(0, 0)), r"no test items \(fit-reward --test-share 0\)"),
        ((slice(0, 300), slice(0, 0), slice(300, 360)), r"no judge items \(fit-reward --judge-share 0\)"),
    ],
)
def test_runs_without_a_side_are_refused(
    tmp_path: Path, arms: Arms, monkeypatch: pytest.MonkeyPatch, parts: tuple[slice, slice, slice], message: str
) -> None:
    use(monkeypatch)
    run = make_run(tmp_path / "run", arms, sides(parts))
    with pytest.raises(EvaluationError, match=message):
        evaluate(run, CONFIG)
    assert not (run / "eval").exists()


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (Splits(("a", "b"), ("c",), ("d", "b")), "The train and the test side share 1 item .first: 'b'"),
        (Splits(("a", "b"), ("b",), ("d",)), "The train and the judge side share 1 item"),
        (Splits(("a",), ("b",), ("b",)), "The judge and the test side share 1 item"),
    ],
)
def test_shared_items_are_refused(splits: Splits, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        check_splits(splits)


def test_refusals_keep_the_last_report(run: Run, arms: Arms, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)
    evaluate(run, CONFIG)
    before = (run / "eval" / "report.json").read_bytes()
    monkeypatch.setattr(Run, "arms", lambda self: make_silent(arms))
    with pytest.raises(EvaluationError, match="120 test items have no click"):
        evaluate(run, CONFIG.model_copy(update={"samples": 2}))
    assert (run / "eval" / "report.json").read_bytes() == before


def make_silent(arms: Arms) -> Arms:
    return replace(arms, clicks=np.zeros(len(arms)))


def test_one_test_item_is_refused(tmp_path: Path, arms: Arms, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)
    run = make_run(tmp_path / "run", arms, sides((slice(0, 200), slice(200, 359), slice(359, 360))))
    with pytest.raises(EvaluationError, match="at least two test items"):
        evaluate(run, CONFIG)


def test_before_ppo_the_command_to_run_is_named(tmp_path: Path) -> None:
    run = Run.open(tmp_path / "run", create=True)
    with run.stage("fit-reward", {"seed": 0}):
        pass
    with pytest.raises(StageOrderError, match="rlopt sft"):
        evaluate(run, CONFIG)


def test_titles_unlike_any_logged_are_insufficient_evidence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)
    report = evaluate(run, CONFIG.model_copy(update={"max_text_kl": 2.0})).report
    assert report.text_shift is not None
    assert report.text_shift.kl > 2.0
    assert report.verdict.decision == "insufficient-evidence"
    assert report.verdict.reasons[0].topic == "text_shift"


def test_segments_are_told_everywhere(tmp_path: Path, arms: Arms, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)
    run = make_run(tmp_path / "run", arms, sides((slice(0, 120), slice(120, 240), slice(240, 360))))
    result = evaluate(run, CONFIG.model_copy(update={"by": ("colour",), "best_of": 0}))
    assert {(s.column, s.value) for s in result.report.segments} == {("colour", c) for c in ("red", "blue", "红色")}
    for segment in result.report.segments:
        assert segment.low < value(PPO) / LOGGED_VALUE - 1 < segment.high
    assert [s["value"] for s in result.to_dict()["segments"]] == [s.value for s in result.report.segments]
    assert "colour: 红色 (40 items)" in result.to_text()
    with pytest.raises(EvaluationError, match=r"no item field 'color' to segment by .--by.. Did you mean 'colour'"):
        evaluate(run, CONFIG.model_copy(update={"by": ("color",)}))


def test_a_policy_trained_on_judged_items_is_refused(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)
    splits = run.splits()
    file = tmp_path / "trained.csv"
    for ids, side in (([splits.train[0], splits.test[3]], "test"), ([splits.judge[0]], "judge")):
        file.write_text("item_id\n" + "\n".join(ids) + "\n")
        with pytest.raises(EvaluationError, match=f"trained.csv shares 1 item with the {side} items of this run"):
            evaluate(run, CONFIG, trained_on=file)
    file.write_text("item_id\n" + "\n".join(splits.train) + "\n")
    evaluate(run, CONFIG.model_copy(update={"best_of": 0}), trained_on=file)
    assert "trained-on" in run.record("offline-eval")["inputs"]


def test_a_policy_that_never_writes_a_logged_title_is_said_to_be_judged_by_the_model_alone(
    run: Run, rlopt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every weight is exactly zero, which no exact estimator survives."""
    policies = use(monkeypatch, ppo={"plain": 0.0, "long": 0.0, "new": 0.0, "magic": 1.0})
    monkeypatch.setattr(policies["ppo"], "log_prob", lambda items, titles, **_: np.full(len(titles), -np.inf))
    outcome = rlopt("offline-eval", "--run", run.path, "--samples", "2")
    assert outcome.code == 0
    assert "Too little overlap: less than 0.01% of what the policy writes was ever shown" in outcome.out
    report = json.loads((run / "eval" / "report.json").read_text(encoding="utf-8"))
    assert report["estimates"] == []
    assert report["diagnostics"]["overlap"]["ess"] == 0


def test_missing_propensities_are_told(tmp_path: Path, arms: Arms, rlopt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)
    run = make_run(tmp_path / "run", replace(arms, propensity_logged=False))
    outcome = rlopt("offline-eval", "--run", run.path, "--samples", "2")
    assert outcome.code == 0
    assert sum("Nobody knows how the logged titles were chosen" in line for line in outcome.out.splitlines()) == 1
    assert outcome.out.startswith("Insufficient evidence")
    report = json.loads((run / "eval" / "report.json").read_text(encoding="utf-8"))
    assert report["test"]["propensity_logged"] is False
    assert report["diagnostics"]["sample_ratio_p_value"] is None


@pytest.mark.parametrize(("decision", "code"), [("launch", 0), ("hold", 3), ("insufficient-evidence", 4)])
def test_the_gate_is_an_exit_code(
    decision: str, code: int, run: Run, rlopt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, ppo=SFT if decision == "hold" else PPO)
    preset = tmp_path / "preset.yaml"
    limit = 0.1 if decision == "insufficient-evidence" else 50
    preset.write_text(f"eval: {{samples: 2, draws: 100, best_of: 0, max_text_kl: {limit}}}\n")
    outcome = rlopt("offline-eval", "--run", run.path, "--config", preset, "--gate", "--json")
    assert outcome.json["verdict"] == decision
    assert outcome.code == code
    assert rlopt("offline-eval", "--run", run.path, "--config", preset).code == 0
    preset.write_text("eval: {max_text_kl: 50}\nconstraints: {max_chars: 12}\n", encoding="utf-8")
    for command in ("offline-eval", "ppo", "compare"):
        refused = rlopt(command, "--run", run.path, "--config", preset)
        assert (refused.code, refused.err.count("\n")) == (1, 1)
        assert f"{preset} has other constraints than run {run.path}" in refused.err


def test_guardrails_veto(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Titles that win clicks and lose most of the sales, by a reward model that knows it."""

    class Selling(MenuReward):
        def predict(self, items: Any, titles: Any) -> Any:
            predicted = super().predict(items, titles)
            predicted.p_conversion = np.array([0.02 if t.split()[0] == "shirt" else 0.2 for t in titles])
            return predicted

    use(monkeypatch)
    monkeypatch.setattr(RewardModel, "load", lambda folder, **_: Selling())
    report = evaluate(run, CONFIG).report
    assert report.guardrails.conversions is not None
    sold = sum(p * np.exp(EFFECT[s]) * (0.1 if s == "magic" else 1.0) for s, p in PPO.items())
    assert report.guardrails.conversions.low < sold / LOGGED_VALUE - 1 < report.guardrails.conversions.high
    assert report.guardrails.revenue is None  # the logs hold none
    assert report.verdict.decision == "hold"
    assert report.verdict.reasons[0].topic == "conversions"
    relaxed = evaluate(run, CONFIG.model_copy(update={"max_conversion_loss": 0.9})).report
    assert relaxed.verdict.decision == "launch"
