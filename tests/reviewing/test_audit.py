"""Decisions: kept once, in order, never changed; what holds now follows from them."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from rlopt.reviewing import audit
from rlopt.reviewing.audit import ConflictError, Decision, accept_all, record, undo_batch
from rlopt.reviewing.database import ReviewError, opened
from rlopt.reviewing.decided import Reviews
from rlopt.reviewing.proposals import add
from rlopt.reviewing.queue import Filters, counts, page
from rlopt.reviewing.summary import agreement
from rlopt.reviewing.tables import EVENTS
from tests.reviewing.shop import proposal

if TYPE_CHECKING:
    from sqlalchemy import Engine


def decide(engine: "Engine", who: str, number: int, action: str, **values: object) -> str:
    """Decide on proposal ``number`` with everything seen."""
    with engine.connect() as connection:
        seen = len(audit.events_of(connection, [number]).get(number, []))
    given = {"seen": seen, "nonce": os.urandom(8).hex(), "reason": "other" if action == "reject" else None}
    return record(engine, who, Decision(number, action, **{**given, **values}))  # type: ignore[arg-type]


def fill(engine: "Engine", n: int, second_opinions: float = 0.0) -> None:
    assert add(engine, [proposal(k) for k in range(n)], seed=0, second_opinions=second_opinions) == n


def events(engine: "Engine") -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(EVENTS)).scalar_one())


def test_a_proposal_is_there_once_whatever_is_loaded_again(engine: "Engine") -> None:
    fill(engine, 3)
    assert add(engine, [proposal(1), proposal(7)], seed=0, second_opinions=0.0) == 1


def test_what_was_decided_is_what_comes_out(engine: "Engine", place: str) -> None:
    fill(engine, 5)
    assert decide(engine, "Ann", 1, "accept") == "accepted"
    assert decide(engine, "Ann", 2, "edit", title="Red shirt, better") == "edited"
    assert decide(engine, "Bob", 3, "reject", reason="misleading", phrase="red") == "rejected"
    assert decide(engine, "Bob", 4, "skip") == "open"
    assert decide(engine, "Bob", 1, "skip") == "accepted"  # skipping takes nothing from Ann
    found = Reviews.read(place)
    assert [(one.item_id, one.title, one.edited) for one in found.approved] == [
        ("i0000", "New red shirt 0", False),
        ("i0001", "Red shirt, better", True),
    ]
    assert found.refuses("i0002", "2 shirt red NEW")
    assert found.refuses("i0001", "New red shirt 1")  # a person put a better one in its place
    assert not found.refuses("i0000", "New red shirt 2")
    assert found.phrases == ("red",)
    with engine.connect() as connection:
        assert counts(connection) == {
            "open": 2, "second": 0, "disputed": 0, "accepted": 1, "edited": 1, "rejected": 1,
        }  # fmt: skip
        assert [row.id for row in page(connection, Filters(), "Bob").rows] == [5]
        assert [row.id for row in page(connection, Filters("skipped"), "Bob").rows] == [4]
        assert [row.id for row in page(connection, Filters(), "Ann").rows] == [4, 5]


def test_undo_goes_back_one_step_at_a_time(engine: "Engine") -> None:
    fill(engine, 1)
    decide(engine, "Ann", 1, "accept")
    decide(engine, "Ann", 1, "edit", title="Better")
    assert decide(engine, "Ann", 1, "undo") == "accepted"
    assert decide(engine, "Ann", 1, "undo") == "open"
    with pytest.raises(ReviewError, match="nothing of yours"):
        decide(engine, "Ann", 1, "undo")
    decide(engine, "Bob", 1, "reject")
    decide(engine, "Ann", 1, "accept")
    assert decide(engine, "Ann", 1, "undo") == "rejected"  # Bob's word stands
    assert events(engine) == 7


def test_a_form_sent_twice_counts_once(engine: "Engine") -> None:
    fill(engine, 1)
    decision = Decision(1, "accept", 0, "nonce-accept")
    assert record(engine, "Ann", decision) == record(engine, "Ann", decision) == "accepted"
    assert events(engine) == 1


def test_who_comes_second_is_told(engine: "Engine") -> None:
    fill(engine, 1)
    record(engine, "Ann", Decision(1, "accept", 0, "a"))
    with pytest.raises(ConflictError, match="Ann decided"):
        record(engine, "Bob", Decision(1, "reject", 0, "b", reason="other"))
    assert events(engine) == 1
    assert record(engine, "Bob", Decision(1, "reject", 1, "c", reason="other")) == "rejected"  # having seen it


def test_two_readers_agree_or_are_disputed_and_a_last_word_settles_it(engine: "Engine") -> None:
    fill(engine, 2, second_opinions=1.0)
    assert decide(engine, "Ann", 1, "accept") == "second"
    assert decide(engine, "Bob", 1, "accept") == "accepted"
    record(engine, "Ann", Decision(2, "accept", 0, "x"))
    assert record(engine, "Bob", Decision(2, "reject", 0, "y", reason="other")) == "disputed"  # neither saw the other
    with engine.connect() as connection:
        found = agreement(connection)
    assert found is not None
    assert (found.alike, found.n) == (1, 2)
    assert decide(engine, "Cem", 2, "edit", title="Fine", final=True) == "edited"


@pytest.mark.parametrize("statement", ["UPDATE rlopt_events SET reviewer = 'Bob'", "DELETE FROM rlopt_events"])
def test_the_audit_refuses_to_be_changed(engine: "Engine", statement: str) -> None:
    fill(engine, 1)
    decide(engine, "Ann", 1, "accept")
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))


def test_bulk_accept_takes_the_undecided_and_goes_back_as_one(engine: "Engine") -> None:
    fill(engine, 6)
    decide(engine, "Bob", 2, "reject")
    assert accept_all(engine, "Ann", [1, 2, 3, 4], "b1") == 3
    assert accept_all(engine, "Ann", [1, 2, 3, 4], "b1") == 3  # sent again
    decide(engine, "Bob", 3, "reject")
    assert undo_batch(engine, "Ann", "b1", "u1") == 2  # not what Bob decided anew
    assert undo_batch(engine, "Ann", "b1", "u1") == 0
    with engine.connect() as connection:
        assert counts(connection)["rejected"] == 2
        assert counts(connection)["open"] == 4


def test_two_reviewers_at_once_lose_and_double_nothing(engine: "Engine") -> None:
    fill(engine, 40)

    def work(who: str) -> list[int]:
        won = []
        for number in range(1, 41):
            try:
                record(engine, who, Decision(number, "accept", 0, f"{who}-{number}"))
            except ConflictError:
                continue
            won.append(number)
        return won

    with ThreadPoolExecutor(2) as pool:
        ann, bob = pool.map(work, ("Ann", "Bob"))
    assert sorted([*ann, *bob]) == list(range(1, 41))
    assert events(engine) == 40


WORKER = """
import sys
from rlopt.reviewing.audit import ConflictError, Decision, record
from rlopt.reviewing.database import opened
with opened(sys.argv[1]) as engine:
    for number in range(1, 400):
        try:
            record(engine, sys.argv[2], Decision(number, "accept", 0, f"{sys.argv[2]}-{number}"))
        except ConflictError:
            continue
        print(number, flush=True)  # told to the reviewer: it must be there
