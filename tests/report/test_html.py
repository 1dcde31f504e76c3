"""report.html: inert whatever titles hold, self-contained, complete, and the same every time."""

import json
import re
from dataclasses import replace
from functools import cache
from html import unescape
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from reward.doctor.examine import Finding
from rlopt.config import EvalConfig
from rlopt.files import to_json
from rlopt.ope.guardrails import RULES
from rlopt.ope.log_reasons import LogGrounds
from rlopt.ope.segments import MISSING, REST
from rlopt.ope.verdict import Grounds, decide
from rlopt.report.content import BelongingShares
from rlopt.report.html import render, schema, shown
from rlopt.report.language import words_of
from tests.report.sample import METRICS, lift, sample_report

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
    assert "49" not in html.split("Before and after</h2>")[1].split("Diagnostics</h2>")[0] or "7 * 7" not in title
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e\u2066-\u2069]", html)


def test_nothing_is_loaded_from_outside() -> None:
    html = render(sample_report(), METRICS)
    for tag, name, value in Page(html).attributes:
        if name in ("src", "href", "xlink:href", "action", "srcset", "data"):
            assert value.startswith("#") or value == "titles.parquet", (tag, name, value)
        elif not name.startswith("xmlns"):
            assert "//" not in value, (tag, name, value)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert "default-src 'none'" in html


def test_verdict_comes_first_and_everything_in_order() -> None:
    html = render(sample_report(), METRICS)
    parts = ["Launch: run the A/B test", "<svg", "Why</h2>", "Training</h2>", "Before and after</h2>"]
    parts += ["Diagnostics</h2>", "Method</h2>", "Fingerprints</h2>"]
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
    assert "PPO policy over the logged titles" in figures[0]


def test_without_training_overlap_or_truth_those_parts_are_left_out() -> None:
    text = " ".join(Page(render(sample_report(simulated=False, overlap=False), [])).text)
    assert "Training" not in text
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


def test_segments_and_history_are_told() -> None:
    text = " ".join(" ".join(Page(render(sample_report("Brand X"), METRICS)).text).split())
    whole = text[text.index("the worst first") :]
    assert whole.index("brand: Acme") < whole.index("brand: Brand X") < whole.index("brand: 红")
    assert "-30.0% … -10.0%" in text
    assert "2026-03-14 +20.0% (+10.0% … +30.0%) +15.0% (+5.0% … +26.0%) better yes" in text
    bare = " ".join(Page(render(sample_report(simulated=False), METRICS)).text)
    assert "All segments" not in bare
    assert "Earlier A/B tests" not in bare


def test_the_first_page_answers_what_a_manager_asks() -> None:
    html = render(sample_report("Brand X"), METRICS)
    first = " ".join(" ".join(Page(html[: html.index("<nav")]).text).split())
    for told in (
        "Evaluated on 2026-03-02 · run spring", "logs logs.parquet", "2026-01-05 to 2026-03-01",
        "Deciding reason: Lift over the logged titles: +25.0%",
        "better 99%", "0.10%",  # chance to be better, expected loss
        "Per 100,000 impressions", "clicks 3,100 3,875 +775 +465 … +1,085", "orders 200 220 +20.0 +4.0 … +40.0",
        "To detect +25.0%: 8,000 impressions in each of two arms; 4 days at 5,000 impressions a day",
        "no number of impressions is enough", "break a rule", "Judge",
    ):  # fmt: skip
        assert told in first, told
    daily = sample_report()
    daily = replace(daily, config=dict(daily.config) | {"traffic": 2000.0})
    told = " ".join(" ".join(Page(render(daily, METRICS)).text).split())
    assert "A day, at 2,000 impressions" in told
    assert "clicks 62.0 77.5 +15.5 +9.3 … +21.7" in told


def test_titles_drawn_show_what_changed() -> None:
    report = sample_report("Red dress")
    drawn = replace(report.examples[-1], logged="Red cotton dress", title="Blue cotton dress")
    html = render(replace(report, examples=(*report.examples[:-1], drawn)), METRICS)
    assert "<del>Red</del><ins>Blue</ins> cotton dress" in html
    assert "<del>" not in render(replace(report, examples=report.examples[:-1]), METRICS)


def test_the_contents_lead_to_every_section() -> None:
    for report in (sample_report(), sample_report(simulated=False)):
        html = render(report, METRICS)
        assert re.findall(r'<a href="#([\w-]+)"', html) == re.findall(r'class="inside" id="([\w-]+)"', html)


@pytest.mark.parametrize(("lang", "rest", "none"), [("en", "(other)", "(none)"), ("zh", "（其他）", "（无）")])
def test_what_stands_for_the_rest_is_said_in_the_reports_language(lang: str, rest: str, none: str) -> None:
    report = sample_report(lang=lang)
    first, second, *others = report.segments
    named = replace(report, segments=(replace(first, value=REST), replace(second, value=MISSING), *others))
    text = " ".join(Page(render(named, METRICS)).text)
    assert f"brand: {rest}" in text
    assert f"brand: {none}" in text


@pytest.mark.parametrize(("mass", "said"), [(0.0, ("less than 0.01%", "不到 0.01%")), (0.0123, ("1.23%", "1.23%"))])
def test_next_to_no_overlap_is_said_in_words(mass: float, said: tuple[str, str]) -> None:
    for lang, told in zip(("en", "zh"), said, strict=True):
        report = sample_report(overlap=False, lang=lang)
        text = " ".join(Page(render(replace(report, overlap=replace(report.overlap, mass=mass)), METRICS)).text)
        assert words_of(lang)("overlap_none", mass=told, items="80") in text


