"""``fit-reward --update``: arms add up, sides stay, no row counts twice, the better model stays, kills lose nothing."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.csv import write_csv

from reward.arms import Arms
from reward.evidence.contest import Contest
from reward.logs.read import read_arms
from reward.logs.splits import Splits
from reward.model.reward_model import RewardModel
from rlopt.run import Run
from rlopt.stages.common.parts import load_parts
from rlopt.stages.fit_reward import fitting, update_decision
from rlopt.stages.fit_reward.history import HISTORY, Entry, UpdateOutcome, history_text, read_history
from rlopt.stages.fit_reward.update_base import pending, set_aside
from tests.conftest import Outcome

Rlopt = Callable[..., Outcome]
TreeHash = Callable[[Path], str]
WEEK = 7 * 86400.0


def week(
    folder: Path, number: int, *, items: range = range(60), drop: tuple[str, ...] = (), **more: list[object]
) -> Path:
    """A week's log of a shop in which 'soft' earns and 'loud' costs clicks."""
    rng = np.random.default_rng(number)
    words = {"soft": 0.5, "loud": -0.5, "blue": 0.1, "warm": 0.0}
    rows = [(f"i{i:03d}", f"{word} thing {i} {kind}", effect) for i in items for word, effect in words.items()
            for kind in ("new", "old")]  # fmt: skip
    clicks = rng.binomial(400, 0.06 * np.exp([effect for *_, effect in rows]))
    columns = {
        "item_id": [row[0] for row in rows],
        "title": [row[1] for row in rows],
        "impressions": [400] * len(rows),
        "clicks": clicks.tolist(),
        "conversions": rng.binomial(clicks, 0.2).tolist(),
        "timestamp": (1.7e9 + number * WEEK + rng.uniform(0, WEEK * 0.99, len(rows))).tolist(),
        "kind": [f"kind {int(row[0][1:]) % 3}" for row in rows],
    }
    columns |= {name: (values * len(rows))[: len(rows)] for name, values in more.items()}
    path = folder / f"week{number}.parquet"
    pq.write_table(pa.table({name: values for name, values in columns.items() if name not in drop}), path)
    return path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from rlopt.cli.main import run

    folder = tmp_path_factory.mktemp("fitted")
    # 21 items on the judge side: the comparison of an update needs 20.
    arguments = ["fit-reward", str(week(folder, 0)), "--run", str(folder / "run"), "--members", "1"]
    arguments += ["--judge-share", "0.35"]
    assert run(arguments) == 0
    return folder / "run"


@pytest.fixture
def run(fitted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fitted, tmp_path / "run"))


def sides(run: Path) -> dict[str, str]:
    splits = Run.open(run).splits()
    return {item: name for name in ("train", "judge", "test") for item in getattr(splits, name)}


def test_an_update_adds_up_keeps_the_sides_and_is_told_to_later_stages(rlopt: Rlopt, run: Path, tmp_path: Path) -> None:
    before, was = Run.open(run).arms(), sides(run)
    key = Run.open(run).record("fit-reward")["key"]
    new = week(tmp_path, 1, items=range(30, 90))
    outcome = rlopt("fit-reward", new, "--update", "--run", run)
    assert outcome.code == 0, outcome.err
    assert "Kept the new model" in outcome.out
    after, now = Run.open(run).arms(), sides(run)
    assert after.clicks.sum() == before.clicks.sum() + sum(pq.read_table(new)["clicks"].to_pylist())
    assert len(after.items) == 90
    assert was.items() <= now.items()
    shares = [list(now.values()).count(name) for name in ("train", "judge", "test")]
    assert shares == [41, 31, 18]
    assert Run.open(run).record("fit-reward")["key"] != key  # what stands on the old reward is outdated
    assert [line.event for line in read_history(run / "reward")] == ["fit", "update"]
    assert [len(part.items) for part in load_parts(run / "data")] == [60, 60]
    assert json.loads(rlopt("score", new, "-o", tmp_path / "scored.parquet", "--run", run, "--json").out)


def test_later_stages_notice(rlopt: Rlopt, run: Path, tmp_path: Path) -> None:
    with Run.open(run).stage("sft", {}):
        pass
    assert Run.open(run).done("sft")
    assert rlopt("fit-reward", week(tmp_path, 1), "--update", "--run", run).code == 0
    assert not Run.open(run).done("sft")
    refused = rlopt("offline-eval", "--run", run)
    assert refused.code == 1
    assert "'sft'" in refused.err


