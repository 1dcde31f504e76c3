"""The review's pages in a real browser: search, difference, live rule, keys, bulk accept, undo, hostile titles."""

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect

from rlopt.config import ReviewConfig
from rlopt.reviewing.app import application
from rlopt.reviewing.database import opened
from rlopt.reviewing.decided import Reviews
from rlopt.reviewing.proposals import add
from tests.browser.accessibility import faults
from tests.reviewing.shop import HOSTILE, FakeChecks, proposal

WIDTHS = (1280, 390)
PAGES = ("sign-in", "queue", "queue?state=accepted", "rate", "bulk?chance=50", "progress", "history")


@pytest.fixture(params=["en", "zh"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Address of the pages, and where their reviews lie."""
    place = str(tmp_path / "reviews.db")
    rows = [proposal(k, chance=0.99 if k > 5 else 0.6) for k in range(30)]
    rows += [
        proposal(97, item_id="zh", title="红色真丝连衣裙", current_title="红色棉质连衣裙"),
        proposal(98, item_id="hostile", title=HOSTILE, current_title=None, facts={"note": (HOSTILE,)}, value=5000.0),
    ]
    with opened(place, create=True) as engine, socket.socket() as listener:
        add(engine, rows, seed=0, second_opinions=0.0)
        listener.bind(("127.0.0.1", 0))
        config = ReviewConfig(lang=request.param, sample=2)
        app = application(engine, FakeChecks(), config, frozenset({"127.0.0.1"}))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", place
        server.should_exit = True
        thread.join(timeout=10)


def signed_in(browser: Browser, address: str, width: int = 1280, scheme: Any = "light") -> tuple[Page, list[str]]:
    """A page after signing in, and what its console says."""
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto(f"{address}/sign-in")
    page.fill("[name=name]", "Ann")
    page.click("button")
    page.wait_for_url("**/queue")
    return page, said


def act(page: Page, key: str) -> None:
    """Press a key that sends a form, and wait for the page that comes of it with its keys."""
    with page.expect_navigation(wait_until="load"):
        page.keyboard.press(key)


def test_a_reviewer_reads_edits_accepts_and_takes_back(browser: Browser, shop: tuple[str, str]) -> None:
    address, place = shop
    page, said = signed_in(browser, address)
    first = page.locator(".card").first
    expect(first).to_contain_text("<script>alert(1)</script>")  # hostile, and text
    expect(first).to_be_focused()
    act(page, "s")
    expect(page.locator(".card").first).to_contain_text("New red shirt 0")
    assert page.locator(".card").first.locator(".diff del").inner_text() == "Old"
    page.keyboard.press("/")
    page.keyboard.type("真丝")
    act(page, "Enter")
    expect(page.locator(".card")).to_have_count(1)
    assert page.locator(".diff ins").inner_text() == "真丝"
    act(page, "a")
    page.goto(f"{address}/queue")
    page.keyboard.press("e")
    page.keyboard.type(" free")
    live = page.locator(".live:visible")
    expect(live).to_have_class(re.compile("broken"))
    for _ in range(5):
        page.keyboard.press("Backspace")
    page.keyboard.type(" now")
    expect(live).not_to_have_class(re.compile("broken"))
    act(page, "Control+Enter")
    expect(page.locator(".last")).to_contain_text("New red shirt 0 now")
    page.keyboard.press("r")
    page.locator("select[name=reason]:visible").select_option("off_brand")
    with page.expect_navigation(wait_until="load"):
        page.locator("details[open] button.main").click()
    expect(page.locator(".last")).to_contain_text("New red shirt 1")
    page.keyboard.press("j")
    expect(page.locator(".card").nth(1)).to_be_focused()
    act(page, "a")
    expect(page.locator(".last")).to_contain_text("New red shirt 3")
    act(page, "u")
    page.goto(f"{address}/bulk?chance=95")
    for fine in page.locator("input[value=fine]").all():
        fine.check()
    with page.expect_navigation(wait_until="load"):
        page.locator("main form[method=post] > button.main").click()
    page.wait_for_selector("text=/24/")
    found = Reviews.read(place)
    titles = [one.title for one in found.approved]
    assert len(titles) == 24 + 2
    assert {"红色真丝连衣裙", "New red shirt 0 now"} <= set(titles)
    assert found.refuses("i0001", "New red shirt 1")
    assert not found.titles_of("i0003")
    act(page, "u")
    assert page.url.endswith("/queue")
    assert len(Reviews.read(place).approved) == 2
    assert said == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_read_and_used_by_everybody(
    browser: Browser, shop: tuple[str, str], width: int, scheme: str
) -> None:
    """axe-core finds no fault on any page, whatever is unfolded; nothing scrolls sideways."""
    page, said = signed_in(browser, shop[0], width, scheme)
    for name in PAGES:
        page.goto(f"{shop[0]}/{name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.evaluate("document.documentElement.lang") in ("en", "zh-CN")
        assert page.title()
        assert page.locator("main").count() == page.locator("h1").count() == page.locator("header.top").count() == 1
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert faults(page) == [], name
    page.goto(f"{shop[0]}/progress")
    order = []
    for _ in range(3):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.getAttribute('href')"))
    assert order == ["#main", "/queue", "/rate"]  # first the way past the navigation
    assert said == []
