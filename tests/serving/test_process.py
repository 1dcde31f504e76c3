"""``rlopt serve`` as a process: one line where it cannot start, and an end without a lost request."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from reward.model.reward_model import RewardModel
from rlopt.config.serving import TOKEN
from rlopt.stages.serve import stage
from tests.conftest import Outcome
from tests.serving.conftest import rows

Rlopt = Callable[..., Outcome]


def test_what_cannot_start_says_so_in_one_line(
    rlopt: Rlopt, fitted_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "t.csv"
    table.write_text("item_id,title,probability\na,x,0.5\na,y,0.5\n", encoding="utf-8")
    monkeypatch.setattr(RewardModel, "load", lambda *_, **__: pytest.fail("that takes long: refuse before it"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for arguments, complaint in (
            (["--port", port], f"Cannot listen on 127.0.0.1, port {port}"),
            (["--host", "0.0.0.0"], f"there is no token. Set {TOKEN}"),  # noqa: S104  refused
            (["--titles", table], "add --assignment-log FILE"),
            (["--plan", table], "needs --titles FILE"),
            (["--titles", tmp_path / "none.csv"], f"Cannot read {tmp_path / 'none.csv'}: no such file"),
            (["--assignment-log", tmp_path / "none" / "seen.jsonl"], "No such file or directory"),
            (["--policy", tmp_path / "none"], "--policy must be one of"),
        ):
            port_free = [] if "--port" in arguments else ["--port", 0]
            outcome = rlopt("serve", "--run", fitted_run, *arguments, *port_free)
            assert outcome.code == 1
            assert re.fullmatch(r"Error: [^\n]*\n", outcome.err.splitlines(keepends=True)[-1])
            assert complaint in outcome.err
    monkeypatch.setenv(TOKEN, "short")
    assert "16 or more" in rlopt("serve", "--run", fitted_run).err
    monkeypatch.delenv(TOKEN)
    monkeypatch.setattr(stage, "PACKAGES", ("fastapi", "no_such_package"))
    assert "rlopt serve needs the package no_such_package: pip install 'rlopt[serve]'" in (
        rlopt("serve", "--run", fitted_run).err
    )


def ask(port: int, path: str, body: object = None) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    address, kind = f"http://127.0.0.1:{port}{path}", {"content-type": "application/json"}
    request = urllib.request.Request(address, data, kind)
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  our own service
        return answer.status, answer.read()


def test_a_service_ends_in_peace(written_run: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("item_id,title,probability\na,x,0.5\na,y,0.5\n", encoding="utf-8")
    log = tmp_path / "seen.jsonl"
    command = [sys.executable, "-m", "rlopt", "serve", "--run", written_run, "--policy", "sft", "--port", "0"]
    command += ["--titles", table, "--assignment-log", log, "--json"]
    environment = {key: value for key, value in os.environ.items() if key != TOKEN}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command[command.index("--port") + 1] = str(port)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)) and process.poll() is None:
            pass
        assert ask(port, "/v1/titles/a?unit=u%1b%0Ad")[0] == 200
        answers: list[int] = []
        body = {"items": [{"item_id": f"i{n}", "fields": {"brand": "Acme"}} for n in range(8)], "best_of": 8}
        asked = threading.Thread(target=lambda: answers.append(ask(port, "/v1/generate", body)[0]))
        asked.start()
        while b"rlopt_batch_requests_count 1.0" not in ask(port, "/metrics")[1]:
            assert asked.is_alive()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        asked.join()
    finally:
        process.kill()
    assert answers == [200]  # it was under way when the end came
    assert process.returncode == 0
    assert json.loads(out)["port"] == port
    assert b"Traceback" not in err
    assert [row["unit"] for row in rows(log)] == ["u\x1b\nd"]
