"""Figures as inline SVG: text stays text (any script, any zoom), nothing is loaded from outside."""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reward.arrays import FloatArray

INK, MUTED, GRID = "#1c2430", "#5b6675", "#dfe3e8"
ACCENT, SECOND, TRUTH = "#1f6f8b", "#b4532a", "#6b4fa0"
_THEME = {
    INK: "ink",
    MUTED: "muted",
    GRID: "line",
    ACCENT: "accent",
    SECOND: "second",
    TRUTH: "truth",
    "#ffffff": "paper",
}  # names of the page's colours
# Chinese glyphs come from the reader's own fonts; matplotlib would only write its own family's name
_FONTS = (
    "system-ui,-apple-system,'Segoe UI','Noto Sans','PingFang SC','Hiragino Sans GB','Microsoft YaHei',"
    "'Noto Sans CJK SC','WenQuanYi Micro Hei',sans-serif"
)
_LEAST_CHANGE = -0.9  # nothing is drawn below: -100% has no place on a log scale
_CHANGES = (-0.9, -0.75, -0.5, -0.25, -0.1, -0.05, -0.02, -0.01, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 9.0)
_WIDTH = 4.8  # inches: 346 px, so that text keeps its size on a phone


@dataclass(frozen=True)
class Row:
    """One interval of `lift_intervals`.

    Parameters
    ----------
    label
        Name of the comparison.
    value, low, high
        Relative lift and its interval; 0.05 is +5%.
    truth
        True lift where a simulator knows it.
    strong
        Drawn in the accent colour.
    """

    label: str
    value: float
    low: float
    high: float
    truth: float | None = None
    strong: bool = False


def lift_intervals(rows: Sequence[Row], min_lift: float, axis: str, description: str) -> str:
    """Lifts with their intervals, one line each, against the line of ``min_lift``."""
    figure, axes = _figure(height=0.55 * len(rows) + 0.95)
    axes.axvline(100 * min_lift, color=INK, linewidth=1.2)
    for position, row in enumerate(reversed(rows)):
        colour = ACCENT if row.strong else MUTED
        axes.plot([100 * row.low, 100 * row.high], [position] * 2, color=colour, linewidth=5, solid_capstyle="round")
        axes.plot([100 * row.value], [position], "o", color="white", markeredgecolor=colour, markeredgewidth=2)
        if row.truth is not None:
            axes.plot([100 * row.truth], [position], "D", color=TRUTH, markersize=6)
        axes.annotate(
            f"{row.label}  {row.value:+.1%}  ({row.low:+.1%} … {row.high:+.1%})",
            (0, position + 0.28),
            xycoords=("axes fraction", "data"),
            color=INK,
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )
    axes.set_ylim(-0.6, len(rows) - 0.25)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(_as_percent)
    axes.set_xlabel(axis)
    return _svg(figure, "lifts", description)