def test_what_faithful_means_is_told() -> None:
    report = sample_report("red dress")
    assert "does not state: numbers, brands." in render(report, METRICS)
    assert "有依据的内容：数字、品牌。" in render(sample_report("red dress", lang="zh"), METRICS)
    assert "faithful title" not in render(replace(report, checked_claims=()), METRICS)


def test_promises_of_new_and_logged_titles_are_counted() -> None:
    for lang, told in (("en", "of the logged titles 24.9%"), ("zh", "历史标题为 24.9%")):
        report = sample_report(lang=lang)
        assert told in render(report, METRICS)
        assert told not in render(replace(report, promises={}), METRICS)


def test_belonging_of_new_and_logged_titles_is_told() -> None:
    for lang, told in (("en", "98.0% of the policy's titles belong"), ("zh", "该策略有 98.0% 的标题")):
        report = sample_report(lang=lang)
        assert told in unescape(render(report, METRICS))
        assert told not in unescape(render(replace(report, belonging={}), METRICS))
        unknown = {"ppo": BelongingShares(None, 0.9), "logged": BelongingShares(None, 0.9)}
        assert told not in unescape(render(replace(report, belonging=unknown), METRICS))


def test_attacks_are_told_where_the_run_was_probed() -> None:
    for lang, told in (
        ("en", ("Attacks on this run", "title of another item", "relevance 97%", "open")),
        ("zh", ("攻击测试", "其他商品的标题", "相关性 97%", "未拦截")),
    ):
        report = sample_report(lang=lang)
        text = " ".join(Page(render(report, METRICS)).text)
        assert all(words in text for words in told)
        assert told[0] not in " ".join(Page(render(replace(report, probe=()), METRICS)).text)


def test_both_languages_have_the_same_sentences() -> None:
    def shape(entries: Any) -> Any:
        if isinstance(entries, dict):
            return {key: shape(value) for key, value in entries.items()}
        if isinstance(entries, list):
            return [shape(value) for value in entries]
        return sorted(re.findall(r"{(\w+)}", str(entries)))

    en, zh = (dict(words_of(language).entries) for language in ("en", "zh"))
    zh.pop("reasons")  # in English the verdict's own messages
    zh.pop("headlines")
    assert set(zh.pop("rules")) == set(RULES)
    assert shape(en) == shape(zh)


def test_broken_rules_go_by_their_names() -> None:
    for lang, said in (("en", "break a rule (repeats words 1.0%)"), ("zh", "违反规则（重复用词 1.0%）")):
        assert said in " ".join(Page(render(sample_report(lang=lang), METRICS)).text)


@pytest.mark.parametrize("simulated", [True, False])
def test_the_chinese_report_is_chinese(simulated: bool) -> None:
    report = sample_report("新款纯棉红色连衣裙", simulated=simulated, overlap=simulated, lang="zh")
    html = render(report, METRICS)
    page = Page(html)
    assert '<html lang="zh-CN">' in html
    chunks = page.text[: page.text.index("指纹")]
    assert any("建议上线：请先做 A/B 测试" in chunk for chunk in chunks)
    words = {word for chunk in chunks if "{" not in chunk for word in re.findall(r"[A-Za-z]{4,}", chunk)}
    # what is data, or keeps its name in any language
    assert words <= {"Acme", "brand", "item", "rlopt", "snips", "SNIPS", "MIPS", "assignment", "randomized"} | {
        "spring", "logs", "parquet", "offline", "eval", "traffic", "plan",
    }  # fmt: skip


KINDS = (
    "no_title_effect", "copies", "sample_ratio", "unequal_traffic", "propensity_sums", "immature_conversions",
    "replaced_titles", "unlike_circumstances", "equal_levels", "row_propensities",
)  # fmt: skip


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_reason_has_a_sentence(lang: str) -> None:
    whole = sample_report(lang=lang)
    missing = Grounds(
            lifts={"logged": lift(1.6, 0.38, 114.0), "sft": lift(0.1, 0.0, 0.2)}, n_items=3, support_share=0.1,
            hidden_arms=None, overlap=whole.overlap, model_against_weights=None, kl=whole.kl, faithfulness=0.1,
            sft_faithfulness=None, candidates=3, logs=LogGrounds(
                "unknown", tuple(Finding("warning", "evaluation", "A message.", "doubt", kind) for kind in KINDS)
            ),
            other_lifts={"logged": lift(-0.1, -0.2, 0.1), "sft": lift(0.1, 0.0, 0.2)},
    )  # fmt: skip
    for verdict in (whole.verdict, decide(missing, EvalConfig(max_kl=1.0))):
        for reason in verdict.reasons:
            sentence = words_of(lang).reason(
                reason, replace(whole, lifts=missing.lifts, other_lifts=missing.other_lifts)
            )
            assert sentence
            assert "{" not in sentence
            assert (sentence == reason.message) == (lang == "en")
            if reason.figure is not None and lang == "zh":
                assert re.search(r"\d", sentence)


def test_hostile_titles_are_inert_in_chinese_too() -> None:
    for title in HOSTILE:
        page = Page(render(sample_report(title, lang="zh"), METRICS))
        assert set(page.tags) == own_tags()