def test_no_row_is_counted_twice(rlopt: Rlopt, run: Path, fitted: Path, tmp_path: Path, tree_hash: TreeHash) -> None:
    old, new = fitted.parent / "week0.parquet", week(tmp_path, 1)
    before = tree_hash(run / "data")
    again = rlopt("fit-reward", old, "--update", "--run", run, "--force")
    assert again.code == 0
    assert "Nothing to do: the same rows were learned" in again.out
    copy = tmp_path / "copy.csv"
    table = pq.read_table(old)
    write_csv(table.take(np.random.default_rng(0).permutation(len(table))), copy)
    other = rlopt("fit-reward", copy, "--update", "--run", run, "--force")
    assert other.code == 1
    assert "the same counts of the same titles" in other.err
    folder = tmp_path / "both"
    folder.mkdir()
    for path in (old, new):
        shutil.copy(path, folder)
    both = rlopt("fit-reward", folder, "--update", "--run", run)
    assert both.code == 1
    assert "1 of its 2 files" in both.err
    part = tmp_path / "part.parquet"
    pq.write_table(table.slice(0, 200), part)
    overlapping = rlopt("fit-reward", part, "--update", "--run", run)
    assert overlapping.code == 1
    assert "would count twice" in overlapping.err
    assert tree_hash(run / "data") == before
    assert rlopt("fit-reward", new, "--update", "--run", run).code == 0
    once = Run.open(run).arms().clicks.sum()
    assert "Nothing to do" in rlopt("fit-reward", new, "--update", "--run", run).out
    assert Run.open(run).arms().clicks.sum() == once
    fit = rlopt("fit-reward", old, "--run", run, "--members", 1)
    assert fit.code == 1
    assert "would forget" in fit.err


