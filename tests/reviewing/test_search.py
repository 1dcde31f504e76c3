"""Search finds what the texts hold, by the index as by reading, and the queue stands where the events say."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sqlalchemy import select, text

from rlopt.reviewing import search
from rlopt.reviewing.audit import Decision, events_of, record
from rlopt.reviewing.database import opened
from rlopt.reviewing.proposals import add
from rlopt.reviewing.queue import SHOWN_STATES, Filters, counts, page
from rlopt.reviewing.tables import PROPOSALS, QUEUE
from tests.reviewing.shop import proposal

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

TITLES = (
    "Red cotton shirt", 'A 5" screen', "100% silk", "snake_case", "it's fine", "STRASSE straße", "真丝连衣裙 夏季",
    "连衣裙", "丝真", "真真丝", "*?[x]", "back\\slash", "🧵 thread", "naïve", "a", "AND OR NOT",
)  # fmt: skip
INDEXES = {"sqlite": ["rlopt_search"], "postgresql": ["rlopt_pairs", "rlopt_proposals_search"]}
WANTED = (
    "shirt", "COTTON SHIRT", '5"', '"', "100%", "0% s", "%", "_", "e_c", "it's", "strasse", "真丝", "真", "丝连",
    "丝真丝", "连衣裙 夏", "*?[", "k\\s", "🧵", "🧵 t", "ïve", "ï", "丝连衣裙 夏季",
    "aï", "夏季\n", "a", "and or", "i0003", "red", "old red shirt 1",
    "nowhere", "shop.example/7",
)  # fmt: skip


def fill(engine: "Engine") -> None:
    rows = [proposal(k, title=title, facts={"note": (f"https://shop.example/{k}",)}) for k, title in enumerate(TITLES)]
    add(engine, rows, seed=0, second_opinions=0.4)


def numbers(connection: "Connection", wanted: str) -> list[int]:
    return [row.id for row in page(connection, Filters(text=wanted), "Ann", size=100).rows]


@pytest.mark.parametrize("many", [500, 2])
def test_what_is_found_is_what_the_texts_hold(engine: "Engine", monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    fill(engine)
    monkeypatch.setattr(search, "MANY", many)  # beyond it the texts are read
    with engine.connect() as connection:
        for index in INDEXES[connection.dialect.name]:
            assert search.is_there(connection, index)
        texts = {row.id: row.search for row in connection.execute(select(PROPOSALS.c.id, PROPOSALS.c.search))}
        for wanted in WANTED:
            assert numbers(connection, wanted) == [k for k, told in texts.items() if wanted.casefold() in told], wanted


def test_the_index_knows_chinese_words_of_two_characters(engine: "Engine") -> None:
    fill(engine)
    with engine.connect() as connection:

        def by_index(wanted: str) -> list[int]:
            conditions = search.named(connection, wanted)
            assert conditions, wanted
            query = select(PROPOSALS.c.id).where(*conditions).order_by(PROPOSALS.c.id)
            return list(connection.execute(query).scalars())

        assert by_index("真丝") == [7, 10]
        assert by_index("连衣裙") == [7, 8]
        assert by_index("裙 夏") == [7]
        assert by_index("丝真") == [9]
        assert search.found(connection, "真") == [7, 9, 10]
        assert search.found(connection, "a") == list(range(1, len(TITLES) + 1))


def newest_states(connection: "Connection") -> dict[int, str]:
    """Proposal -> its state, by its events alone."""
    every = list(connection.execute(select(PROPOSALS.c.id).order_by(PROPOSALS.c.id)).scalars())
    events = events_of(connection, every)
    return {number: events[number][-1].state if number in events else "open" for number in every}


def test_the_queue_stands_where_the_events_say_and_is_made_of_them_anew(engine: "Engine", place: str) -> None:
    fill(engine)
    rng = np.random.default_rng(0)
    for step in range(60):
        number, who = int(rng.integers(1, 13)), str(rng.choice(["Ann", "Bob", "Cem"]))
        with engine.connect() as connection:
            mine = [event for event in events_of(connection, [number]).get(number, ()) if event.reviewer == who]
            seen = len(events_of(connection, [number]).get(number, ()))
        undoable = sum(1 if event.action != "undo" else -1 for event in mine) > 0
        action = str(rng.choice(["accept", "edit", "reject", "skip", *(["undo"] if undoable else [])]))
        record(engine, who, Decision(number, action, seen, f"n{step}", f"Mine {step % 2}", "other"))  # type: ignore[arg-type]

    def shown(engine: "Engine") -> dict[str, Sequence[int]]:
        with engine.connect() as connection:
            queued = {row.proposal: row.state for row in connection.execute(select(QUEUE))}
            assert queued == newest_states(connection)
            assert sum(counts(connection).values()) == len(TITLES)
            found = {
                state: [row.id for row in page(connection, Filters(state), "Ann", size=99).rows]
                for state in SHOWN_STATES
            }
            return found | {"真丝": numbers(connection, "真丝")}

    before = shown(engine)
    assert min(len(before[state]) for state in ("open", "skipped", "accepted", "rejected")) > 0
    with engine.begin() as connection:  # as reviews were before there was a queue
        connection.execute(text("DROP TABLE rlopt_queue"))
        for index in INDEXES[engine.dialect.name]:
            kind = "INDEX" if index == "rlopt_proposals_search" else "TABLE"
            connection.execute(text(f"DROP {kind} {index}"))
    with opened(place) as again:
        assert shown(again) == before
