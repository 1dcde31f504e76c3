"""A run that begins with titles alone: it writes, says that it has no reward, and gives way to logs."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from reward.errors import LogError
from rlopt.config import SftConfig
from rlopt.errors import StageOrderError
from rlopt.policy.fewshot import FewShotRenderer
from rlopt.policy.title_policy import TitlePolicy
from rlopt.run import Run
from rlopt.stages.sft.catalogue import read_catalogue
from rlopt.stages.sft.stage import train_sft
from tests.conftest import quick_preset
from tests.tiny_causal import save_tiny_causal

NO_REWARD = r"learned from titles alone.*no reward yet.*rlopt fit-reward LOGS.*--observational.*rlopt explore"


@pytest.fixture(scope="module")
def catalogue(simulated_logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One title an item under names of the shop's own, with a column that repeats it."""
    out = tmp_path_factory.mktemp("catalogue") / "products.parquet"
    items = simulated_logs.with_name("logs.items.parquet")
    duckdb.sql(
        f"COPY (SELECT i.item_id AS sku, t.name, t.name AS seo_name, i.* EXCLUDE (item_id) FROM '{items}' i JOIN "
        f"(SELECT item_id, min(title) AS name FROM '{simulated_logs}' GROUP BY 1) t USING (item_id)) TO '{out}'"
    )
    return out


@pytest.fixture(scope="module")
def written(catalogue: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.open(tmp_path_factory.mktemp("zero") / "run", create=True)
    train_sft(run, SftConfig(steps=30, batch_size=16), catalogue=catalogue, columns="title=name,item_id=sku")
    return run


def test_a_policy_learns_from_titles_and_writes_without_a_reward(
    written: Run, catalogue: Path, tmp_path: Path, rlopt: Callable[..., Any]
) -> None:
    arms = written.arms()
    assert len(arms) == len(written.splits().train) == pq.read_metadata(catalogue).num_rows
    assert not arms.impressions.any()
    assert all("seo_name" not in item.fields and item.fields for item in arms.items)
    assert "there is no reward yet" in (written / "sft" / "README.md").read_text()
    out = tmp_path / "titles.parquet"
    done = rlopt("generate", catalogue, "-o", out, "--run", written.path, "--n", "2", "--best-of", "8")
    assert done.code == 0, done.err
    assert done.err.count("No reward yet") == 1
    assert "--best-of has no effect without a reward" in done.err
    assert re.search(r"^reward +none$", done.out, re.MULTILINE)
    assert re.search(r"^mean reward +-$", done.out, re.MULTILINE)
    table = pq.read_table(out)
    assert table.num_rows == 2 * len(arms)
    for name in ("reward", "reward_std", "support"):
        assert table[name].null_count == table.num_rows
    titles = [title for title in table["title"].to_pylist() if title]
    assert len(titles) > len(arms)
    assert len(set(titles)) == len(titles)
    assert table.schema.metadata[b"rlopt.reward"] == b"none"


@pytest.mark.parametrize(
    "command",
    [
        ("score", "FILE", "-o", "OUT"), ("explain", "red", "--item", "1"), ("ppo",), ("offline-eval",), ("probe",),
        ("explore", "FILE", "-o", "OUT"), ("compare",), ("export", "-o", "OUT"),
        ("ab-plan",), ("serve",),
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_every_other_command_names_the_way_on(
    command: tuple[str, ...], written: Run, catalogue: Path, tmp_path: Path, rlopt: Callable[..., Any]
) -> None:
    named = {"FILE": catalogue, "OUT": tmp_path / "out.parquet"}
    done = rlopt(*(named.get(word, word) for word in command), "--run", written.path)
    assert done.code == 1
    assert len(done.err.strip().splitlines()) == 1
    assert "has learned from titles alone" in done.err
    assert f"rlopt fit-reward LOGS --run {written.path}" in done.err


def test_a_reward_cannot_weigh_titles_before_there_is_one(written: Run) -> None:
    with pytest.raises(StageOrderError, match=NO_REWARD):
        train_sft(written, SftConfig(steps=1, weight_by="reward"))


def test_logs_take_the_place_of_a_catalogue(
    catalogue: Path, simulated_logs: Path, tmp_path: Path, rlopt: Callable[..., Any]
) -> None:
    folder = tmp_path / "run"
    arguments = ("--columns", "title=name,item_id=sku", "--steps", "2", "--run", folder)
    assert rlopt("sft", catalogue, *arguments).code == 0
    before = json.loads((folder / "manifest.json").read_text())["stages"]["sft"]
    assert rlopt("sft", catalogue, *arguments).code == 0  # finished and unchanged
    assert json.loads((folder / "manifest.json").read_text())["stages"]["sft"] == before
    fitted = rlopt("fit-reward", simulated_logs, "--run", folder, "--config", quick_preset(tmp_path))
    assert fitted.code == 0, fitted.err
    assert "those of" in fitted.err
    assert "the policy has to be trained again" in fitted.err
    run = Run.open(folder)
    assert run.rewarded
    assert run.arms().impressions.all()
    with pytest.raises(StageOrderError, match="before logs took the place of its catalogue"):
        run.require("sft")
    again = rlopt("sft", catalogue, *arguments)
    assert again.code == 1
    assert "has learned from logs" in again.err
    assert rlopt("sft", "--steps", "2", "--run", folder).code == 0
    run.require("sft")


def test_examples_in_the_prompt_need_no_clicks(catalogue: Path, tmp_path: Path) -> None:
    run, model = Run.open(tmp_path / "run", create=True), save_tiny_causal(tmp_path / "model")
    config = SftConfig(model=str(model), shots=2, max_title_tokens=8)
    assert train_sft(run, config, catalogue=catalogue, columns="title=name,item_id=sku").learned == 0
    renderer = TitlePolicy.load(run / "sft").renderer
    assert isinstance(renderer, FewShotRenderer)
    arms = run.arms()
    assert {title for _, title in renderer.examples} <= set(arms.title)


def test_a_catalogue_needs_two_titles(tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text("item_id,title,colour\na,Red shirt,red\nb,,blue\n")
    with pytest.raises(LogError, match="1 item with a title, and learning to write takes two"):
        read_catalogue(Run.open(tmp_path / "run", create=True), file)
    assert not (tmp_path / "run").exists()


def test_reading_options_need_a_catalogue(fitted_run: Path, rlopt: Callable[..., Any]) -> None:
    done = rlopt("sft", "--columns", "title=name", "--run", fitted_run)
    assert done.code == 2
    assert "say how to read CATALOGUE" in done.err
