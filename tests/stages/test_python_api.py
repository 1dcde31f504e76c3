"""The stages called from Python on a run that holds nothing yet: one clear error, and nothing written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reward.items import Item
from rlopt.config import ExportConfig, TextConfig
from rlopt.errors import StageOrderError
from rlopt.run import Run
from rlopt.stages.ab.analyze import analyze_test
from rlopt.stages.ab.plan import plan_test
from rlopt.stages.compare import compare
from rlopt.stages.evaluate_text import evaluate_text
from rlopt.stages.explain import explain_title
from rlopt.stages.export.stage import export
from rlopt.stages.generate.stage import generate
from rlopt.stages.offline_eval.stage import evaluate
from rlopt.stages.ppo.stage import train_ppo
from rlopt.stages.score import score
from rlopt.stages.sft.stage import train_sft

CALLS: dict[str, Callable[[Run, Path], Any]] = {
    "plan_test": lambda run, file: plan_test(run),
    "analyze_test": lambda run, file: analyze_test(run, file),
    "compare": lambda run, file: compare(run),
    "evaluate": lambda run, file: evaluate(run),
    "evaluate_text": lambda run, file: evaluate_text(file, TextConfig(), run=run),
    "explain_title": lambda run, file: explain_title(run, "A title", "i1"),
    "export": lambda run, file: export(run, file.with_name("small"), ExportConfig(prune=0.5)),
    "generate": lambda run, file: generate(run, file, file.with_name("out.csv")),
    "score": lambda run, file: score(run, file, file.with_name("out.csv")),
    "train_sft": lambda run, file: train_sft(run),
    "train_ppo": lambda run, file: train_ppo(run),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_empty_run_is_one_clear_error(name: str, tmp_path: Path) -> None:
    file = tmp_path / "titles.csv"
    file.write_text("item_id,title\ni1,A title\n", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    for run in (Run.open(tmp_path / "empty", create=True), Run(str(tmp_path / "empty"))):
        with pytest.raises(StageOrderError, match=r"Run .*empty has no 'fit-reward' yet\. Run first: rlopt fit-reward"):
            CALLS[name](run, file)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "titles.csv"]


def test_a_text_is_not_taken_for_a_field_of_letters() -> None:
    with pytest.raises(TypeError, match=r"'brand' needs a tuple of texts\. Got 'Acme'"):
        Item("sku-1", {"brand": "Acme"})  # type: ignore[dict-item]
    assert Item("sku-1", {"brand": ("Acme",)}).text() == "Acme"
