"""The pages: what a reviewer sees and sends, and what strangers get."""

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from rlopt.config import ReviewConfig
from rlopt.policy.constraints import RULES
from rlopt.reviewing.app import application
from rlopt.reviewing.database import opened
from rlopt.reviewing.decided import Reviews
from rlopt.reviewing.proposals import add
from rlopt.reviewing.views import words_of
from tests.reviewing.shop import HOSTILE, FakeChecks, proposal

if TYPE_CHECKING:
    from sqlalchemy import Engine

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
ADDRESS = "http://127.0.0.1:8400"


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "reviews.db")


@pytest.fixture
def engine(place: str) -> "Iterator[Engine]":
    with opened(place, create=True) as found:
        yield found


@pytest.fixture
def checks() -> FakeChecks:
    return FakeChecks()


def client_of(engine: "Engine", checks: FakeChecks, token: str | None = None, **settings: Any) -> TestClient:
    config = ReviewConfig(**{"sample": 3, **settings})
    hosts = LOCAL if token is None else frozenset({"reviews.shop.example"})
    return TestClient(application(engine, checks, config, hosts, token), base_url=ADDRESS, follow_redirects=True)


def form_token(page: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
    assert found
    return found[1]


def sign_in(client: TestClient, name: str = "Ann", **more: str) -> str:
    """The first page after signing in."""
    token = form_token(client.get("/sign-in").text)
    answer = client.post("/sign-in", data={"csrf": token, "name": name, **more})
    assert answer.status_code == 200
    return answer.text


def cards(page: str) -> list[str]:
    return re.findall(r"<article.*?</article>", page, re.DOTALL)


def fields(card: str, action: str, **values: str) -> dict[str, str]:
    """Fields that the form of a card sends."""
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', card))
    return {**{name: html.unescape(value) for name, value in hidden.items()}, "action": action, **values}


def test_read_edit_reject_accept_and_undo(engine: "Engine", checks: FakeChecks, place: str) -> None:
    add(engine, [proposal(k) for k in range(4)], seed=0, second_opinions=0.0)
    client = client_of(engine, checks)
    page = sign_in(client)
    assert [re.findall(r"Item (i\d+)", card)[0] for card in cards(page)] == ["i0000", "i0001", "i0002", "i0003"]
    assert "<del>Old</del><ins>New</ins> red shirt 0" in page
    assert "+10.0% clicks" in page
    assert "chance of being better 90%" in page
    page = client.post("/decide", data=fields(cards(page)[0], "accept")).text
    assert "Accepted: <q>New red shirt 0</q>" in page
    page = client.post("/decide", data=fields(cards(page)[0], "edit", title="Red  shirt\u202e one")).text
    page = client.post("/decide", data=fields(cards(page)[0], "reject", reason="off_brand", phrase="cheap")).text
    assert len(cards(page)) == 1
    assert [one.title for one in Reviews.read(place).approved] == ["New red shirt 0", "Red shirt one"]
    undo = re.search(r'<form method="post" action="/decide" class="last".*?</form>', page, re.DOTALL)
    assert undo
    page = client.post("/decide", data=fields(undo[0], "undo")).text
    assert "Taken back" in page
    assert len(cards(page)) == 2
    history = client.get("/history").text
    done = ("Accepted", "Edited", "Rejected", "Taken back")
    assert [history.count(f"<strong>{word}</strong>") for word in done] == [1, 1, 1, 1]


def test_an_edit_that_breaks_a_rule_is_asked_about_once_more(engine: "Engine", checks: FakeChecks, place: str) -> None:
    add(engine, [proposal(0)], seed=0, second_opinions=0.0)
    client = client_of(engine, checks)
    sent = fields(cards(sign_in(client))[0], "edit", title="free shirt")
    answer = client.post("/decide", data=sent)
    assert answer.status_code == 422
    assert "Breaks a rule, unsupported promise: free" in answer.text
    assert not Reviews.read(place).decided
    client.post("/decide", data={**sent, "anyway": "1"})
    assert [one.title for one in Reviews.read(place).approved] == ["free shirt"]


def test_the_live_check_says_what_the_run_says(engine: "Engine", checks: FakeChecks) -> None:
    add(engine, [proposal(0)], seed=0, second_opinions=0.0)
    client = client_of(engine, checks, lang="zh")
    token = form_token(sign_in(client))
    sent = {"proposal": "1", "title": "a free shirt"}
    assert client.post("/check", data=sent).status_code == 403
    found = client.post("/check", data=sent, headers={"x-csrf-token": token}).json()
    assert found["broken"] == [{"kind": "promise", "detail": "free"}]
    assert found["lift"] == pytest.approx(0.3)
    assert found["told"] == [
        "点击 +30.0% （95% 置信区间 +20.0% 至 +40.0%；更好的概率 80%）",
        "违反规则（无依据的承诺）：free",
    ]


def test_hostile_texts_stay_texts(engine: "Engine", checks: FakeChecks) -> None:
    facts = {HOSTILE: (HOSTILE, "javascript:alert(1)//x.png")}
    one = replace(
        proposal(0), item_id=HOSTILE, title=HOSTILE, current_title="x " + HOSTILE, reason=HOSTILE, report=HOSTILE
    )
    add(engine, [replace(one, facts=facts)], seed=0, second_opinions=0.0)
    client = client_of(engine, checks)
    answer = client.get("/queue") if sign_in(client, HOSTILE) else None
    assert answer is not None
    pages = [answer.text, *(client.get(f"/{name}").text for name in ("rate", "bulk?chance=0", "progress", "history"))]
    for page in pages:
        assert "<script>alert" not in page
        assert "\u202e" not in page
        assert "javascript:" not in re.sub(r"<dd>.*?</dd>", "", page)
    assert "&lt;script&gt;" in pages[0]
    assert "{{7*7}}" in html.unescape(pages[0])
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "img-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?! src=\"/static/review.js\")|\son\w+=|style=", pages[0].replace("onload=", ""))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_rule_has_a_name_on_the_pages(lang: str) -> None:
    assert set(RULES) - set(words_of(lang).entries["rules"]) == set()


