"""Odd characters and numbers in what a browser sends get a plain answer, in SQLite and in PostgreSQL."""

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from rlopt.config import ReviewConfig
from rlopt.reviewing.app import application
from rlopt.reviewing.proposals import add
from rlopt.reviewing.tables import EVENTS, RATINGS
from tests.reviewing.shop import FakeChecks, proposal

if TYPE_CHECKING:
    from sqlalchemy import Engine

ODD = ("\0", "a\0b🧵\u202e", "%_\\'; --", "9" * 30, "²", "x" * 3000, "\ud800")


@pytest.fixture
def client(engine: "Engine") -> TestClient:
    add(engine, [proposal(k) for k in range(3)], seed=0, second_opinions=0.0)
    found = TestClient(
        application(engine, FakeChecks(), ReviewConfig(questions={"rude": ""}), frozenset({"127.0.0.1"})),
        base_url="http://127.0.0.1",
    )
    found.post("/sign-in", data={"csrf": token(found.get("/sign-in").text), "name": "Ann"})
    return found


def token(page: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
    assert found
    return found[1]


@pytest.mark.parametrize("address", ["/queue?q=", "/queue?item=", "/queue?state=", "/queue?chance=", "/queue?after=",
                                     "/queue?after=1,", "/queue?pictures=", "/history?before=", "/bulk?chance=50&q=",
                                     "/bulk?chance=50&item="])  # fmt: skip
def test_odd_addresses_are_answered(client: TestClient, address: str) -> None:
    for odd in ODD:
        answer = client.get(address + quote(odd, errors="surrogatepass"))
        assert answer.status_code in (200, 400), (address, odd)


@pytest.mark.parametrize("name", ["proposal", "seen", "nonce", "title", "reason", "phrase", "batch"])
def test_odd_forms_are_answered_and_leave_nothing(client: TestClient, engine: "Engine", name: str) -> None:
    csrf = token(client.get("/queue").text)
    given = {"csrf": csrf, "proposal": "999", "seen": "0", "nonce": "n", "title": "Fine", "batch": "b"}
    given |= {"question-rude": "yes"}
    for odd in ODD:
        for path, action in (
            ("/decide", "edit"),
            ("/decide", "reject"),
            ("/rate", ""),
            ("/undo-bulk", ""),
        ):
            sent = {**given, "action": action, "reason": "other", name: odd.encode("utf-8", "surrogatepass")}
            answer = client.post(path, data=sent, follow_redirects=False)  # type: ignore[arg-type]
            assert answer.status_code in (303, 400), (path, odd)
            assert answer.status_code == 400 or path == "/undo-bulk", (path, odd)  # there is no proposal 999
    with engine.connect() as connection:
        for table in (EVENTS, RATINGS):
            assert connection.execute(select(func.count()).select_from(table)).scalar() == 0
