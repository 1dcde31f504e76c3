"""Logs with one title per item: refused without the flag, marked everywhere with it, and never told to launch."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from reward.errors import LogError
from rlopt.config import RewardConfig, SimulateConfig
from rlopt.errors import ConfigError
from rlopt.run import Run
from rlopt.stages.fit_reward.stage import fit_reward
from rlopt.stages.fit_reward.update import update_reward
from rlopt.stages.simulate import simulate

SETTINGS = {"members": 1, "monitor_share": 0.0, "judge_share": 0.3, "test_share": 0.3, "learning_curve": False}


@pytest.fixture(scope="module", params=["en", "zh"])
def one_title_logs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs of a simulated shop of which each item kept one title, without propensities."""
    folder = tmp_path_factory.mktemp(f"one-{request.param}")
    logs = folder / "logs.parquet"
    simulate(logs, SimulateConfig(items=150, impressions=600_000, locale=request.param, rows="arms"))
    kept = folder / "one.parquet"
    duckdb.sql(
        f"COPY (SELECT * EXCLUDE (propensity) FROM '{logs}' "
        f"QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY impressions DESC, title) = 1) TO '{kept}'"
    )
    (folder / "one.market.json").write_bytes((folder / "logs.market.json").read_bytes())
    return kept


@pytest.fixture(scope="module")
def run(one_title_logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    found = Run.open(tmp_path_factory.mktemp("observed") / "run", create=True)
    fit_reward(found, one_title_logs, RewardConfig(**SETTINGS, observational=True))
    return found


def test_the_refusal_names_the_flag(one_title_logs: Path, tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"No item was shown with two titles.*--observational"):
        fit_reward(Run.open(tmp_path / "run", create=True), one_title_logs, RewardConfig(**SETTINGS))
    assert not (tmp_path / "run").exists()


def test_the_run_is_marked(run: Run, one_title_logs: Path, tmp_path: Path, rlopt: Callable[..., Any]) -> None:
    assert run.record("fit-reward")["config"]["observational"] is True
    assert json.loads((run / "reward" / "meta.json").read_text())["settings"]["observational"] is True
    assert json.loads((run / "judge" / "meta.json").read_text())["observational"] is True
    card = (run / "reward" / "README.md").read_text()
    assert "# Title reward model (observational)" in card
    assert "no verdict on it says launch" in card
    scored = rlopt("score", one_title_logs, "-o", tmp_path / "scored.parquet", "--run", run.path)
    assert scored.code == 0, scored.err
    assert scored.err.count("reward is observational") == 1
    assert re.search(r"^observational +True$", scored.out, re.MULTILINE)
    assert pq.read_schema(tmp_path / "scored.parquet").metadata[b"rlopt.observational"] == b"true"


def test_fit_reward_says_what_it_does_not_know(run: Run, one_title_logs: Path, rlopt: Callable[..., Any]) -> None:
    flags = [f"--{name.replace('_', '-')}={SETTINGS[name]}" for name in ("members", "judge_share", "test_share")]
    preset = run.path.parent / "preset.yaml"
    preset.write_text("reward: {monitor_share: 0.0, learning_curve: false}\n", encoding="utf-8")
    arguments = ("fit-reward", one_title_logs, "--observational", *flags, "--config", preset, "--run", run.path)
    done = rlopt(*arguments)
    assert done.code == 0, done.err
    assert "nothing to do" in done.err
    assert "Held-out items had one title each" in done.out
    assert "Reward model (observational)" in done.out


def test_no_verdict_says_launch(run: Run, one_title_logs: Path, tmp_path: Path, rlopt: Callable[..., Any]) -> None:
    best = tmp_path / "best.parquet"  # of the titles the shop has elsewhere, the ones that are clicked most
    duckdb.sql(
        f"COPY (SELECT item_id, arg_max(title, clicks / impressions) AS title "
        f"FROM '{one_title_logs.with_name('logs.parquet')}' GROUP BY 1) TO '{best}'"
    )
    told = {}
    for lang, unseen in (("en", 1.5), ("zh", 1.0)):
        preset = tmp_path / f"{lang}.yaml"
        preset.write_text(f"eval: {{lang: {lang}, unseen_cause: {unseen}, draws: 100, min_items: 2}}", encoding="utf-8")
        asked = ("--policy", best, "--trained-on", "nothing", "--config", preset, "--run", run.path, "--json")
        done = rlopt("offline-eval", *asked)
        assert done.code == 0, done.err
        told[lang] = done.json
        assert told[lang]["verdict"] == "insufficient-evidence"
    assert any("reward is observational" in reason for reason in told["en"]["reasons"])
    assert any("1.5 times as likely" in reason for reason in told["en"]["reasons"])
    assert "奖励只是观察性的" in Path(told["zh"]["report"]).read_text(encoding="utf-8")
    wide, narrow = told["en"]["over_logged"], told["zh"]["over_logged"]  # 1.5^2 / (2 * 1.5 - 1) = 1.125
    assert (1 + narrow["low"]) / (1 + wide["low"]) == pytest.approx(1.125)
    assert (1 + wide["high"]) / (1 + narrow["high"]) == pytest.approx(1.125)


def test_an_update_cannot_change_it(run: Run, one_title_logs: Path) -> None:
    with pytest.raises(ConfigError, match="--observational cannot change in an update"):
        update_reward(run, one_title_logs, RewardConfig(**SETTINGS))
