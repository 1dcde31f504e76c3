"""Numbers the log doctor needs, from arms: traffic shares, spread of titles within items, titles that look broken."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..arms import Arms
from ..arrays import FloatArray
from ..logs.comparable import InverseWeighted
from ..logs.heterogeneity import Heterogeneity
from ..text import clean

MAX_USUAL_CHARACTERS = 300
"""Titles above this length are reported: most surfaces cut them."""
SAMPLE_RATIO_LEVEL = 0.01
"""False-discovery rate at which an item's traffic counts as not split as expected."""
_MIN_EXPECTED = 5.0
_WORST = 5

_EMPTY = "empty after cleaning"
_TITLE_RULES = {
    "control characters": re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"),
    "line breaks or tabs": re.compile(r"[\t\n]"),
    "zero-width or direction characters": re.compile("[\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069]"),
    "HTML": re.compile(r"</?[a-zA-Z][^<>]*>|&(?:[a-zA-Z]{2,8}|#\d{1,6});"),
    "broken encoding": re.compile("\ufffd|\u00c3[\u0080-\u00bf]"),
    f"more than {MAX_USUAL_CHARACTERS} characters": re.compile(rf"(?s).{{{MAX_USUAL_CHARACTERS + 1}}}"),
}
_INVISIBLE = "The reward reads a word that holds one as two, and a policy writes the word without it. Remove them."
_ADVICE = {
    "control characters": _INVISIBLE,
    "line breaks or tabs": (
        "The same words with a blank in their place count as another title, and a policy writes the blank. Log a blank "
        "where people saw no break."
    ),
    "zero-width or direction characters": _INVISIBLE,
    "HTML": (
        "The reward takes tags and entities for words, and a policy learns to write them. Log what people saw: no "
        "tags, & for &amp;."
    ),
    "broken encoding": (
        "The reward learns from the broken letters, and a policy learns to write them. Export the logs again as UTF-8."
    ),
    f"more than {MAX_USUAL_CHARACTERS} characters": (
        "Most surfaces cut them, and the reward learns from text that nobody saw. Log what was shown."
    ),
    _EMPTY: "No policy learns from them. Leave such rows out, or log what was shown.",
}


@dataclass(frozen=True)
class TitleProblem:
    """A text rule that logged titles break: how many distinct titles, one of them, and the consequence."""

    rule: str
    titles: int
    example: str

    @property
    def advice(self) -> str:
        """Explain what the reward model and a policy make of such titles, and the way out."""
        return _ADVICE[self.rule]


@dataclass(frozen=True)
class SampleRatio:
    """Traffic of items against what was expected.

    Parameters
    ----------
    expected
        ``propensity`` (the logged ones), ``equal shares``, or ``equal rows`` where a title that is in several rows of
        an item counts as this many variants.
    tested
        Items with two titles or more and enough impressions for a chi-square test.
    mismatched
        Of these, items that differ at `SAMPLE_RATIO_LEVEL` after Benjamini-Hochberg.
    worst
        Up to five mismatched items, worst first.
    """

    expected: str
    tested: int
    mismatched: int
    worst: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """True where traffic is as expected but for single items, which do not undo a randomisation."""
        return self.mismatched <= SAMPLE_RATIO_LEVEL * self.tested


@dataclass(frozen=True)
class TitleSpread:
    """Difference in CTR between titles of one item, beyond chance.

    Parameters
    ----------
    relative
        Standard deviation of the true CTR between titles of an item, relative to the item's CTR.
    p_value
        Chance of differences as large as these if no title mattered.
    median_clicks
        Median clicks of an arm of items with two titles or more.
    detectable
        Relative CTR difference that two titles with ``median_clicks`` each show at p < .05 with 80% power.
    """

    relative: float
    p_value: float
    median_clicks: float
    detectable: float | None


def sample_ratio(arms: Arms, variants: FloatArray | None = None) -> SampleRatio:
    """Chi-square test by item of the observed traffic shares against logged propensities, else equal shares.

    A test may hold a title twice (with two images, say): traffic is split equally between its variants, not its
    titles. ``variants`` is their number for each arm, shape (arms,); equal shares of either are taken, whichever the
    traffic agrees with.
    """
    if arms.propensity_logged:
        return _against("propensity", arms, arms.propensity)
    by_title = _against("equal shares", arms, np.ones(len(arms)))
    if variants is None or not by_title.mismatched:
        return by_title
    by_variant = _against("equal rows", arms, variants)
    return by_variant if by_variant.mismatched < by_title.mismatched else by_title


