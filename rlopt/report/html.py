"""report.html: one self-contained file, no script, nothing loaded from outside, hostile titles inert."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import resources
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from reward.arrays import FloatArray
from reward.plain import JsonObject
from reward.text import clean
from rlopt.worddiff import diff

from . import figures
from .content import EvaluationReport
from .language import Words, words_of

LONGEST_SHOWN = 280
SEGMENTS_FIRST = 3  # of the best, and of the worst, on the first page
IMPRESSIONS_TOLD = 100_000
TOLD_FIRST = {"relevance", "faithfulness", "violations", "misleading"}  # reasons on the first page
_LIFT_METRICS = ("objective/predicted_lift",)
_REWARD_METRICS = ("objective/scores", "reward")
_KL_METRICS = ("objective/kl", "kl")


def render(report: EvaluationReport, metrics: Sequence[Mapping[str, Any]]) -> str:
    """The report as an HTML page in the language of its settings.

    Parameters
    ----------
    report
        Content of the report.
    metrics
        Rows of the candidate's ``metrics/*.jsonl``; without any the learning curves are left out.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": percent, "share": share, "count": count, "amount": amount, "diffed": diff}
    environment.filters |= {"chance": chance, "small": small, "spread": spread, "days": days}
    words = words_of(report.config.get("lang", "en"))
    environment.filters["shown"] = partial(shown, words=words)
    main_name = "sft" if report.config.get("baseline") == "sft" and "sft" in report.lifts else "logged"
    main = report.lifts[main_name]
    truths = [
        words("truth_part", lift=percent(value), baseline=words(f"baselines.{name}"))
        for name, value in (report.true_lifts or {}).items()
    ]
    learning = [(_safe(svg), caption) for svg, caption in _learning(metrics, words)]
    page = environment.from_string(resource("report.html.jinja")).render(
        report=report,
        t=words,
        main=main,
        main_name=main_name,
        confidence=f"{main.confidence:.0%}",
        truths=words("list_comma").join(truths),
        traffics=_traffics(report),
        worst=report.segments[:SEGMENTS_FIRST],
        best=report.segments[SEGMENTS_FIRST:][-SEGMENTS_FIRST:][::-1],
        told_first=TOLD_FIRST,
        sections=_sections(report, bool(learning), words),
        css=Markup(resource("report.css")),  # noqa: S704  our own file
        figures={
            "lifts": _safe(_lift_figure(report, words)),
            "item_lifts": _safe(
                figures.item_lifts(
                    report.lifts["logged"].item_lift,
                    words("figures.item_axis"),
                    words("items"),
                    words("figures.item_figure"),
                )
            ),
            "learning": learning,
        },
    )
    return page + "\n"


def percent(value: float | None) -> str:
    """``+12.3%``."""
    return "–" if value is None or value != value else f"{value:+.1%}"


def spread(value: float) -> str:
    """``±12.3%``."""
    return f"±{value:.1%}"


def chance(value: float) -> str:
    """``97.5%``; draws are finite, so never certain."""
    return "> 99%" if value > 0.99 else "< 1%" if value < 0.01 else f"{value:.0%}"


def small(value: float) -> str:
    """``1.25%``, next to nothing in words."""
    return "< 0.01%" if value < 1e-4 else f"{value:.2%}"


def days(value: float) -> str:
    """Days of a test, rounded up."""
    return f"{np.ceil(value):,.0f}"


def amount(value: float, signed: bool = False) -> str:
    """``12,345`` or ``9.87``: clicks, orders, money."""
    sign = "+" if signed else ""
    return f"{value:{sign},.0f}" if abs(value) >= 100 else f"{value:{sign},.1f}"


def share(value: float | None) -> str:
    """``98.5%``."""
    return "–" if value is None else f"{value:.1%}"


def count(value: float) -> str:
    """``12,345``."""
    return f"{value:,.0f}"


def shown(text: str, longest: int = LONGEST_SHOWN, *, words: Words | None = None) -> str:
    """A title fit to be read: no control characters (they could reorder the line), cut where it has no end."""
    text = clean(text)
    return text if len(text) <= longest else text[:longest] + (words or words_of("en"))("cut", count=count(len(text)))