def test_a_worse_model_is_not_kept_and_its_arms_wait(
    rlopt: Rlopt, run: Path, tmp_path: Path, tree_hash: TreeHash, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fit gone wrong (its effects turned around) loses against the old model."""
    fit = fitting.fit_model

    def wrong(*arguments: object, **named: object) -> RewardModel:
        model = fit(*arguments, **named)  # type: ignore[arg-type]
        return replace(model, click=replace(model.click, slope=-model.click.slope))

    monkeypatch.setattr(fitting, "fit_model", wrong)
    parts = ("data", "judge", "manifest.json")
    before = {name: tree_hash(run / name) if (run / name).is_dir() else (run / name).read_bytes() for name in parts}
    first = week(tmp_path, 1)
    outcome = rlopt("fit-reward", first, "--update", "--run", run, "--json")
    assert outcome.json["kept"] == "old"
    assert outcome.json["figures"]["items"] == len(Run.open(run).splits().judge) == 21
    assert outcome.json["figures"]["pair_accuracy"]["high"] < 0
    assert "worse beyond chance" in outcome.json["why"]
    after = {name: tree_hash(run / name) if (run / name).is_dir() else (run / name).read_bytes() for name in parts}
    assert after == before
    assert rlopt("fit-reward", first, "--update", "--run", run, "--json").json["kept"] == "known"
    monkeypatch.undo()
    assert rlopt("fit-reward", week(tmp_path, 2), "--update", "--run", run, "--json").json["kept"] == "new"
    assert Run.open(run).arms().impressions.sum() == 3 * 60 * 8 * 400
    assert not (run / "updates").exists()
    assert [line.event for line in read_history(run / "reward")] == ["fit", "update", "update"]
    assert "Nothing to do" in rlopt("fit-reward", first, "--update", "--run", run, "--force").out


def test_killed_while_saving_the_same_command_ends_as_if_undisturbed(
    rlopt: Rlopt, run: Path, tmp_path: Path, tree_hash: TreeHash, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = week(tmp_path, 1)
    calm = Path(shutil.copytree(run, tmp_path / "calm"))
    assert rlopt("fit-reward", new, "--update", "--run", calm).code == 0
    from rlopt import files

    swap = files._swap

    def killed(fresh: Path, target: Path, scratch: Path, keep_old: bool) -> None:
        if target.name == "reward":  # data/ is the new one already
            raise KeyboardInterrupt
        swap(fresh, target, scratch, keep_old)

    monkeypatch.setattr(files, "_swap", killed)
    assert rlopt("fit-reward", new, "--update", "--run", run).code != 0
    monkeypatch.undo()
    assert not Run.open(run).done("fit-reward")
    assert rlopt("fit-reward", new, "--update", "--run", run).code == 0
    assert Run.open(run).arms().clicks.sum() == Run.open(calm).arms().clicks.sum()
    assert tree_hash(run / "data") == tree_hash(calm / "data")
    assert tree_hash(run / "judge") == tree_hash(calm / "judge")


def test_what_only_one_log_has_is_said(rlopt: Rlopt, run: Path, tmp_path: Path) -> None:
    new = week(tmp_path, 4, drop=("conversions", "kind"), shelf=["top"])  # here the new model is the better one
    outcome = rlopt("fit-reward", new, "--update", "--run", run)
    assert outcome.code == 0, outcome.err
    for said in ("the new log lacks kind", "only the new log has shelf", "the new log counts no conversions"):
        assert said in outcome.err
    arms = Run.open(run).arms()
    assert arms.conversions is not None
    assert arms.matured_clicks is not None
    assert arms.matured_clicks.sum() < arms.clicks.sum()
    assert set(arms.items[0].fields) == {"kind", "shelf"}


def test_half_life_and_what_cannot_change(rlopt: Rlopt, run: Path, tmp_path: Path) -> None:
    new = week(tmp_path, 1)
    timeless = week(tmp_path, 2, drop=("timestamp",))
    no_times = rlopt("fit-reward", timeless, "--update", "--run", run, "--half-life-days", 7)
    assert no_times.code == 1
    assert "every row of all logs has a timestamp" in no_times.err
    fixed = rlopt("fit-reward", new, "--update", "--run", run, "--test-share", 0.3)
    assert fixed.code == 1
    assert "--test-share cannot change in an update" in fixed.err
    outcome = rlopt("fit-reward", new, "--update", "--run", run, "--half-life-days", 7)
    assert outcome.code == 0
    assert Run.open(run).record("fit-reward")["config"]["half_life_days"] == 7
    assert Run.open(run).arms().impressions.sum() == 2 * 60 * 8 * 400  # observed counts do not fade
    nothing = rlopt("fit-reward", new, "--update", "--run", tmp_path / "none")
    assert nothing.code == 1
    assert "There is no run at" in nothing.err


def test_the_judge_items_alone_decide(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test side is for offline-eval; without a judge side, or with a few items on it, the new model is kept."""
    fitted = Run.open(run)
    arms, splits = fitted.arms(), fitted.splits()
    model = RewardModel.load(fitted / "reward")
    seen: list[set[str]] = []
    contest = update_decision.contest

    def watched(old: RewardModel, new: RewardModel, arms: Arms, seed: int) -> Contest | None:
        seen.append({item.item_id for item in arms.items})
        return contest(old, new, arms, seed)

    monkeypatch.setattr(update_decision, "contest", watched)
    wrong = replace(model, click=replace(model.click, slope=-model.click.slope))
    assert update_decision.compare(model, wrong, [arms], splits, 0).kept == "old"
    assert seen == [set(splits.judge)]
    assert set(splits.judge).isdisjoint(splits.test)
    few = update_decision.compare(model, wrong, [arms], replace(splits, judge=splits.judge[:2]), 0)
    assert few.kept == "new"
    assert "too few held-out items to tell" in few.why
    assert few.contest is not None
    assert few.contest.items == 2
    none = update_decision.compare(model, wrong, [arms], Splits(splits.train, (), splits.test), 0)
    assert none == update_decision.Decision("new", "there is no judge side to compare the models on", None)
    one_title = arms.take(np.unique(arms.item_index, return_index=True)[1])
    nothing = update_decision.compare(model, wrong, [one_title], splits, 0)
    assert nothing.kept == "new"
    assert "no item of the judge side with two titles" in nothing.why


def test_arms_that_wait_are_not_taken_in_again_once_they_are_learned(run: Path, tmp_path: Path) -> None:
    """A kill after an update is recorded and before what it took in is removed."""
    fitted = Run.open(run)
    waiting = [read_arms(week(tmp_path, number)) for number in (1, 2)]
    history = read_history(run / "reward")
    for number, arms in enumerate(waiting):
        history.append(Entry.of("trial", f"week{number + 1}", [f"file{number}"], arms))
        set_aside(fitted, arms, f"digest{number}", history)
    assert [arms.clicks.sum() for arms in pending(fitted, "another", history)] == [a.clicks.sum() for a in waiting]
    assert [arms.clicks.sum() for arms in pending(fitted, "digest0", history)] == [waiting[1].clicks.sum()]
    history[-2] = replace(history[-2], event="update")
    assert [arms.clicks.sum() for arms in pending(fitted, "another", history)] == [waiting[1].clicks.sum()]


def test_a_line_of_the_history_holds_the_outcome_beside_the_log_once(tmp_path: Path) -> None:
    fit = Entry("2026-03-01", "fit", "week0", ("a",), "b", items=3, arms=6, impressions=60, clicks=6)
    update = replace(fit, event="update", outcome=UpdateOutcome("new", "it is better", None))
    (tmp_path / HISTORY).write_text(history_text([fit, update]), encoding="utf-8")
    first, second = map(json.loads, (tmp_path / HISTORY).read_text(encoding="utf-8").splitlines())
    assert set(second) - set(first) == {"kept", "why", "figures"}
    assert "outcome" not in first
    assert read_history(tmp_path) == [fit, update]
