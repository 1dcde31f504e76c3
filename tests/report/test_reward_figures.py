"""Figures of the reward: whole SVG, any script, no formula made of a dollar sign, nothing loaded from outside."""

import re
from xml.etree import ElementTree

import numpy as np

from rlopt.report.figures import EffectBar, _ticks, effect_bars, items_curve, reliability_curve


def texts(svg: str) -> str:
    """All text in a well-formed SVG."""
    root = ElementTree.fromstring(svg)  # noqa: S314  our own output
    assert root.tag.endswith("svg")
    assert "http" not in svg.replace("http://www.w3.org/", "")
    return " ".join(part.strip() for part in root.itertext())


def test_effects_show_labels_of_any_script() -> None:
    bars = [EffectBar("names the 颜色", 0.06, 0.03, 0.09), EffectBar("says '$5 & <b>'", -0.08, None, None)]
    found = texts(effect_bars(bars))
    assert "names the 颜色  +6%" in found
    assert "says '$5 & <b>'  -8%" in found


def test_effects_beyond_the_axis_and_long_labels_stay_in_the_figure() -> None:
    svg = effect_bars([EffectBar("x" * 90, -1.0, -1.0, 0.2), EffectBar("tiny", 0.002, 0.001, 0.003)])
    assert "x" * 33 + "…  -100%" in texts(svg)
    assert not re.search(r"\b(nan|inf)\b", svg)


def test_ticks_start_at_zero_and_keep_apart() -> None:
    for left, right in ((-0.03, 0.03), (-2.0, 1.2), (-0.1, 2.5)):
        places = np.log1p(_ticks(left, right))
        assert 0.0 in places
        assert np.diff(places).min(initial=9.0) >= (right - left) / 6
        assert left <= places.min()
        assert places.max() <= right


def test_reliability_and_learning_curve() -> None:
    predicted = np.array([0.02, 0.04])
    observed = np.array([[0.021, 0.018, 0.025], [0.05, 0.03, 0.07]])
    assert "predicted clicks per 100 impressions" in texts(reliability_curve(predicted, observed))
    accuracy = np.array([[0.55, 0.5, 0.6], [0.6, 0.55, 0.65]])
    found = texts(items_curve(np.array([150.0, 1200.0]), accuracy, 0.65))
    assert "1,200" in found
    assert "150" in found
