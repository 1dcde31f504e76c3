"""The log of assignments: whole lines, whatever happens, and the same as what was answered."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest
from scipy import stats

from rlopt.errors import RunError
from rlopt.serving.assignment_log import AssignmentLog
from rlopt.serving.assignments import Row, TableAssigner
from tests.serving.conftest import Start, rows

WRITER = """
import sys
from pathlib import Path
from rlopt.serving.assignment_log import AssignmentLog
log = AssignmentLog(Path(sys.argv[1]), int(sys.argv[2]))
print("ready", flush=True)
number = 0
while number < int(sys.argv[4]):
    log.write({"writer": sys.argv[3], "number": number, "title": "x" * (number % 500)})
    number += 1
"""


def writer(path: Path, name: str, lines: int, rotate_at: int = 1 << 30) -> "subprocess.Popen[str]":
    """A process that writes lines, and has begun."""
    command = [sys.executable, "-c", WRITER, str(path), str(rotate_at), name, str(lines)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_answers_and_log_agree(start: Start, tmp_path: Path) -> None:
    table = TableAssigner([Row("a b/ü", "x", 0.25), Row("a b/ü", "y", 0.75)], 0, "v7")
    path = tmp_path / "seen.jsonl"
    client, _ = start(assigner=table, log=AssignmentLog(path, 1 << 20))
    answers = [client.get(f"/v1/titles/{quote('a b/ü', safe='')}", params={"unit": f"u\x1b{i}"}) for i in range(300)]
    assert {answer.status_code for answer in answers} == {200}
    logged = rows(path)
    assert [{k: v for k, v in row.items() if k != "time"} for row in logged] == [answer.json() for answer in answers]
    assert {row["table"] for row in logged} == {"v7"}
    counts = Counter(row["title"] for row in logged)
    assert stats.binomtest(counts["x"], 300, 0.25).pvalue > 0.001
    assert "\x1b" not in path.read_text(encoding="utf-8")
    assert client.get(f"/v1/titles/{quote('a b/ü', safe='')}").status_code == 422
    assert client.get("/v1/titles/nothing?unit=u").status_code == 404
    assert len(rows(path)) == 300


def test_what_cannot_be_logged_is_not_handed_out(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "seen.jsonl"
    client, _ = start(assigner=TableAssigner([Row("a", "x")], 0, "v"), log=AssignmentLog(path, 1 << 20))
    assert client.get("/v1/titles/a?unit=u").status_code == 200
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:10]))  # a disk that is full in the midst
    assert client.get("/v1/titles/a?unit=u").status_code == 503
    monkeypatch.undo()
    assert len(rows(path)) == 1
    assert client.get("/v1/titles/a?unit=u").status_code == 200
    assert len(rows(path)) == 2


def test_a_half_line_is_cut_off_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "seen.jsonl"
    path.write_text('{"n": 1}\n{"n": 2, "ti', encoding="utf-8")
    log = AssignmentLog(path, 1 << 20)
    assert rows(path) == [{"n": 1}]
    with path.open("a", encoding="utf-8") as file:  # another process was killed meanwhile
        file.write('{"half')
    log.write({"n": 3})
    assert rows(path) == [{"n": 1}, {"n": 3}]


def test_a_writer_that_is_killed_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "seen.jsonl"
    for number in range(3):
        process = writer(path, str(number), 10**9)
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    AssignmentLog(path, 1 << 30).close()
    found = rows(path)
    for number in range(3):
        own = [row["number"] for row in found if row["writer"] == str(number)]
        assert own
        assert own == list(range(len(own)))


def test_processes_write_and_rotate_at_once_without_losing_a_line(tmp_path: Path) -> None:
    path = tmp_path / "seen.jsonl"
    processes = [writer(path, str(number), 400, rotate_at=30_000) for number in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    files = sorted(tmp_path.iterdir())
    assert len(files) > 5
    assert max(file.stat().st_size for file in files) <= 30_000
    found = Counter((row["writer"], row["number"]) for file in files for row in rows(file))
    assert found == {(str(name), number): 1 for name in range(3) for number in range(400)}


def test_a_log_in_a_run_behind_a_link_or_of_another_kind_is_refused(tmp_path: Path, fitted_run: Path) -> None:
    with pytest.raises(RunError, match="lies in the run directory"):
        AssignmentLog(fitted_run / "seen.jsonl", 1 << 20)
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="links are not followed"):
        AssignmentLog(tmp_path / "link.jsonl", 1 << 20)
    (tmp_path / "picture").write_bytes(b"\0" * 100_000)
    with pytest.raises(RunError, match="no log of assignments"):
        AssignmentLog(tmp_path / "picture", 1 << 20)


def test_a_line_is_json_with_every_control_spelt_out(tmp_path: Path) -> None:
    path = tmp_path / "seen.jsonl"
    row = {"unit": "\x1b[31m\u202e\u2028\x85", "title": "汉字 \U0001f600"}
    AssignmentLog(path, 1 << 20).write(row)
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) == 1
    assert json.loads(text) == row
    assert "汉字" in text
