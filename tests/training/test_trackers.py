"""Trackers: what is wrong is told before training, and what they write is still there after it."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from rlopt.errors import PolicyError
from rlopt.training.sft import fine_tune
from rlopt.training.trackers import TRACKERS, check_trackers, kept_in
from tests.training.test_sft import PAIRS, fresh_policy, settings


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    for name in ("MLFLOW_TRACKING_URI", "WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


class Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(401)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Refusing) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PolicyError, match=f"pip install {name}"):
        check_trackers((name,))


@pytest.mark.usefixtures("installed")
def test_a_server_that_does_not_answer_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(PolicyError, match=r"the server 127\.0\.0\.1:9 does not answer .* unset") as caught:
        check_trackers(("mlflow",))
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)  # one that asks who is there is there
    assert check_trackers(("mlflow",)) == ["mlflow"]


@pytest.mark.usefixtures("installed")
def test_wandb_wants_to_know_who_or_to_be_offline(monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(PolicyError, match="WANDB_MODE=offline"):
        check_trackers(("wandb",))
    monkeypatch.setenv("WANDB_API_KEY", "key")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(PolicyError, match="does not answer"):
        check_trackers(("wandb",))
    monkeypatch.setenv("WANDB_BASE_URL", server)
    check_trackers(("wandb",))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    check_trackers(("wandb",))


def test_what_the_user_set_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "mine")
    monkeypatch.delenv("WANDB_DIR", raising=False)
    with kept_in(tmp_path, "ppo", TRACKERS):
        assert os.environ["TENSORBOARD_LOGGING_DIR"] == "mine"
        assert os.environ["WANDB_DIR"] == str(tmp_path)
    assert os.environ["TENSORBOARD_LOGGING_DIR"] == "mine"
    assert "WANDB_DIR" not in os.environ


def test_tensorboard_keeps_its_events_beside_the_metrics(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with kept_in(tmp_path / "metrics", "sft", ("tensorboard",)):
        fine_tune(fresh_policy(), PAIRS, settings(steps=2, report_to=("tensorboard",)), tmp_path / "checkpoints")
    (events,) = (tmp_path / "metrics" / "tensorboard" / "sft").glob("events.*")
    assert not list((tmp_path / "checkpoints").rglob("events.*"))  # which goes with the stage
    found = EventAccumulator(str(events))
    found.Reload()
    assert [event.step for event in found.Scalars("train/loss")] == [1, 2]


def test_mlflow_keeps_its_runs_beside_the_metrics(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")

    with kept_in(tmp_path / "metrics", "sft", ("mlflow",)):
        fine_tune(fresh_policy(), PAIRS, settings(steps=2, report_to=("mlflow",)), tmp_path / "checkpoints")
        client = mlflow.tracking.MlflowClient(tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("rlopt")
    (run,) = client.search_runs([experiment.experiment_id])
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")] == [1, 2]
    assert (tmp_path / "metrics" / "mlflow").is_dir()
