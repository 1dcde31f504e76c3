"""ab/report.html: the decision first, then what it stands on; one self-contained file, hostile names inert."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from reward.plain import JsonObject

from . import figures
from .html import count, percent, resource, share, shown
from .language import Words, words_of

_TONES = {"better": "launch", "worse": "hold", "undecided": "insufficient-evidence", "invalid": "hold"}
_STATUS = {"better": "ok", "worse": "hold", "undecided": "note", "held": "ok", "broken": "hold", "open": "doubt"}
_NAMED = 5  # items and segments that are named


def render_test(found: JsonObject, inputs: Mapping[str, str], lang: str = "en") -> str:
    """The analysis of an A/B test as an HTML page.

    Parameters
    ----------
    found
        Output of ``ab-analyze --json``.
    inputs
        "file" and "plan" -> fingerprints.
    lang
        "en" or "zh".
    """
    words = words_of(f"ab.{lang}")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": percent, "share": share, "count": count, "signed": signed}
    environment.filters["shown"] = partial(shown, words=words)
    page = environment.from_string(resource("ab_test.html.jinja")).render(
        found=found,
        inputs=inputs,
        t=words,
        tone=_TONES[found["decision"]],
        confidence=f"{found['outcome']['confidence']:.0%}",
        headline=headline(found, words),
        summary=_summary(found, words),
        reasons=reasons(found, words),
        predicted=_predicted(found, words),
        chosen=[row for row in found["metrics"] if row["variant"] == found["variant"]],
        limits=deciding,
        css=Markup(resource("report.css")),  # noqa: S704  our own file
        figures={"lifts": _safe(_lifts(found, words)), "days": _safe(_days(found, words))},
    )
    return page + "\n"


def headline(found: JsonObject, t: Words) -> str:
    """The decision in a line; where a guardrail decides, which."""
    kind = found["decision"]
    decisive = {"undecided": "open", "worse": "broken"}.get(kind)
    rails = [r["metric"] for r in found["metrics"] if r["variant"] == found["variant"] and r["status"] == decisive]
    if decisive is None or not rails or found["outcome"]["decision"] == kind:
        return t(f"headlines.{kind}")
    return t(f"headlines.{kind}_guardrail", metrics=t("comma").join(shown(t.metric(name), 60) for name in rails))


def deciding(outcome: JsonObject) -> tuple[float, float]:
    """Limits of the interval that decides."""
    kind = {"fixed-horizon": "", "always-valid": "always_", "group-sequential": "group_"}[outcome["decided_by"]]
    return outcome[f"{kind}low"], outcome[f"{kind}high"]


def signed(value: float) -> str:
    """``+1,234``."""
    return f"{value:+,.0f}"


def reasons(found: JsonObject, t: Words) -> list[tuple[str, str]]:
    """(status, sentence) of all that the decision stands on."""
    outcome = found["outcome"]
    low, high = (percent(value) for value in deciding(outcome))
    kind = "undecided" if outcome["decision"] == "invalid" else outcome["decision"]
    out = [] if outcome["decision"] == "invalid" else [(_STATUS[kind], t(f"reasons.{kind}", low=low, high=high))]
    for row in found["metrics"]:
        if row["variant"] == found["variant"] and row["status"] is not None:
            low, high = (percent(value) for value in deciding(row["outcome"]))
            values = {"metric": t.metric(row["metric"]), "low": low, "high": high, "limit": percent(row["limit"])}
            out.append((_STATUS[row["status"]], t(f"reasons.{row['status']}", **values)))
    return out + _splits(found, t) + _ways(found, t)


def _splits(found: JsonObject, t: Words) -> list[tuple[str, str]]:
    """Sentences on the checks of the split."""
    outcome, out = found["outcome"], []
    p_value, split = outcome["sample_ratio_p_value"], outcome["split"] or {}
    if found["mismatched_items"]:
        some = t("comma").join(found["mismatched_items"][:_NAMED])
        out.append(("doubt", t("reasons.split_items", n=len(found["mismatched_items"]), items=some)))
    elif outcome["decision"] == "invalid":
        out.append(("doubt", t("reasons.split_off", p="–" if p_value is None else f"{p_value:.2g}")))
    elif p_value is not None:
        out.append(("ok", t("reasons.split_ok", p=f"{p_value:.2g}")))
    if found["mismatched_segments"]:
        some = t("comma").join(found["mismatched_segments"][:_NAMED])
        out.append(("doubt", t("reasons.split_segments", segments=some)))
    if split.get("changed"):
        first, last = (f"{split[name]:.0%}" for name in ("first_share", "last_share"))
        out.append(("note", t("reasons.split_changed", first=first, last=last)))
    if split.get("by_item"):
        out.append(("note", t("reasons.split_by_item")))
    return out


def _ways(found: JsonObject, t: Words) -> list[tuple[str, str]]:
    """Sentences on the way arms were compared, and its limits."""
    outcome, trend, out = found["outcome"], found["trend"], []
    if outcome["design"] == "visitors" and not found["by_visitor"]:
        out.append(("doubt", t("reasons.independent")))
    if outcome["design"] == "items":
        out.append(("note", t("reasons.items")))
    if outcome["design"] == "serial":
        out.append(("note", t("reasons.serial", left_out=share(found["left_out"]))))
    if outcome["removed_variance"] is not None:
        bare = {name: percent(outcome[f"unadjusted_{name}"]) for name in ("lift", "low", "high")}
        kind = "adjusted_column" if found["by_column"] else "adjusted"
        out.append(("note", t(f"reasons.{kind}", removed=share(outcome["removed_variance"]), **bare)))
    if trend and trend["p_value"] < 0.05:
        kind = "trend_down" if trend["slope"] < 0 else "trend_up"
        values = {"slope": f"{100 * trend['slope']:+.2f}", "p": f"{trend['p_value']:.2g}"}
        out.append(("doubt" if kind == "trend_down" else "note", t(f"reasons.{kind}", **values)))
    if any(row["winsorised"] is None for row in found["metrics"]):
        out.append(("doubt", t("reasons.tails")))
    return out


def _summary(found: JsonObject, t: Words) -> str:
    outcome = found["outcome"]
    low, high = deciding(outcome)
    return t(
        "summary_ratio" if "/" in found["metric"] else "summary",
        lift=percent(outcome["lift"]),
        metric=t.metric(found["metric"]),
        confidence=f"{outcome['confidence']:.0%}",
        low=percent(low),
        high=percent(high),
        decided_by=t(f"decided_by.{outcome['decided_by']}"),
    )


def _predicted(found: JsonObject, t: Words) -> str:
    said, outcome = found["prediction"], found["outcome"]
    if said is None or found["agrees"] is None:
        return t("predicted_none")
    word = "contradicts" if not found["agrees"] else "agrees" if found["told_apart"] else "same"
    return t(
        "predicted_text",
        **{name: percent(said[name]) for name in ("lift", "low", "high")},
        seen=percent(outcome["lift"]),
        seen_low=percent(outcome["low"]),
        seen_high=percent(outcome["high"]),
        word=t(f"words.{word}"),
        z=f"{found['difference_z']:+.1f}",
    )


def _lifts(found: JsonObject, t: Words) -> str:
    outcome, rows = found["outcome"], []
    kinds = {"fixed": ("low", "high"), "group": ("group_low", "group_high"), "always": ("always_low", "always_high")}
    strong = {"fixed-horizon": "fixed", "group-sequential": "group", "always-valid": "always"}[outcome["decided_by"]]
    for kind, (low, high) in kinds.items():
        if outcome[low] is not None:
            rows.append(_row(t(f"kinds.{kind}"), outcome["lift"], outcome[low], outcome[high], strong=kind == strong))
    if found["best"] is not None:
        best = found["best"]
        rows.append(_row(t("kinds.best", variant=best["variant"]), best["lift"], best["low"], best["high"]))
    if found["prediction"] is not None:
        said = found["prediction"]
        rows.append(_row(t("kinds.said"), said["lift"], said["low"], said["high"]))
    if found["rescaled_prediction"] is not None:
        rows.append(_row(t("kinds.rescaled"), *found["rescaled_prediction"]))
    return figures.lift_intervals(rows, 0.0, t("figures.axis"), t("figures.lifts"))


def _row(label: str, lift: float, low: float, high: float, *, strong: bool = False) -> figures.Row:
    return figures.Row(shown(label, 60), lift, low, high, strong=strong)


def _days(found: JsonObject, t: Words) -> str:
    if not found["trend"]:
        return ""
    days: list[Any] = found["trend"]["days"]
    table = [(day["day"] + 1, day["lift"], day["low"], day["high"]) for day in days]
    return figures.lifts_by_day(table, t("figures.day"), t("figures.lift"), t("figures.days"))


def _safe(svg: str) -> Markup:
    return Markup(figures.themed(svg))  # noqa: S704  drawn by us; matplotlib escapes the texts in it
