"""What the page of progress counts in the database is what a plain count of events and ratings says."""

from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import insert, select

from rlopt.reviewing import audit
from rlopt.reviewing.audit import Decision, record
from rlopt.reviewing.proposals import add
from rlopt.reviewing.ratings import rated
from rlopt.reviewing.states import FIRM
from rlopt.reviewing.summary import agreement, summary
from rlopt.reviewing.tables import EVENTS, PROPOSALS, RATINGS
from tests.reviewing.shop import proposal

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

PEOPLE = ("Ann", "Bob", "Cem")


def agreement_by_hand(connection: "Connection") -> tuple[int, int]:
    """(titles that two people decided on, those alike), from the opinions that every history adds up to."""
    two = list(connection.execute(select(PROPOSALS.c.id).where(PROPOSALS.c.two)).scalars())
    alike = []
    for history in audit.events_of(connection, two).values():
        opinions = [audit.opinion_of(history, name) for name in dict.fromkeys(event.reviewer for event in history)]
        firm = [one for one in opinions if one.opinion in FIRM and not one.final][:2]
        if len(firm) == 2:
            alike.append(firm[0].title == firm[1].title)
    return len(alike), sum(alike)


def test_agreement_is_that_of_the_opinions_that_stand(engine: "Engine") -> None:
    add(engine, [proposal(k) for k in range(8)], seed=0, second_opinions=0.7)
    rng = np.random.default_rng(1)
    seen_shares = set()
    with engine.connect() as connection:
        assert agreement(connection) is None
    for step in range(90):
        number, who = int(rng.integers(1, 9)), str(rng.choice(PEOPLE))
        with engine.connect() as connection:
            history = audit.events_of(connection, [number]).get(number, [])
        undoable = sum(1 if event.action != "undo" else -1 for event in history if event.reviewer == who) > 0
        action = str(rng.choice(["accept", "edit", "reject", "skip", *(["undo", "undo"] if undoable else [])]))
        final = bool(rng.random() < 0.1)
        title = f"Mine {rng.integers(2)}"
        record(engine, who, Decision(number, action, len(history), f"n{step}", title, "other", final=final))  # type: ignore[arg-type]
        with engine.connect() as connection:
            found, plain = agreement(connection), agreement_by_hand(connection)
        assert (found is None and plain[0] == 0) or (found is not None and (found.n, found.alike) == plain)
        seen_shares.add(plain)
    assert len(seen_shares) > 8
    with engine.connect() as connection:
        done = connection.execute(select(EVENTS.c.reviewer)).scalars().all()
        assert {name: n for name, n, _ in summary(connection).reviewers} == {p: done.count(p) for p in PEOPLE}


def test_ratings_counted_alike_are_those_that_people_gave(engine: "Engine") -> None:
    add(engine, [proposal(k) for k in range(40)], seed=0, second_opinions=0.0)
    rng = np.random.default_rng(2)
    rows, by_hand = [], {}
    for number in rng.permutation(np.arange(1, 41)):
        for name in PEOPLE[: rng.integers(0, 4)]:
            for question in ("unpleasant", "misleading"):
                answer = bool(rng.random() < 0.4)
                by_hand.setdefault(question, {}).setdefault(int(number), []).append(answer)
                rows.append({
                    "proposal": int(number), "nonce": f"{number}-{name}", "at": "", "reviewer": name,
                    "question": question, "answer": answer,
                })  # fmt: skip
    with engine.begin() as connection:
        assert rated(connection) == {}
        connection.execute(insert(RATINGS), rows)
        (source,) = set(connection.execute(select(PROPOSALS.c.source)).scalars())
        for found in (rated(connection), rated(connection, source)):
            assert list(found) == ["unpleasant", "misleading"]  # as they were first asked
            for question, titles in by_hand.items():

                def told(answers: object) -> list[tuple[int, int, int]]:
                    return sorted((len(a), sum(a), sum(a[:2])) for a in answers)  # type: ignore[attr-defined]

                assert told(found[question]) == told(titles.values())
        assert rated(connection, "of another policy") == {}