def _against(expected_by: str, arms: Arms, weight: FloatArray) -> SampleRatio:
    count = np.bincount(arms.item_index, minlength=len(arms.items))
    total = np.bincount(arms.item_index, arms.impressions, minlength=len(arms.items))
    share = weight / np.bincount(arms.item_index, weight, minlength=len(arms.items))[arms.item_index]
    expected = total[arms.item_index] * share
    statistic = np.bincount(arms.item_index, (arms.impressions - expected) ** 2 / expected, minlength=len(arms.items))
    least = np.full(len(arms.items), np.inf)
    np.minimum.at(least, arms.item_index, expected)
    tested = np.flatnonzero((count >= 2) & (least >= _MIN_EXPECTED))
    p_values = stats.chi2.sf(statistic[tested], count[tested] - 1)
    wrong = tested[stats.false_discovery_control(p_values) <= SAMPLE_RATIO_LEVEL]  # Benjamini-Hochberg
    worst = wrong[np.argsort(-statistic[wrong] / np.maximum(count[wrong] - 1, 1), kind="stable")][:_WORST]
    return SampleRatio(
        expected_by,
        len(tested),
        len(wrong),
        tuple(arms.items[i].item_id for i in worst),
    )


def weighted_sample_ratio(arms: Arms, weighted: InverseWeighted) -> SampleRatio:
    """Z test by arm of rows with propensities of their own; items with an arm that differs are mismatched.

    Weighted by 1 / propensity an arm's impressions add up to its item's on average, with the variance
    sum (1 - p) / p^2.
    """
    total = np.bincount(arms.item_index, arms.impressions, minlength=len(arms.items))[arms.item_index]
    variance = np.maximum(weighted.shown_squared - weighted.shown, 1e-9)
    count = np.bincount(arms.item_index, minlength=len(arms.items))[arms.item_index]
    tested = np.flatnonzero((count >= 2) & (arms.impressions >= _MIN_EXPECTED))
    z = np.abs(weighted.shown - total)[tested] / np.sqrt(variance[tested])
    if not len(tested):
        return SampleRatio("propensity", 0, 0, ())
    wrong = stats.false_discovery_control(2 * stats.norm.sf(z)) <= SAMPLE_RATIO_LEVEL
    items = arms.item_index[tested]
    worst = items[wrong][np.argsort(-z[wrong], kind="stable")].tolist()
    return SampleRatio(
        "propensity",
        len(np.unique(items)),
        len(set(worst)),
        tuple(arms.items[i].item_id for i in list(dict.fromkeys(worst))[:_WORST]),
    )


def title_spread(arms: Arms, overdispersion: float = 1.0) -> TitleSpread | None:
    """Heterogeneity of CTR between titles of one item, by moments (`reward.logs.heterogeneity`).

    Returns
    -------
    TitleSpread or None
        None where no item has two titles and a click.
    """
    found = Heterogeneity.of(arms.clicks, arms.exposure, arms.item_index, len(arms.items))
    if not found.used.any():
        return None
    median = float(np.median(arms.clicks[found.used]))
    return TitleSpread(
        relative=float(np.sqrt(found.variance(overdispersion))),
        p_value=float(stats.chi2.sf(found.statistic / overdispersion, found.freedom)),
        median_clicks=median,
        detectable=float(2.8 * np.sqrt(2 * overdispersion / median)) if median > 0 else None,
    )


def title_problems(titles: Iterable[str]) -> tuple[TitleProblem, ...]:
    """Text rules that the distinct ``titles`` break, most frequent first."""
    found: dict[str, list[str]] = {}
    for title in dict.fromkeys(titles):
        if not clean(title):
            found.setdefault(_EMPTY, []).append(title)
        for rule, pattern in _TITLE_RULES.items():
            if pattern.search(title):
                found.setdefault(rule, []).append(title)
    ordered = sorted(found.items(), key=lambda pair: -len(pair[1]))
    return tuple(TitleProblem(rule, len(broken), broken[0]) for rule, broken in ordered)