def lifts_by_day(days: Sequence[tuple[float, float, float, float]], axis: str, label: str, description: str) -> str:
    """(day, lift, low, high) of each day of a test, against no lift at all."""
    figure, axes = _figure(height=2.4)
    day, lift, low, high = (np.array(column) for column in zip(*days, strict=True))
    axes.axhline(0, color=INK, linewidth=1.0)
    axes.vlines(day, 100 * low, 100 * high, color=ACCENT, linewidth=3, alpha=0.5)
    axes.plot(day, 100 * lift, "o", color=ACCENT, markersize=5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(_as_percent)
    axes.set_xlabel(axis)
    axes.set_ylabel(label)
    return _svg(figure, "days", description)


def learning_curve(
    steps: FloatArray,
    values: FloatArray,
    axis: str,
    label: str,
    *,
    name: str,
    second: bool = False,
    percent: bool = False,
) -> str:
    """One quantity over PPO's steps: every step faintly, its running mean on top."""
    figure, axes = _figure(height=2.2)
    colour = SECOND if second else ACCENT
    axes.plot(thinned(steps), thinned(values), color=colour, alpha=0.3, linewidth=0.8)
    axes.plot(thinned(steps), thinned(running_mean(values)), color=colour, linewidth=1.8)
    if percent:
        axes.yaxis.set_major_formatter(_as_percent)
    axes.set_xlabel(axis)
    axes.set_ylabel(label)
    return _svg(figure, name, label)


def reward_against_kl(
    kl: FloatArray, reward: FloatArray, axis: str, label: str, description: str, *, percent: bool = False
) -> str:
    """Path of the training: what was gained for how far the policy moved from SFT."""
    figure, axes = _figure(height=2.4)
    x, y = thinned(running_mean(kl)), thinned(running_mean(reward))
    axes.plot(x, y, color=MUTED, linewidth=0.8)
    axes.scatter(x, y, c=np.arange(len(x)), cmap="viridis_r", s=9, zorder=3)
    if percent:
        axes.yaxis.set_major_formatter(_as_percent)
    axes.set_xlabel(axis)
    axes.set_ylabel(label)
    return _svg(figure, "reward-kl", description)


def gains_against_kl(rows: Sequence[Mapping[str, Any]]) -> str:
    """Gain by the optimised reward and by the monitor, against the KL from the SFT policy; "" without rows.

    The first always rises; where the second turns down, titles please the reward model and nobody else.

    Parameters
    ----------
    rows
        Metrics a step: "objective/kl", "objective/predicted_lift", and "monitor/lift" where there was a look.
    """
    curves = {
        "reward model": ("objective/predicted_lift", ACCENT),
        "monitor, on items of its own": ("monitor/lift", SECOND),
    }
    figure, axes = _figure(height=2.6)
    for label, (name, colour) in curves.items():
        seen = [(row["objective/kl"], 100 * row[name]) for row in rows if name in row and "objective/kl" in row]
        if seen:
            kl, lift = np.array(seen, dtype=np.float64).T
            window = max(1, len(seen) // 10)
            axes.plot(running_mean(kl, window), running_mean(lift, window), color=colour, linewidth=1.6, label=label)
    if not axes.lines:
        return ""
    axes.set_xlabel("KL to SFT, nats per title")
    axes.set_ylabel("predicted lift, %")
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure, "gains-kl", "Predicted lift of reward model and monitor against KL")


@dataclass(frozen=True)
class PolicyPoint:
    """One policy of `lift_against_kl`: lifts over SFT by the judge and by the simulator, None where unknown."""

    label: str
    kl: float
    lift: float | None
    truth: float | None = None


def lift_against_kl(points: Sequence[PolicyPoint]) -> str:
    """Lift of each policy against its KL from SFT: circles by the judge, diamonds by the simulator."""
    figure, axes = _figure(height=3.0)
    axes.axhline(0, color=INK, linewidth=1.0)
    for point in points:
        known = [value for value in (point.lift, point.truth) if value is not None]
        if not known:
            continue
        if point.lift is not None:
            axes.plot([point.kl], [100 * point.lift], "o", color=ACCENT)
        if point.truth is not None:
            axes.plot([point.kl], [100 * point.truth], "D", color=TRUTH, markersize=5)
        axes.annotate(
            point.label, (point.kl, 100 * max(known)), (4, 5), textcoords="offset points", color=INK, fontsize=8
        )
    axes.margins(x=0.15, y=0.15)
    axes.set_xlabel("KL to SFT, nats per title")
    axes.set_ylabel("lift over SFT, %")
    return _svg(figure, "lift-kl", "Lift over SFT against KL for each policy")


def item_lifts(lifts: FloatArray, axis: str, label: str, description: str) -> str:
    """Histogram of the items' expected lifts: whether the gain is everywhere or somewhere."""
    figure, axes = _figure(height=2.2)
    percent = 100 * lifts
    low, high = np.quantile(percent, [0.005, 0.995])
    axes.hist(np.clip(percent, low, high), bins=40, color=ACCENT)
    axes.axvline(0, color=INK, linewidth=1.2)
    axes.xaxis.set_major_formatter(_as_percent)
    axes.set_xlabel(axis)
    axes.set_ylabel(label)
    return _svg(figure, "item-lifts", description)


@dataclass(frozen=True)
class EffectBar:
    """One effect of `effect_bars`: relative change and its interval, which may be missing."""

    label: str
    change: float
    low: float | None
    high: float | None


def effect_bars(bars: Sequence[EffectBar]) -> str:
    """Readable effects of a reward model with their intervals, the first on top.

    On the log scale, where they add up, so that one large effect does not crush the others.
    """
    figure, axes = _figure(height=0.24 * len(bars) + 0.7)
    axes.axvline(0, color=INK, linewidth=1.2)
    for position, bar in enumerate(reversed(bars)):
        colour = ACCENT if bar.change > 0 else SECOND
        if bar.low is not None and bar.high is not None:
            ends = np.log1p(np.maximum([bar.low, bar.high], _LEAST_CHANGE))
            axes.plot(ends, [position] * 2, color=colour, linewidth=4, alpha=0.5)
        axes.plot([np.log1p(max(bar.change, _LEAST_CHANGE))], [position], "o", color=colour, markersize=5)
    names = [f"{_short(bar.label)}  {bar.change:+.0%}" for bar in reversed(bars)]
    axes.set_yticks(range(len(bars)), names, parse_math=False, color=INK, fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(bars) - 0.4)
    axes.spines["left"].set_visible(False)
    shown = _ticks(*axes.get_xlim())
    axes.set_xticks(np.log1p(shown), [f"{100 * change:+.0f}" if change else "0" for change in shown])
    axes.minorticks_off()
    axes.set_xlabel("change of the click rate, %")
    return _svg(figure, "effects", "Readable effects on clicks with their intervals")


def _ticks(left: float, right: float) -> list[float]:
    """Changes to mark on a log axis, from zero outwards, none too near its neighbour."""
    apart = (right - left) / 6
    shown = [0.0]
    for side in (-1, 1):
        last = 0.0
        for change in sorted((c for c in _CHANGES if c * side > 0), key=abs):
            place = float(np.log1p(change))
            if left <= place <= right and abs(place - last) >= apart:
                shown.append(change)
                last = place
    return sorted(shown)


def _short(label: str, longest: int = 34) -> str:
    """A label that leaves room for its figure."""
    return label if len(label) <= longest else label[: longest - 1] + "…"


def reliability_curve(predicted: FloatArray, observed: FloatArray) -> str:
    """Observed against predicted rate; ``observed`` holds value, low, high, shape (n_bins, 3)."""
    figure, axes = _figure(height=3.0)
    top = 100 * float(max(predicted.max(), observed.max()))
    axes.plot([0, top], [0, top], color=MUTED, linewidth=1)
    _with_intervals(axes, 100 * predicted, 100 * observed)
    axes.set_xlabel("predicted clicks per 100 impressions")
    axes.set_ylabel("observed")
    return _svg(figure, "reliability", "Observed against predicted click rate")


def items_curve(items: FloatArray, accuracy: FloatArray, ceiling: float | None) -> str:
    """Pair accuracy by the number of train items; ``accuracy`` holds value, low, high, shape (n, 3)."""
    figure, axes = _figure(height=2.4)
    if ceiling is not None:
        axes.axhline(100 * ceiling, color=MUTED, linewidth=1, linestyle="--")
    axes.plot(items, 100 * accuracy[:, 0], color=ACCENT, linewidth=1)
    _with_intervals(axes, items, 100 * accuracy)
    axes.set_xscale("log")
    axes.set_xticks(items, [f"{n:,.0f}" for n in items])
    axes.minorticks_off()
    axes.set_xlabel("items learned from" + ("" if ceiling is None else "  (dashed: with the true rates known)"))
    axes.set_ylabel("pairs in order, %")
    return _svg(figure, "items", "Pair accuracy by the number of items")


def _with_intervals(axes: Axes, x: FloatArray, values: FloatArray) -> None:
    """Points with their intervals; ``values`` holds value, low, high, shape (n, 3)."""
    axes.vlines(x, values[:, 1], values[:, 2], color=ACCENT, linewidth=3, alpha=0.5)
    axes.plot(x, values[:, 0], "o", color=ACCENT, markersize=5)


def running_mean(values: FloatArray, window: int = 0) -> FloatArray:
    """Mean of the last ``window`` values (0: a twentieth of all), of fewer at the start; shape as ``values``."""
    window = window or max(1, len(values) // 20)
    total = np.concatenate([[0.0], np.cumsum(values)])
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    mean: FloatArray = (total[end] - total[start]) / (end - start)
    return mean


def thinned(values: FloatArray, points: int = 250) -> FloatArray:
    """At most ``points`` values: means of equal blocks, so that a long training does not make a large page."""
    if len(values) <= points:
        return values
    return np.array([block.mean() for block in np.array_split(values, points)])


def _as_percent(value: float, _: float) -> str:
    return f"{value:+g}%" if value else "0%"


def themed(svg: str) -> str:
    """The figure in the colours of the page it stands in, dark or light; by itself it keeps its own."""
    for colour, name in _THEME.items():
        svg = re.sub(rf"(?<=: ){colour}\b", f"var(--{name}, {colour})", svg)
    return svg


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=8)
    axes.xaxis.label.set(color=INK, fontsize=9)
    axes.yaxis.label.set(color=INK, fontsize=9)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure, name: str, description: str) -> str:
    """The figure as one ``<svg>`` element that scales with the page."""
    buffer = io.StringIO()
    # a fixed salt gives the same ids, hence the same file, on every run; one salt a figure keeps them apart on a page
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the reader's browser has it
        canvas = FigureCanvasSVG(figure)
        canvas.print_svg(buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))  # type: ignore[no-untyped-call]
    text = buffer.getvalue()
    svg = text[text.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg [^>]*viewBox="([^"]*)"[^>]*>', _open_tag(description), svg, count=1)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)  # nothing points at groups, and several figures share a page
    return re.sub(r'font-family: [^;"]*', f"font-family: {_FONTS}", svg)


def _open_tag(description: str) -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        rf'viewBox="\1" role="img" aria-label="{description}">'
    )
