"""report.html in a browser: nothing sticks out, all can be read, the contents open what they name, print has all."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from rlopt.report.html import render
from tests.browser.accessibility import faults
from tests.report.sample import METRICS, sample_report


@pytest.fixture(scope="module", params=["en", "zh"])
def page_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    report = sample_report("Cotton dress, red" if request.param == "en" else "纯棉红色连衣裙", lang=request.param)
    report = replace(report, config=dict(report.config) | {"traffic": 50_000.0})
    file = tmp_path_factory.mktemp("report") / f"{request.param}.html"
    file.write_text(render(report, METRICS), encoding="utf-8")
    return file


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_and_all_can_be_read(browser: Browser, page_file: Path, width: int, scheme: Any) -> None:
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    page.goto(page_file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faults(page) == []
    hidden = "[...document.querySelectorAll('.halves .scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
    assert page.evaluate(hidden) == 0  # no figure of the first page is cut


def test_the_contents_open_what_they_name(browser: Browser, page_file: Path) -> None:
    page = browser.new_page()
    page.goto(page_file.as_uri())
    assert page.locator("details[open]").count() == 0
    page.locator("nav a").nth(2).click()
    page.wait_for_selector("details[open]")
    assert page.locator("details[open]").count() == 1


def test_print_shows_everything(browser: Browser, page_file: Path) -> None:
    page = browser.new_page()
    page.goto(page_file.as_uri())
    page.emulate_media(media="print")
    for part in page.locator("details .inside").all():
        assert part.is_visible()
