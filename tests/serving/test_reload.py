"""A newer run takes over between two requests."""

import gc
import json
import shutil
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rlopt.serving.backend import Served
from rlopt.serving.requests import GenerateRequest, ScoreRequest
from tests.serving.conftest import Lengths, Start, Still, titles

if TYPE_CHECKING:
    from rlopt.stages.serve.service import RunSource


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
    for _ in range(2):
        client.portal.call(service.refresh)  # type: ignore[union-attr]
    assert client.post("/v1/score", json=titles("x")).json()["version"] == "v1"
    assert capfd.readouterr().err.count("no model here") == 1  # said once, counted each time
    assert b'rlopt_errors_total{kind="reload"} 2.0' in service.metrics.text()


@dataclass
class Slow(Lengths):
    """Says its version for each title anew, and takes its time: an answer of two versions would show."""

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, Any]]:
        return [{"version": self.version, "items": [self.mark(item.titles) for item in r.items]} for r in requests]

    def generate(self, request: GenerateRequest) -> dict[str, Any]:
        return {"version": self.version, "items": [self.mark([item.item_id]) for item in request.items]}

    def mark(self, texts: Sequence[str]) -> list[str]:
        time.sleep(0.001)
        return [f"{self.version} {text}" for text in texts]


def test_no_request_fails_or_is_answered_by_two_while_runs_change_under_load(start: Start) -> None:
    client, service = start(Slow("v0"), source=(source := Still()), max_wait_ms=1)
    over, seen = threading.Event(), set[str]()

    def ask(number: int) -> list[tuple[str, float]]:
        """(version, when it was asked for) of the answers to one client's requests, one after the other."""
        answers = []
        while not over.is_set():
            began = time.monotonic()
            if number % 4:
                one, two = f"t{number}", f"u{number}"
                items = [{"item_id": "a", "titles": [one, two]}, {"item_id": "b", "titles": [one]}]
                got, wanted = client.post("/v1/score", json={"items": items}), [[one, two], [one]]
            else:
                ids = [f"i{number}", f"j{number}"]
                got = client.post("/v1/generate", json={"items": [{"item_id": i} for i in ids]})
                wanted = [[i] for i in ids]
            assert got.status_code == 200, got.text
            version = got.json()["version"]
            assert got.json()["items"] == [[f"{version} {text}" for text in texts] for texts in wanted]
            answers.append((version, began))
            seen.add(version)
        return answers

    replaced: list[weakref.ref[Any]] = []
    swapped: dict[str, float] = {}

    def wait_for(version: str) -> None:
        end = time.monotonic() + 20
        while version not in seen and time.monotonic() < end:
            time.sleep(0.01)

    with ThreadPoolExecutor(12) as threads:
        clients = [threads.submit(ask, number) for number in range(12)]
        for step in range(1, 9):
            wait_for(f"v{step - 1}")
            replaced.append(weakref.ref(service.served.models))
            source.next = ValueError("damaged")
            client.portal.call(service.refresh)  # type: ignore[union-attr]
            source.next = Served(Slow(f"v{step}"), None)
            client.portal.call(service.refresh)  # type: ignore[union-attr]
            swapped[f"v{step}"] = time.monotonic()
        wait_for("v8")
        over.set()
        answers = [answer for one in clients for answer in one.result()]
    assert {version for version, _ in answers} == {f"v{step}" for step in range(9)}
    for version, began in answers:  # who asked after a newer run took over has its answer
        assert all(began < at for newer, at in swapped.items() if newer > version)
    gc.collect()
    assert [old() for old in replaced] == [None] * 8


@pytest.fixture
def own_run(written_run: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(written_run, folder)
    return folder


def source_of(folder: Path) -> "RunSource":
    from rlopt.config import GenerateConfig, ServeConfig
    from rlopt.run import Run
    from rlopt.stages.serve.service import RunSource

    return RunSource(Run.open(folder), ServeConfig(policy="sft"), GenerateConfig(policy="sft"))


def finish(folder: Path, stage: str, when: str) -> None:
    """Make a stage one that ended then."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["stages"][stage]["finished"] = when
    path.write_text(json.dumps(content), encoding="utf-8")


def test_the_old_run_is_let_go_and_a_damaged_one_changes_nothing(own_run: Path) -> None:
    from reward.errors import ModelError

    source = source_of(own_run)
    served = source.first()
    asked = ScoreRequest.model_validate(titles("A red shirt", "Shirt, red"))
    before = served.models.score([asked])[0]
    weights = own_run / "reward" / "click-0.npz"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    finish(own_run, "fit-reward", "2030-01-01T00:00:00+00:00")
    for _ in range(2):  # it is tried again, until somebody mends it
        with pytest.raises(ModelError):
            source.newer(served)
    assert served.models.score([asked])[0] == before
    weights.write_bytes(whole)
    for year in (2031, 2032):
        newer = source.newer(served)
        assert newer is not None
        old = weakref.ref(served.models)
        served = newer
        del newer
        gc.collect()
        assert old() is None
        assert served.models.score([asked])[0]["items"] == before["items"]
        finish(own_run, "fit-reward", f"{year}-01-01T00:00:00+00:00")


def test_a_run_that_was_fitted_anew_is_seen_and_one_under_way_is_not(own_run: Path) -> None:
    source = source_of(own_run)
    first = source.first()
    assert source.newer(first) is None
    manifest = own_run / "manifest.json"
    before = manifest.read_text(encoding="utf-8")
    without = json.loads(before)
    without["stages"].pop("sft")
    manifest.write_text(json.dumps(without), encoding="utf-8")
    assert source.newer(first) is None  # the policy is being trained: what is served stays whole
    manifest.write_text(before, encoding="utf-8")
    finish(own_run, "sft", "2030-01-01T00:00:00+00:00")
    newer = source.newer(first)
    assert newer is not None
    assert newer.models.version != first.models.version
    assert newer.models.cannot_generate == ""
    assert source.newer(newer) is None
