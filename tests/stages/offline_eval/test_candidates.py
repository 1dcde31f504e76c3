"""offline-eval of other policies than the run's PPO: titles from a file, policies from elsewhere, the SFT policy."""

import csv
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from reward.arms import Arms
from reward.model.judge import Judge
from reward.model.reward_model import RewardModel
from rlopt.config import EvalConfig
from rlopt.errors import EvaluationError, PolicyError, StageOrderError
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.slots import Slots
from rlopt.policy.title_policy import TitlePolicy
from rlopt.report.html import schema
from rlopt.run import Run
from rlopt.stages.common.title_source import TitleSource
from rlopt.stages.common.titles import Written
from rlopt.stages.offline_eval.candidate import PolicyCandidate, TitlesCandidate
from rlopt.stages.offline_eval.stage import evaluate
from tests.stages.menu import (
    EFFECT,
    LOGGED,
    PROPENSITY,
    MenuJudge,
    MenuPolicy,
    MenuReward,
    make_arms,
    make_run,
    title_of,
    truth,
)

CONFIG = EvalConfig(samples=4, draws=200, best_of=2, max_text_kl=50.0)
LOGGED_VALUE = sum(p * float(np.exp(EFFECT[style])) for style, p in zip(LOGGED, PROPENSITY, strict=True))


@pytest.fixture(scope="module")
def arms() -> Arms:
    return make_arms(240)


@pytest.fixture
def run(tmp_path: Path, arms: Arms, monkeypatch: pytest.MonkeyPatch) -> Run:
    policies = {
        "ppo": MenuPolicy({"plain": 0.1, "long": 0.1, "new": 0.3, "magic": 0.5}),
        "sft": MenuPolicy({"plain": 0.5, "long": 0.3, "new": 0.15, "magic": 0.05}),
    }
    monkeypatch.setattr(TitlePolicy, "load", lambda folder, *_: policies[Path(folder).name])
    monkeypatch.setattr(Judge, "load", lambda folder, **_: MenuJudge())
    monkeypatch.setattr(RewardModel, "load", lambda folder, **_: MenuReward())
    return make_run(tmp_path / "run", arms)


@pytest.fixture
def write(run: Run, tmp_path: Path) -> Callable[..., Path]:
    """A file of titles for the test items: of each the given styles."""

    def made(styles: tuple[str, ...], name: str = "Agency titles.csv", items: slice = slice(None)) -> Path:
        by_id = {item.item_id: item for item in run.arms().items}
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["item_id", "title"])
            rows.writerows((i, title_of(by_id[i], style)) for i in run.splits().test[items] for style in styles)
        return path

    return made


def judge(run: Run, policy: str | Path, trained_on: str | None = "nothing", **changes: Any) -> Any:
    return evaluate(
        run, CONFIG.model_copy(update={"policy": str(policy), **changes}), truth=truth, trained_on=trained_on
    )


def test_titles_from_a_file_are_judged_by_the_same_rules(run: Run, write: Callable[..., Path]) -> None:
    result = judge(run, write(("new", "magic")))
    true = 0.5 * (np.exp(EFFECT["new"]) + np.exp(EFFECT["magic"])) / LOGGED_VALUE - 1
    lift = result.report.lifts["logged"]
    assert lift.low < true < lift.high
    assert result.report.true_lifts["logged"] == pytest.approx(true, abs=0.01)
    assert result.report.verdict.decision == "launch"
    assert result.report.kl is None
    assert result.report.overlap.mass == pytest.approx(0.5)  # "new" was logged, "magic" never
    estimates = {e.estimator: e for e in result.report.estimates}
    assert estimates["dr"].low < (1 + true) * LOGGED_VALUE * 0.05 < estimates["dr"].high


def test_their_report_has_a_folder_and_names_of_its_own(run: Run, write: Callable[..., Path]) -> None:
    judge(run, "ppo", trained_on=None)
    before = (run / "eval" / "report.json").read_bytes()
    result = judge(run, write(("new",)))
    assert result.folder == run / "eval-Agency-titles"
    report = json.loads((result.folder / "report.json").read_text(encoding="utf-8"))
    jsonschema.validate(report, schema())
    assert report["candidate"] == "Agency-titles"
    assert [policy["policy"] for policy in report["policies"]] == ["Agency-titles", "sft", "best_of"]
    assert "Offline evaluation: Agency-titles" in (result.folder / "report.html").read_text(encoding="utf-8")
    assert (run / "eval" / "report.json").read_bytes() == before
    assert run.done("offline-eval")
    assert result.to_dict()["policy"] == "Agency-titles"


def test_files_under_other_names_are_read_with_columns(run: Run, tmp_path: Path, rlopt: Any) -> None:
    titles, trained = tmp_path / "agency.csv", tmp_path / "trained.csv"
    titles.write_text("sku,text\n" + "".join(f"{i},new\n" for i in run.splits().test), encoding="utf-8")
    trained.write_text("sku\n" + "".join(f"{i}\n" for i in run.splits().train), encoding="utf-8")
    flags = ("--run", run.path, "--policy", titles, "--trained-on", trained)
    assert "--columns item_id=sku" in rlopt("offline-eval", *flags).err
    assert rlopt("offline-eval", *flags, "--columns", "item_id=sku,title=text").code == 0


