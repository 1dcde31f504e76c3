"""A newer run takes over between two requests."""

import threading
from pathlib import Path

import pytest

from rlopt.serving.backend import Served
from tests.serving.conftest import Lengths, Start, Still, titles


def test_a_newer_run_takes_over_and_requests_under_way_end_with_the_old(start: Start) -> None:
    old, source = Lengths(), Still()
    client, service = start(old, source=source, max_wait_ms=0)
    versions: list[str] = []
    asked = threading.Thread(
        target=lambda: versions.append(client.post("/v1/score", json=titles("wait")).json()["version"])
    )
    asked.start()
    assert old.begun.wait(10)
    source.next = Served(Lengths("v2"), None)
    client.portal.call(service.refresh)  # type: ignore[union-attr]
    assert client.get("/readyz").json()["version"] == "v2"
    old.go.set()
    asked.join()
    assert versions == ["v1"]
    assert client.post("/v1/score", json=titles("x")).json() == {"version": "v2", "lengths": [[1]]}


def test_a_damaged_run_leaves_the_old_one_serving(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    client, service = start(source=Still(ValueError("no model here")))
    client.portal.call(service.refresh)  # type: ignore[union-attr]
    assert client.post("/v1/score", json=titles("x")).json()["version"] == "v1"
    assert "no model here" in capfd.readouterr().err
    assert b'rlopt_errors_total{kind="reload"} 1.0' in service.metrics.text()


def test_a_run_that_was_fitted_anew_is_seen_and_one_under_way_is_not(written_run: Path, tmp_path: Path) -> None:
    import json
    import shutil

    from rlopt.config import GenerateConfig, ServeConfig
    from rlopt.run import Run
    from rlopt.stages.serve.service import RunSource

    folder = tmp_path / "run"
    shutil.copytree(written_run, folder)
    source = RunSource(Run.open(folder), ServeConfig(policy="sft"), GenerateConfig(policy="sft"))
    first = source.first()
    assert source.newer(first) is None

    def change(**stages: object) -> None:
        path = folder / "manifest.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        for stage, found in stages.items():
            name = stage.replace("_", "-")
            if found is None:
                content["stages"].pop(name)
            else:
                content["stages"].setdefault(name, before[name])["finished"] = found
        path.write_text(json.dumps(content), encoding="utf-8")

    before = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["stages"]
    change(sft=None)
    assert source.newer(first) is None  # the policy is being trained: what is served stays whole
    change(sft="2030-01-01T00:00:00+00:00")
    newer = source.newer(first)
    assert newer is not None
    assert newer.models.version != first.models.version
    assert newer.models.cannot_generate == ""
    assert source.newer(newer) is None