def schema() -> JsonObject:
    """JSON Schema of report.json."""
    loaded: JsonObject = json.loads(resource("report.schema.json"))
    return loaded


def resource(name: str) -> str:
    """The text of a file of this room."""
    return (resources.files("rlopt.report") / name).read_text(encoding="utf-8")


def _traffics(report: EvaluationReport) -> list[dict[str, Any]]:
    """Numbers of impressions for which the page shows the lift."""
    daily = report.config.get("traffic")
    return [
        {"kind": "impressions", "n": IMPRESSIONS_TOLD},
        *([] if daily is None else [{"kind": "day", "n": float(daily)}]),
    ]


def _sections(report: EvaluationReport, learned: bool, words: Words) -> list[tuple[str, str]]:
    """(id, title) of what follows the first page."""
    drawn = sum(example.kind == "drawn" for example in report.examples)
    there = {
        "why": True,
        "segments": report.segments,
        "learning": learned,
        "examples": True,
        "titles": drawn,
        "diagnostics": True,
        "rated": report.rated,
        "probe": report.probe,
        "history": report.history,
        "method": True,
        "fingerprints": True,
    }
    return [(name, words("drawn", n=drawn) if name == "titles" else words(name)) for name, has in there.items() if has]


def _safe(svg: str) -> Markup:
    return Markup(figures.themed(svg))  # noqa: S704  drawn by us; matplotlib escapes the texts in it


def _lift_figure(report: EvaluationReport, words: Words) -> str:
    truth = report.true_lifts or {}

    def label(policy: str, baseline: str) -> str:
        return words("figures.over", policy=words.policy(policy), baseline=words(f"baselines.{baseline}"))

    rows = [
        figures.Row(label(report.candidate, name), lift.value, lift.low, lift.high, truth.get(name), strong=True)
        for name, lift in report.lifts.items()
    ]
    for row in report.policies:
        if row.policy != report.candidate:
            lift = row.lift_over_logged
            rows.append(figures.Row(label(row.policy, "logged"), lift.value, lift.low, lift.high))
    axis = words("figures.lift_axis") + (words("figures.truth_mark") if truth else "")
    return figures.lift_intervals(rows, float(report.config.get("min_lift", 0.0)), axis, words("figures.lifts"))


def _learning(metrics: Sequence[Mapping[str, Any]], words: Words) -> list[tuple[str, str]]:
    """Figures of the training, with captions."""
    step = words("figures.step")
    gain, label = _series(metrics, _LIFT_METRICS) * (1.0, 100.0), words("figures.predicted_lift")
    percent = bool(len(gain))
    if not percent:
        gain, label = _series(metrics, _REWARD_METRICS), words("figures.reward")
    kl, kl_label = _series(metrics, _KL_METRICS), words("figures.kl")
    out = []
    if len(gain) > 1:
        svg = figures.learning_curve(gain[:, 0], gain[:, 1], step, label, name="gain", percent=percent)
        out.append((svg, words("learning_gain")))
    if len(kl) > 1:
        svg = figures.learning_curve(kl[:, 0], kl[:, 1], step, kl_label, name="kl", second=True)
        out.append((svg, words("learning_kl")))
    both, in_kl, in_gain = np.intersect1d(kl[:, 0], gain[:, 0], return_indices=True)
    if len(both) > 1:
        axes = words("figures.kl_axis"), label
        svg = figures.reward_against_kl(
            kl[in_kl, 1], gain[in_gain, 1], *axes, words("figures.reward_kl"), percent=percent
        )
        out.append((svg, words("learning_both")))
    return out


def _series(metrics: Sequence[Mapping[str, Any]], names: Sequence[str]) -> FloatArray:
    """(step, value) rows of the first of ``names`` that was logged, shape (n, 2)."""
    for name in names:
        rows = [(row["step"], row[name]) for row in metrics if row.get(name) is not None and "step" in row]
        if rows:
            return np.array(rows, dtype=np.float64)
    return np.empty((0, 2))
