"""report.html: inert whatever titles hold, self-contained, complete, and the same every time."""

import json
import re
from functools import cache
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from rlopt.files import to_json
from rlopt.report.html import render, schema, shown
from tests.report.sample import METRICS, sample_report

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></svg><svg onload=alert(1)>",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "javascript:alert('x')",
    "a' onmouseover='alert(1)",
    "\u202egnihtemos\u202c\x00\x1b[31m",
    "&lt;b&gt; &amp; <b>",
    "红色连衣裙 <script>",
    "x" * 5000,
]
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Collects tags and attributes, and checks that what opens is closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@cache
def own_tags() -> set[str]:
    return set(Page(render(sample_report(), METRICS)).tags)


@pytest.mark.parametrize("title", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_titles_are_inert(title: str) -> None:
    html = render(sample_report(title), METRICS)
    page = Page(html)
    assert page.open == []
    assert set(page.tags) == own_tags()  # a title brings no tag of its own
    assert "script" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "49" not in html.split("Before and after")[1].split("Diagnostics")[0] or "7 * 7" not in title
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e\u2066-\u2069]", html)


def test_nothing_is_loaded_from_outside() -> None:
    html = render(sample_report(), METRICS)
    for tag, name, value in Page(html).attributes:
        if name in ("src", "href", "xlink:href", "action", "srcset", "data"):
            assert value.startswith("#"), (tag, name, value)
        elif not name.startswith("xmlns"):
            assert "//" not in value, (tag, name, value)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert "default-src 'none'" in html


def test_verdict_comes_first_and_everything_in_order() -> None:
    html = render(sample_report(), METRICS)
    parts = ["Launch: run the A/B test", "<svg", "Why</h2>", "How PPO learned", "Before and after", "Diagnostics</h2>"]
    parts += ["Method</h2>", "Fingerprints</h2>"]
    positions = [html.index(part, html.index("<body>")) for part in parts]
    assert positions == sorted(positions)
    text = " ".join(Page(html).text)
    assert "+25.0%" in text
    assert "+15.0% to +35.0%" in " ".join(text.split())
    for reason in sample_report().verdict.reasons:
        assert reason.message in text


def test_figures_are_whole_svg_with_real_text() -> None:
    html = render(sample_report(), METRICS)
    figures = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(figures) == 5  # lifts, reward, KL, reward against KL, items
    ids: list[str] = []
    for figure in figures:
        root = ElementTree.fromstring(figure)  # noqa: S314  our own figure
        assert "viewBox" in root.attrib
        assert "width" not in root.attrib  # scales with the page
        assert root.findall(".//{http://www.w3.org/2000/svg}text")
        here = {e.attrib["id"] for e in root.iter() if "id" in e.attrib}
        assert not here.intersection(ids)  # one page: an id must point into its own figure
        ids += here
    assert "PPO over logged titles" in figures[0]


def test_without_training_overlap_or_truth_those_parts_are_left_out() -> None:
    text = " ".join(Page(render(sample_report(simulated=False, overlap=False), [])).text)
    assert "How PPO learned" not in text
    assert "Exact off-policy estimates" not in text
    assert "simulator" not in text


def test_same_report_same_file() -> None:
    assert render(sample_report(), METRICS) == render(sample_report(), METRICS)


def test_chinese_stays_chinese() -> None:
    html = render(sample_report("新款纯棉红色连衣裙 包邮"), METRICS)
    assert html.count("新款纯棉红色连衣裙 包邮") >= 6
    assert '<meta charset="utf-8">' in html
    assert "PingFang SC" in html


def test_long_titles_are_cut_with_their_length_named() -> None:
    assert shown("x" * 5000).endswith("… (5,000 characters)")
    assert len(shown("x" * 5000)) < 320
    assert shown("short") == "short"


def test_report_json_follows_its_schema() -> None:
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(schema())
    for report in (sample_report(), sample_report(simulated=False, overlap=False)):
        jsonschema.validate(json.loads(to_json(report.to_dict())), schema())
    broken = json.loads(to_json(sample_report().to_dict()))
    broken["verdict"]["decision"] = "maybe"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema())
