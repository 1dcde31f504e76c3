"""Tables in memory in the place of files: the same answers, and messages that call them what they are."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from reward.errors import LogError
from reward.model.judge import Judge
from reward.model.reward_model import RewardModel
from rlopt.config import EvalConfig, ShortenConfig, TagConfig
from rlopt.errors import EvaluationError
from rlopt.policy.title_policy import TitlePolicy
from rlopt.run import Run
from rlopt.stages.offline_eval.stage import evaluate
from rlopt.stages.tag.apply import apply_tagger
from rlopt.stages.tag.fit import fit_tagger
from tests.stages.menu import MenuJudge, MenuPolicy, MenuReward, make_arms, make_run, title_of

CONFIG = EvalConfig(samples=2, draws=50, best_of=0, max_text_kl=50.0)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    policy = MenuPolicy({"plain": 0.5, "long": 0.3, "new": 0.15, "magic": 0.05})
    monkeypatch.setattr(TitlePolicy, "load", lambda folder, *_: policy)
    monkeypatch.setattr(Judge, "load", lambda folder, **_: MenuJudge())
    monkeypatch.setattr(RewardModel, "load", lambda folder, **_: MenuReward())
    return make_run(tmp_path / "run", make_arms(120))


def test_titles_are_evaluated_from_a_table_as_from_a_file(run: Run, tmp_path: Path) -> None:
    items = [item for item in run.arms().items if item.item_id in run.splits().test]
    ids = [item.item_id for item in items]
    frame = pd.DataFrame({"item_id": ids, "title": [title_of(item, "new") for item in items]})
    frame.to_parquet(tmp_path / "mine.parquet")
    settings = EvalConfig(**{**CONFIG.model_dump(), "policy": str(tmp_path / "mine.parquet")})
    wanted = evaluate(run, settings, trained_on="nothing").report.lifts["logged"]
    told = (wanted.value, wanted.low, wanted.high)
    for table in (frame, pl.from_pandas(frame), pa.Table.from_pandas(frame).to_reader()):
        found = evaluate(run, CONFIG, titles=table, trained_on="nothing")
        lift = found.report.lifts["logged"]
        assert (lift.value, lift.low, lift.high) == told
        assert found.folder == run / "eval-titles"
    learned = pl.DataFrame({"item_id": ids[:2]})
    with pytest.raises(EvaluationError, match=r"the polars\.DataFrame shares 2 items with the test items"):
        evaluate(run, CONFIG, titles=frame, trained_on=learned)
    with pytest.raises(EvaluationError, match=r"the pandas\.DataFrame is not of this run"):
        evaluate(run, CONFIG, titles=frame)
    with pytest.raises(LogError, match=r"the pandas\.DataFrame"):
        evaluate(run, CONFIG, titles=frame.drop(columns="title"), trained_on="nothing")


def test_a_tagger_learns_from_a_table_and_shortens_one(tmp_path: Path) -> None:
    titles = [f"Acme {n} gram {kind}" for n in range(12) for kind in ("tea", "soap")]
    entities = [json.dumps([["brand", "Acme"], ["product", title.split()[-1]]]) for title in titles]
    frame = pd.DataFrame({"title": titles, "entities": entities})
    frame.to_parquet(tmp_path / "titles.parquet")
    config = TagConfig(epochs=1, word_epochs=0) if "word_epochs" in TagConfig.model_fields else TagConfig(epochs=1)
    outputs: list[Any] = []
    for name, learned in (("file", tmp_path / "titles.parquet"), ("table", frame)):
        mine = Run.open(tmp_path / name, create=True)
        fit_tagger(mine, learned, config)
        source = frame[["title"]] if name == "table" else tmp_path / "titles.parquet"
        apply_tagger(mine, source, tmp_path / f"{name}.parquet", ShortenConfig(max_chars=9))
        outputs.append(pd.read_parquet(tmp_path / f"{name}.parquet"))
    pd.testing.assert_frame_equal(*outputs)