"""


def test_a_kill_in_between_loses_no_decision_that_was_told(place: str, root: Path, tmp_path: Path) -> None:
    with opened(place, create=True) as engine:
        fill(engine, 400)
        outputs = [tmp_path / name for name in ("Ann", "Bob")]
        workers = []
        for output in outputs:
            with output.open("w") as file:
                call = [sys.executable, "-c", WORKER, place, output.name]
                workers.append(subprocess.Popen(call, cwd=root, stdout=file))
        deadline = time.monotonic() + 60
        while sum(len(output.read_text().split()) for output in outputs) < 60 and time.monotonic() < deadline:
            time.sleep(0.02)
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        told = {(output.name, int(number)) for output in outputs for number in output.read_text().split("\n")[:-1]}
        with engine.connect() as connection:
            kept = [tuple(row) for row in connection.execute(select(EVENTS.c.reviewer, EVENTS.c.proposal))]
        assert len(told) >= 60
        assert told <= set(kept)
        assert len(kept) == len({number for _, number in kept})  # none twice
        assert len(kept) <= len(told) + 2  # at most one each that was kept and not told yet
        for who, number in told:  # both send again what they had sent
            assert record(engine, who, Decision(number, "accept", 0, f"{who}-{number}")) == "accepted"
        assert events(engine) == len(kept)
