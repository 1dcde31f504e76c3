"""A service over models that are none, and a run with a policy."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from rlopt.config import ServeConfig
from rlopt.run import Run
from rlopt.serving.app import Service, make_app
from rlopt.serving.assignment_log import AssignmentLog
from rlopt.serving.assignments import Assigner
from rlopt.serving.backend import Served
from rlopt.serving.requests import GenerateRequest, ScoreRequest


@dataclass
class Lengths:
    """Scores a title by its length; one called "wait" until it is let go, one called "break" not at all."""

    version: str = "v1"
    policy: str = "none"
    cannot_generate: str = ""
    batches: list[int] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, Any]]:
        self.batches.append(len(requests))
        titles = [title for request in requests for item in request.items for title in item.titles]
        if "wait" in titles:
            self.begun.set()
            assert self.go.wait(20)
        if "break" in titles:
            raise ValueError("broken \x1b[31m title")
        return [{"version": self.version, "lengths": [[len(t) for t in i.titles] for i in r.items]} for r in requests]

    def generate(self, request: GenerateRequest) -> dict[str, Any]:
        return {"version": self.version, "items": [item.item_id for item in request.items]}


@dataclass
class Still:
    """A source of what it is told to have."""

    next: "Served | Exception | None" = None

    def newer(self, old: Served) -> Served | None:
        if isinstance(self.next, Exception):
            raise self.next
        return self.next


Start = Callable[..., tuple[TestClient, Service]]


@pytest.fixture
def start() -> Iterator[Start]:
    """``start(models, assigner, log=, token=, timeout=...)``: a client of a running service, and the service."""
    with ExitStack() as stack:

        def begin(
            models: Any = None,
            assigner: Assigner | None = None,
            *,
            log: AssignmentLog | None = None,
            token: str | None = None,
            source: Any = None,
            **settings: Any,
        ) -> tuple[TestClient, Service]:
            config = ServeConfig(**{"reload_every": 0, **settings})
            service = Service(config, Served(models or Lengths(), assigner), source or Still(), log, token)
            client = TestClient(make_app(service), raise_server_exceptions=False)  # type: ignore[arg-type]
            return stack.enter_context(client), service

        yield begin


def titles(*texts: str, item_id: str = "a") -> dict[str, Any]:
    """The body of a request to score."""
    return {"items": [{"item_id": item_id, "titles": list(texts)}]}


@pytest.fixture(scope="session")
def written_run(fitted_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a policy that was trained for a moment."""
    from rlopt.config import SftConfig
    from rlopt.stages.sft.stage import train_sft

    folder = tmp_path_factory.mktemp("served") / "run"
    shutil.copytree(fitted_run, folder)
    train_sft(Run.open(folder), SftConfig(steps=40, batch_size=32))
    return folder


def rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a log."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n") or not text
    return [json.loads(line) for line in text.splitlines()]
