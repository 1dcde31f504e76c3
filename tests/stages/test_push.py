"""push: what a hub is sent, by a stand-in that keeps what it gets; refusals in one line, no token in them."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from rlopt.config import EvalConfig
from rlopt.files import to_json
from rlopt.report.cards import policy_card
from rlopt.run import Run
from tests.report.sample import sample_report
from tests.stages.menu import make_arms, make_run


class Hub(ThreadingHTTPServer):
    """Takes a repository and one commit, and keeps both."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repo: dict[str, Any] = {}
        self.there_and_public = False
        self.files: dict[str, bytes] = {}
        self.tokens: set[str] = set()
        self.refuse = False


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.tokens.add(self.headers.get("Authorization", ""))
        where = self.path.split("?")[0]
        if self.server.refuse:
            self.answer({"error": "hf_secret is no valid token"}, 401)
        elif where == "/api/repos/create":
            self.server.repo = json.loads(body)
            self.answer({"url": f"{self.address}/me/titles", "name": "me/titles"})
        elif where == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif where.endswith("/preupload/main"):
            asked = json.loads(body)["files"]
            told = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]
            self.answer({"files": told})
        elif where.endswith("/commit/main"):
            rows = [json.loads(line) for line in body.splitlines()]
            files = [row["value"] for row in rows if row["key"] == "file"]
            self.server.files = {f["path"]: base64.b64decode(f["content"]) for f in files}
            self.answer({"commitUrl": f"{self.address}/me/titles/commit/1", "commitOid": "1" * 40})
        else:
            self.answer({"error": where}, 404)

    def do_GET(self) -> None:
        if self.server.refuse:
            self.answer({"error": "hf_secret is no valid token"}, 401)
            return
        asked = self.server.repo
        private = asked.get("private") is True or asked.get("visibility") == "private"  # newer and older clients
        self.answer({"id": "me/titles", "private": private and not self.server.there_and_public})

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, told: dict[str, Any], code: int = 200) -> None:
        content = json.dumps(told).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{found.server_port}")
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # as all other tests are
        yield found
        found.shutdown()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = make_run(tmp_path / "run", make_arms(9))
    for name in ("ppo", "reward"):
        (made / name).mkdir(exist_ok=True)
    card = policy_card(
        "ppo", base_model=None, parameters=9, n_items=3, figures={"kl": 2.0}, settings={}, versions={}, slots=True
    )
    (made / "ppo" / "README.md").write_text(card, encoding="utf-8")
    (made / "ppo" / "model.safetensors").write_bytes(b"weights")
    (made / "reward" / "arrays.npz").write_bytes(b"trees")
    with made.stage("offline-eval", EvalConfig()), made.replacing("eval") as folder:
        (folder / "report.json").write_text(to_json(sample_report().to_dict()), encoding="utf-8")
    return made


def test_policy_reward_and_card_go_in_one_commit(run: Run, hub: Hub, rlopt: Any) -> None:
    outcome = rlopt("push", run.path, "me/titles", "--license", "apache-2.0", "--language", "en", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["private"] is True
    assert hub.repo.get("private") is True or hub.repo.get("visibility") == "private"  # older and newer clients
    assert hub.files["model.safetensors"] == b"weights"
    assert hub.files["reward/arrays.npz"] == b"trees"
    assert not [name for name in hub.files if "eval" in name or "data" in name]  # no logs
    card = ModelCard(hub.files["README.md"].decode())
    assert (card.data.license, card.data.language) == ("apache-2.0", ["en"])
    measured = {result.metric_type: result.metric_value for result in card.data.eval_results or []}
    assert measured["lift"] == 0.25
    assert measured["violations"] == 0.01
    assert "Evaluated offline on 2026-03-02, on logs of 2026-01-05 to 2026-03-01: Launch" in card.text
    assert "## Limits" in card.text


def test_a_public_repository_that_was_there_is_told_as_public(run: Run, hub: Hub, rlopt: Any) -> None:
    hub.there_and_public = True
    assert rlopt("push", run.path, "me/titles", "--json").json["private"] is False


def test_a_refusal_is_one_line_without_the_token(run: Run, hub: Hub, rlopt: Any) -> None:
    hub.refuse = True
    outcome = rlopt("push", run.path, "me/titles")
    assert outcome.code == 1
    assert "did not take me/titles" in outcome.err
    assert "secret" not in outcome.out + outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_hub_that_is_not_there_and_a_name_that_is_none(
    run: Run, hub: Hub, rlopt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = rlopt("push", run.path, "no/such/name")
    assert outcome.code == 1
    assert "no/such/name" in outcome.err
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    outcome = rlopt("push", run.path, "me/titles")
    assert outcome.code == 1
    assert "does not answer" in outcome.err
