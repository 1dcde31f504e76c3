"""rlopt try: logs under a shop's own names, one command, a verdict; again, it goes on where it stopped."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from tests.conftest import Outcome, quick_preset

Rlopt = Callable[..., Outcome]
NAMES = {
    "en": {"item_id": "sku", "title": "Headline", "clicks": "n_clicks", "impressions": "views"},
    "zh": {"item_id": "商品ID", "title": "商品标题", "clicks": "点击量", "impressions": "曝光量"},
}


def test_from_a_csv_to_a_verdict(
    simulated_logs: Path, tmp_path: Path, rlopt: Rlopt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlopt.stages.try_logs.PRESET", quick_preset(tmp_path))
    monkeypatch.chdir(tmp_path)
    logs = pq.read_table(simulated_logs)
    names = NAMES["zh" if "zh" in simulated_logs.parent.name else "en"]
    kept = [name for name in logs.column_names if not pa.types.is_nested(logs.schema.field(name).type)]
    pc.write_csv(logs.select(kept).rename_columns([names.get(name, name) for name in kept]), tmp_path / "mine.csv")
    first = rlopt("try", "mine.csv", "--steps", "2", "--json")
    assert first.code == 0, first.err
    told = first.json
    assert {name: told["columns"][name] for name in names} == names
    assert f"title = {names['title']}" not in first.out
    assert told["verdict"] in ("launch", "hold", "insufficient-evidence")
    assert told["run"] == "runs/try-mine"
    assert Path(told["report"]).is_file()
    again = rlopt("try", "mine.csv", "--steps", "2")
    assert again.code == 0
    assert "nothing to do" in again.err
    assert f"title = {names['title']}" in again.err
    assert "rlopt ab-plan --run runs/try-mine" in again.out


def test_a_file_whose_columns_tell_nothing_is_refused_at_once(tmp_path: Path, rlopt: Rlopt) -> None:
    (tmp_path / "log.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    outcome = rlopt("try", tmp_path / "log.csv", "--run", tmp_path / "run")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "item_id (what the title is for) and title (what was shown) and clicks (clicks in this row)" in outcome.err
    assert not (tmp_path / "run").exists()


def test_a_demo_is_no_run_for_own_logs(tmp_path: Path, rlopt: Rlopt, simulated_logs: Path) -> None:
    from rlopt.config import SimulateConfig
    from rlopt.run import Run

    run = Run.open(tmp_path / "demo", create=True)
    with run.stage("simulate", SimulateConfig()):
        pass
    outcome = rlopt("try", simulated_logs, "--run", run.path)
    assert (outcome.code, "is a demo" in outcome.err) == (1, True)