def test_files_of_one_name_have_reports_of_their_own(run: Run, tmp_path: Path) -> None:
    """The first keeps the plain name; the same file again, or a copy of it elsewhere, is no other one."""

    def folder(name: str, style: str) -> str:
        path = tmp_path / name / "titles.csv"
        path.parent.mkdir(exist_ok=True)
        rows = "".join(f"{item_id},{style}\n" for item_id in run.splits().test)
        path.write_text(f"item_id,title\n{rows}", encoding="utf-8")
        return judge(run, path).folder.name

    assert folder("one", "new") == "eval-titles"
    other = folder("other", "long")
    assert re.fullmatch("eval-titles-[0-9a-f]{6}", other)
    assert folder("third", "plain") not in ("eval-titles", other)
    report = (run / "eval-titles" / "report.json").read_bytes()
    assert folder("one", "new") == "eval-titles"
    assert folder("other", "plain") == other  # changed in its place
    assert folder("copy", "new") == "eval-titles"
    assert json.loads(report)["candidate"] == "titles"
    assert TitleSource.find(run, str(tmp_path / "other" / "titles.csv")).folder == other


def test_without_an_sft_policy_the_logged_titles_are_the_baseline(
    tmp_path: Path, arms: Arms, run: Run, write: Callable[..., Path]
) -> None:
    fresh = Run.open(tmp_path / "fresh", create=True)
    with fresh.stage("fit-reward", {"seed": 0}, {"logs": "x"}), fresh.replacing("data") as data:
        for file in (run / "data").iterdir():
            (data / file.name).write_bytes(file.read_bytes())
    result = judge(fresh, write(("magic",)))
    assert set(result.report.lifts) == {"logged"}
    assert [policy.policy for policy in result.report.policies] == ["Agency-titles"]
    assert all(example.sft is None for example in result.report.examples)
    jsonschema.validate(json.loads((result.folder / "report.json").read_text(encoding="utf-8")), schema())
    data_of_it = result.to_dict()
    assert data_of_it["estimated_lift"] == data_of_it["over_logged"]["estimated_lift"]
    with pytest.raises(StageOrderError, match="rlopt sft"):
        judge(fresh, write(("magic",)), baseline="sft")


def test_the_sft_policy_is_judged_against_the_logs(run: Run) -> None:
    result = judge(run, "sft", trained_on=None, min_lift=0.05)
    assert set(result.report.lifts) == {"logged"}
    assert result.folder == run / "eval-sft"
    assert result.report.verdict.decision == "hold"  # it writes about what the logs hold


def test_the_sft_policy_is_not_its_own_baseline(run: Run) -> None:
    with pytest.raises(EvaluationError, match="cannot be its own baseline"):
        judge(run, "sft", trained_on=None, baseline="sft")


def test_titles_for_some_items_are_judged_on_these(
    run: Run, write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge(run, write(("new",), items=slice(0, 50))).report.n_items == 50
    assert "has titles for 50 of 80 test items" in capsys.readouterr().err
    with pytest.raises(EvaluationError, match="has titles for 1 of this run's 80 test items"):
        judge(run, write(("new",), items=slice(0, 1)))


def test_what_was_learned_from_must_be_said(run: Run, write: Callable[..., Path], tmp_path: Path) -> None:
    titles = write(("new",))
    with pytest.raises(EvaluationError, match="--trained-on nothing"):
        judge(run, titles, trained_on=None)
    assert not (run / "eval-Agency-titles").exists()
    seen = tmp_path / "seen.csv"
    seen.write_text("item_id\n" + run.splits().test[0] + "\n")
    with pytest.raises(EvaluationError, match=r"seen\.csv shares 1 item with the test items"):
        judge(run, titles, trained_on=str(seen))
    assert judge(run, titles, trained_on="run").report.verdict.decision == "launch"


@pytest.mark.parametrize("policy", ["none.csv", "elsewhere", "titles.xlsx"])
def test_what_is_neither_policy_nor_titles_is_refused(run: Run, policy: str) -> None:
    with pytest.raises(PolicyError, match=r"or a parquet, CSV or JSONL file with item_id and title\. Got"):
        judge(run, policy)


def test_names_that_mean_something_else_are_not_taken(run: Run, write: Callable[..., Path]) -> None:
    assert TitleSource.find(run, str(write(("new",), "logged.csv"))).name == "logged-titles"
    assert TitleSource.find(run, str(write(("new",), "新标题 (v2).csv"))).name == "新标题-v2"


def test_the_distance_from_a_policy_that_is_asked_otherwise_is_not_known() -> None:
    style = {"plain": 0.4, "long": 0.3, "new": 0.2, "magic": 0.1}
    sft, other = MenuPolicy(style), MenuPolicy(style, renderer=SlotRenderer(Slots({("x", 0): "<x>"}, {})))
    items = make_arms(2).items
    for policy, known in ((MenuPolicy(style), True), (other, False)):
        candidate = PolicyCandidate("x", Path("x"))
        candidate.__dict__["policy"] = policy
        titles = [title for (title,) in policy.generate(items, 1)]
        written = Written(
            "x",
            np.arange(2),
            [t.text for t in titles],
            np.array([t.log_prob for t in titles]),
            np.ones(2, dtype=bool),
            [t.token_ids for t in titles],
        )
        found = candidate.kl_to(sft, written, items, 1.0)
        assert (found is not None) is known


def test_a_file_shows_each_of_its_titles_equally_often(arms: Arms) -> None:
    item = arms.items[0]
    titles: Mapping[str, list[str]] = {
        item.item_id: [title_of(item, "new").upper(), title_of(item, "new"), title_of(item, "magic"), "x"]
    }
    logged = arms.take(arms.item_index == 0)
    log_prob = TitlesCandidate("x", titles).log_prob(logged, 1.0)
    assert np.exp(log_prob) == pytest.approx([0.0, 0.0, 0.5])