def test_pictures_are_links_until_they_are_asked_for(engine: "Engine", checks: FakeChecks) -> None:
    add(engine, [proposal(0)], seed=0, second_opinions=0.0)
    client = client_of(engine, checks)
    page = sign_in(client)
    assert "<img" not in page
    assert 'href="https://shop.example/0.jpg" rel="noreferrer noopener"' in page
    answer = client.get("/queue?pictures=1")
    assert '<img src="https://shop.example/0.jpg"' in answer.text
    assert "img-src http: https:" in answer.headers["content-security-policy"]


def test_strangers_get_nothing(engine: "Engine", checks: FakeChecks, place: str) -> None:
    add(engine, [proposal(0)], seed=0, second_opinions=0.0)
    client = client_of(engine, checks)
    sent = fields(cards(sign_in(client))[0], "accept")
    assert client.get("/queue", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/queue", headers={"host": "127.0.0.1.evil.example:8400"}).status_code == 421
    assert client.post("/decide", data={**sent, "csrf": "0" * 64}).status_code == 403
    assert client.post("/decide", data={name: sent[name] for name in sent if name != "csrf"}).status_code == 403
    other = client_of(engine, checks)
    assert "Sign in" in other.get("/queue").text
    sign_in(other, "Bob")
    assert other.post("/decide", data=sent).status_code == 403  # Ann's form
    forged = TestClient(other.app, base_url=ADDRESS, cookies={"rlopt_review": "e30=.00"})
    assert "Sign in" in forged.get("/queue").text
    assert not Reviews.read(place).decided
    assert client.post("/decide", content=b"x" * 70_000).status_code == 413
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e%2fapp.py").status_code == 404
    assert client.post("/decide", data={**sent, "proposal": "99999"}).status_code == 400


def test_another_address_asks_for_the_token(engine: "Engine", checks: FakeChecks) -> None:
    client = client_of(engine, checks, token="a-long-token-of-ours")
    token = form_token(client.get("/sign-in").text)
    answer = client.post("/sign-in", data={"csrf": token, "name": "Ann", "token": "a guess"})
    assert answer.status_code == 403
    assert "Sign in" in client.get("/queue").text
    assert "Nothing to read" in sign_in(client, token="a-long-token-of-ours")
    assert client.get("/sign-in", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/sign-in", headers={"host": "192.0.2.7:8400"}).status_code == 200


def test_paging_filters_and_search(engine: "Engine", checks: FakeChecks) -> None:
    rows = [
        proposal(k, chance=0.5 + k / 100, report="relevance: 0.03, below 0.21" if k == 3 else None) for k in range(25)
    ]
    rows += [proposal(99, title="红色连衣裙 夏季", current_title="连衣裙", value=0.0)]
    add(engine, rows, seed=0, second_opinions=0.0)
    client = client_of(engine, checks)
    page, seen = sign_in(client), []
    while True:
        seen += re.findall(r"<h2>Item (i\d+)</h2>", page)
        following = re.search(r'<a href="([^"]+)" rel="next">', page)
        if not following:
            break
        page = client.get(html.unescape(following[1])).text
    flagged = "i0003"  # a report leaves no doubt
    assert seen == [flagged, *sorted({f"i{k:04d}" for k in range(25)} - {flagged}), "i0099"]

    def found(query: str) -> list[str]:
        return re.findall(r"<h2>Item (i\d+)</h2>", client.get(f"/queue?{query}").text)

    assert found("q=SHIRT 7") == ["i0007"]
    assert found("q=连衣裙") == ["i0099"]
    assert found("q=%25") == []
    assert found("chance=73") == ["i0023", "i0024", "i0099"]
    assert found("flagged=1") == ["i0003"]
    assert len(found("state=nonsense&chance=abc&after=x,y")) == 10


def test_bulk_accept_needs_the_sample_read(engine: "Engine", checks: FakeChecks, place: str) -> None:
    add(engine, [proposal(k, chance=0.99 if k < 8 else 0.6) for k in range(12)], seed=0, second_opinions=0.0)
    client = client_of(engine, checks)
    sign_in(client)
    page = client.get("/bulk?chance=95").text
    sample = re.findall(r'name="(sample-\d+)" value="fine"', page)
    assert len(sample) == 3
    assert "8 titles" in page
    sent = {"csrf": form_token(page), "plan": html.unescape(re.findall(r'name="plan" value="([^"]+)"', page)[0])}
    assert client.post("/bulk", data={**sent, sample[0]: "fine"}).status_code == 400
    fine = dict.fromkeys(sample, "fine")
    assert client.post("/bulk", data={**sent, **fine, sample[1]: "faulty"}).status_code == 409
    assert (
        client.post(
            "/bulk", data={**sent, **fine, "plan": sent["plan"].replace('"chance": 0.95', '"chance": 0.0')}
        ).status_code
        == 400
    )
    assert not Reviews.read(place).decided
    assert "8 titles accepted" in client.post("/bulk", data={**sent, **fine}).text
    assert len(Reviews.read(place).approved) == 8
    undo = re.search(
        r'<form method="post" action="/undo-bulk" class="last".*?</form>', client.get("/queue").text, re.DOTALL
    )
    assert undo
    client.post("/undo-bulk", data=fields(undo[0], ""))
    assert not Reviews.read(place).approved


def test_ratings_are_asked_of_two_and_add_up(engine: "Engine", checks: FakeChecks) -> None:
    add(engine, [proposal(k) for k in range(3)], seed=0, second_opinions=0.0)
    settings = {"questions": {"misleading": "", "rude": "Is it <rude>?"}}
    orders = []
    for name in ("Ann", "Bob", "Cem"):
        client = client_of(engine, checks, **settings)
        sign_in(client, name)
        order = []
        while found := cards(page := client.get("/rate").text):
            assert "Is it &lt;rude&gt;?" in page
            order.append(re.findall(r"Item (i\d+)", found[0])[0])
            sent = {"question-misleading": "yes" if name == "Ann" else "no", "question-rude": "no"}
            assert client.post("/rate", data={**fields(found[0], ""), "question-rude": "no"}).status_code == 400
            client.post("/rate", data={**fields(found[0], ""), **sent})
        orders.append(order)
    assert orders[0] == orders[1]  # the same random order for all
    assert orders[2] == []  # two are enough
    progress = client.get("/progress").text
    assert re.search(r"Is it misleading\?</th><td>50.0%</td>.*?<td>3</td><td>3</td><td>0%</td>", progress)
