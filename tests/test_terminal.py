"""Foreign text (titles, ids, names of columns and files) never acts on a terminal or forges a line of a log."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlopt import progress
from rlopt.cli import show as rendering
from rlopt.wording import one_line, safe_json, some_lines
from tests.conftest import Outcome

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u2066\r\nError: forged\u2028\x00\udc9b"
ACTS = ("\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\r", "\u2028", "\x00", "\x7f", "\udc9b")


def harmless(text: str) -> bool:
    return not any(c in text for c in ACTS) and "\nError: forged" not in text


def test_what_a_terminal_acts_on_is_spelt_out() -> None:
    shown = one_line(EVIL)
    assert harmless(shown)
    assert "\n" not in shown
    assert r"\x1b]0;owned\x07" in shown
    assert r"\u202egnp.exe" in shown
    assert one_line("Größe 10 €, 红色 👩‍👩‍👧 é") == "Größe 10 €, 红色 👩‍👩‍👧 é"
    assert some_lines("a\nb\x1b") == "a\nb\\x1b"


@given(st.text(st.characters(codec=None)))
def test_no_control_or_direction_survives_and_json_says_the_same(text: str) -> None:
    shown = one_line(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert not any(
        unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI") for c in shown
    )
    told = safe_json(json.dumps({"a": text}, ensure_ascii=False))
    assert json.loads(told) == {"a": text}
    told.encode("utf-8")


def test_notes_bars_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    progress.note(f"Reading {EVIL}")
    with progress.track(f"label {EVIL}", 2) as bar:
        bar.update(2, step=EVIL)
    told = capsys.readouterr().err
    assert harmless(told)
    assert len(told.splitlines()) == 2
    shown = rendering.lines({EVIL: EVIL, "b": {"c": [EVIL, {EVIL: 1.0}]}}) + rendering.table(
        ["a", EVIL], [[EVIL, EVIL]]
    )
    assert harmless(shown)


def test_results_as_text_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    class Result:
        def to_dict(self) -> dict[str, object]:
            return {"title": EVIL, "n": 1}

    for as_json in (False, True):

        @click.command()
        def command() -> None:
            rendering.show(Result())

        session = rendering.Session(json=as_json)
        command.main([], standalone_mode=False, obj=session)
        told = capsys.readouterr().out
        assert harmless(told)
        if as_json:
            assert json.loads(told)["title"] == EVIL


def test_commands_on_logs_full_of_them(tmp_path: Path, rlopt: Callable[..., Outcome]) -> None:
    """Ids, titles, a column and a file that hold them: in errors, in notes, in results."""
    evil = EVIL.replace("\udc9b", "")  # no file holds half a character
    folder = tmp_path / evil.replace("\0", "").replace("\n", "")
    folder.mkdir()
    n = 40
    table = {
        "item_id": [f"{evil}{i}" for i in range(n) for _ in range(3)],
        "title": [f"{style} {evil} {i}" for i in range(n) for style in ("A red", "A big", "The best")],
        "clicks": [i % 7 + 3 for i in range(3 * n)],
        "impressions": [100] * (3 * n),
        evil: list(map(str, range(3 * n))),
        f"colour {evil}": [f"red {evil}"] * (3 * n),
    }
    logs = folder / "logs.parquet"
    pq.write_table(pa.table(table), logs)
    outcomes = [
        rlopt("check-logs", logs),
        rlopt("fit-reward", logs, "--run", tmp_path / "run", "--members", "1"),
        rlopt("explain", f"A red {evil} 1", "--item", f"{evil}1", "--run", tmp_path / "run"),
        rlopt("explain", "x", "--item", f"{evil}nobody", "--run", tmp_path / "run"),
        rlopt("explain", "x", "--item", f"{evil}1", "--run", tmp_path / "run", "--json"),
        rlopt("score", folder / "none.parquet", "-o", tmp_path / "o.parquet", "--run", tmp_path / "run"),
        rlopt("fit-reward", logs, "--columns", f"title={evil}none", "--run", tmp_path / "other"),
        rlopt(evil),
    ]
    assert [outcome.code for outcome in outcomes[:3]] == [0, 0, 0], outcomes
    for outcome in outcomes:
        assert harmless(outcome.out), outcome
        assert harmless(outcome.err), outcome
