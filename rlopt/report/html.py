"""report.html: one self-contained file, no script, nothing loaded from outside, hostile titles inert."""

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from reward.text import clean

from . import figures
from .content import POLICY_NAMES, EvaluationReport

LONGEST_SHOWN = 280
_STATUS_WORDS = {"ok": "speaks for it", "hold": "against", "doubt": "in doubt", "note": "for the record"}
_LIFT_METRICS = ("objective/predicted_lift",)
_REWARD_METRICS = ("objective/scores", "reward")
_KL_METRICS = ("objective/kl", "kl")


def render(report: EvaluationReport, metrics: Sequence[Mapping[str, Any]]) -> str:
    """The report as an HTML page.

    Parameters
    ----------
    report
        What to say.
    metrics
        Rows of ``metrics/ppo.jsonl``; without any the learning curves are left out.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": percent, "share": share, "shown": shown}
    main_name = "sft" if report.config.get("baseline") == "sft" else "logged"
    page = environment.from_string(_resource("report.html.jinja")).render(
        report=report,
        main=report.lifts[main_name],
        main_name="the SFT policy" if main_name == "sft" else "the logged titles",
        names=POLICY_NAMES,
        status_words=_STATUS_WORDS,
        css=Markup(_resource("report.css")),  # noqa: S704  our own file
        figures={
            "lifts": _safe(_lift_figure(report)),
            "item_lifts": _safe(figures.item_lifts(report.lifts["logged"].item_lift)),
            "learning": [(_safe(svg), caption) for svg, caption in _learning(metrics)],
        },
    )
    return page + "\n"


def percent(value: float | None) -> str:
    """``+12.3%``."""
    return "–" if value is None or value != value else f"{value:+.1%}"


def share(value: float | None) -> str:
    """``98.5%``."""
    return "–" if value is None else f"{value:.1%}"


def shown(text: str, longest: int = LONGEST_SHOWN) -> str:
    """A title fit to be read: no control characters (they could reorder the line), cut where it has no end."""
    text = clean(text)
    return text if len(text) <= longest else f"{text[:longest]} … ({len(text):,} characters)"


def schema() -> dict[str, Any]:
    """JSON Schema of report.json."""
    loaded: dict[str, Any] = json.loads(_resource("report.schema.json"))
    return loaded


def _resource(name: str) -> str:
    return (resources.files("rlopt.report") / name).read_text(encoding="utf-8")


def _safe(svg: str) -> Markup:
    return Markup(svg)  # noqa: S704  drawn by us; matplotlib escapes the texts in it


def _lift_figure(report: EvaluationReport) -> str:
    truth = report.true_lifts or {}
    rows = [
        figures.Row(
            "PPO over logged titles" if name == "logged" else "PPO over SFT",
            lift.value,
            lift.low,
            lift.high,
            truth.get(name),
            strong=True,
        )
        for name, lift in report.lifts.items()
    ]
    for row in report.policies:
        if row.policy != "ppo":
            lift = row.lift_over_logged
            label = "SFT over logged titles" if row.policy == "sft" else "Best-of-n from SFT over logged titles"
            rows.append(figures.Row(label, lift.value, lift.low, lift.high))
    return figures.lift_intervals(rows, float(report.config.get("min_lift", 0.0)))


def _learning(metrics: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Figures of the training, with captions."""
    gain, label = _series(metrics, _LIFT_METRICS), "predicted lift"
    if not len(gain):
        gain, label = _series(metrics, _REWARD_METRICS), "reward"
    kl = _series(metrics, _KL_METRICS)
    out = []
    if len(gain) > 1:
        caption = "What the reward model promised, step by step."
        out.append((figures.learning_curve(gain[:, 0], gain[:, 1], label), caption))
    if len(kl) > 1:
        svg = figures.learning_curve(kl[:, 0], kl[:, 1], "KL, nats a title", second=True)
        out.append((svg, "Distance from the SFT policy."))
    both, in_kl, in_gain = np.intersect1d(kl[:, 0], gain[:, 0], return_indices=True)
    if len(both) > 1:
        svg = figures.reward_against_kl(kl[in_kl, 1], gain[in_gain, 1], label)
        out.append((svg, "What was gained for the distance; where it is flat, distance bought nothing."))
    return out


def _series(metrics: Sequence[Mapping[str, Any]], names: Sequence[str]) -> figures.FloatArray:
    """(step, value) rows of the first of ``names`` that was logged, shape (n, 2)."""
    for name in names:
        rows = [(row["step"], row[name]) for row in metrics if row.get(name) is not None and "step" in row]
        if rows:
            return np.array(rows, dtype=np.float64)
    return np.empty((0, 2))
