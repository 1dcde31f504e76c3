"""Findings of the log doctor, topic by topic: each function yields (severity, sentence) pairs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..arms import Arms
from ..assignment import Assignment
from ..errors import SplitError
from ..logs.leaks import LEAKS
from ..logs.periods import OFTEN_ALONE
from ..logs.read import LogData
from ..logs.schema import looks_like
from ..logs.splits import split_items
from .diagnosis import SampleRatio, TitleProblem, TitleSpread
from .marks import say_marks

Severity = Literal["ok", "warning", "stop"]
Consequence = Literal["none", "note", "doubt", "stop"]
"""Consequence of a finding for the verdict: none; reported there; no launch while it stands; no fit at all."""
Line = tuple[Severity, str] | tuple[Severity, str, Consequence, str]
"""Severity and sentence; where the verdict takes it up, the consequence and a short name for programs."""
Lines = Iterator[Line]
USUAL: dict[Severity, Consequence] = {"ok": "none", "warning": "none", "stop": "stop"}
"""Consequence of a line that names none."""

_LEARNABLE = 0.01
_MOSTLY_TIED = 0.9
_LEVEL_CHANGE = 0.1
_MANY_TIED = 0.2
_MOSTLY_IN = 0.8  # share of the oldest clicks' conversions from which the rest is corrected for, not guessed
_MIN_CLICKED = 30  # titles with clicks, to tell that all counts are multiples of one number


@dataclass(frozen=True)
class Facts:
    """Numbers that several topics speak of; see `reward.doctor.examine.LogReport`."""

    items_with_choice: int
    alone_share: float | None
    shared_titles: int
    largest_tied_share: float
    sample_ratio: SampleRatio
    title_spread: TitleSpread | None
    title_problems: tuple[TitleProblem, ...]
    cvr: float | None
    corrected_cvr: float | None
    assignment: Assignment
    conversions_complete: bool
    observational: bool


def repetition(arms: Arms) -> int:
    """Greatest common divisor of all counts of impressions and clicks; 1 where too few titles were clicked to tell.

    Counts of logs without copies have none: that all of ``n`` counts are even has a chance of about 2^-n.
    """
    if np.count_nonzero(arms.clicks) < _MIN_CLICKED:
        return 1
    return int(np.gcd.reduce(np.concatenate([arms.impressions, arms.clicks]).round().astype(np.int64)))


def reward(logs: LogData, facts: Facts) -> Lines:
    """Check if a reward model can be fitted: clicks, items, choice between titles, differences beyond chance."""
    totals, arms = logs.totals, logs.arms
    if totals.empty_rows:
        yield "ok", f"Rows without impressions, left out: {totals.empty_rows:,}."
    if totals.clicks == 0:
        yield "stop", "There is no click at all: nothing can be learned. Check the clicks column and its mapping."
    elif totals.clicks == totals.impressions:
        yield "stop", "Every impression was clicked: nothing can be learned. Map impressions, or log those unclicked."
    if len(arms.items) < 2:
        yield "stop", "There is one item only: nothing can be held out to check a model. Check the item_id mapping."
    if facts.observational:
        yield (
            "warning",
            (
                "The reward is observational: it compares titles of different items with similar known properties, so "
                "anything unlogged (a better photo, a louder campaign) counts as an effect of the title. "
                "Show items with several titles (rlopt explore plans it) and fit again on those logs."
            ),
            "doubt",
            "observational",
        )
    elif facts.items_with_choice == 0:
        yield (
            "stop",
            (
                "No item was shown with two titles, so the effect of a title cannot be separated from the item's. Show "
                "titles side by side; or start by learning from differences between items: --observational."
            ),
        )
    spread = facts.title_spread
    if spread is None or totals.clicks == totals.impressions:
        return
    found = (
        f"{facts.items_with_choice:,} of {len(arms.items):,} items have two titles or more, which differ by "
        f"{spread.relative:.0%} in CTR (standard deviation beyond chance)"
    )
    clicks = "click" if round(spread.median_clicks) == 1 else "clicks"
    size = f"a title has {spread.median_clicks:,.0f} {clicks} in the median"
    if spread.detectable is not None:
        size += f", which shows differences of {spread.detectable:.0%} between two titles"
    if spread.p_value < _LEARNABLE:
        yield "ok", f"Reward: yes. {found}; {size}."
    else:
        yield (
            "warning",
            (
                f"Reward: hardly. Titles of one item do not clearly differ beyond chance (p = {spread.p_value:.2f}, "
                f"{_LEARNABLE:g} needed); {size}. More impressions per title would help."
            ),
            "doubt",
            "no_title_effect",
        )
    if (times := repetition(arms)) > 1:
        yield (
            "warning",
            (
                f"All counts of impressions and clicks are multiples of {times}, as if every row appeared {times} "
                "times (a log read twice, a join that repeats rows). Remove the copies: they make differences look "
                "more certain than they are."
            ),
            "doubt",
            "copies",
        )
    if logs.overdispersion is not None and logs.overdispersion > 1.2:
        yield (
            "ok",
            (
                f"Rows that repeat a title vary {logs.overdispersion:.2f} times as much as chance (overdispersion): "
                "intervals must be wider by its root."
            ),
        )


def conversions(logs: LogData, facts: Facts) -> Lines:
    """Check if there are conversions, and how many are still to come."""
    arms = logs.arms
    if arms.conversions is None:
        yield "ok", "Conversions: not logged, the reward counts clicks alone."
        return
    if not arms.conversions.any():
        yield "warning", "Conversions: the column is there but holds none, the reward counts clicks alone."
        return
    total = int(arms.conversions.sum())
    if facts.conversions_complete:
        yield "ok", f"Conversions: yes, {total:,} ({facts.cvr:.2%} of clicks), complete, as you say."
        return
    if logs.delay is None:
        lacks = [name for name in ("timestamp", "conversion_delay_hours") if name not in logs.columns]
        why = f"without {' and '.join(lacks)}" if lacks else "with so few conversions whose delay is known"
        yield (
            "warning",
            (
                f"Conversions: yes, {total:,} ({facts.cvr:.2%} of clicks), but {why} rlopt cannot correct for those "
                "still to come after the logs' end: the rate may be too low, most of all for titles shown last. "
                "If all have come in, say so: --conversions-complete."
            ),
            "doubt",
            "immature_conversions",
        )
        return
    seen = float(logs.delay.seen(np.array([logs.delay.longest_hours]))[0])
    yield (
        "ok",
        (
            f"Conversions: yes, {total:,}. {facts.cvr:.2%} of clicks, {facts.corrected_cvr:.2%} corrected for those "
            f"still to come (median delay {logs.delay.median_hours:,.1f} hours, {logs.delay.family})."
        ),
    )
    if seen < _MOSTLY_IN:
        yield (
            "warning",
            (
                f"Even the oldest click shows only {seen:.0%} of its conversions: the rate is extrapolated. Set an "
                "attribution window, or keep longer logs. If all have come in, say so: --conversions-complete."
            ),
            "doubt",
            "immature_conversions",
        )


def positions(logs: LogData, facts: Facts) -> Lines:
    """Say if examination by position is known."""
    bias = logs.position_bias
    if bias is None or len(bias.position) < 2:
        yield "ok", "Positions: not logged or only one, CTR is taken as it is."
        return
    tied = float(bias.impressions[bias.identified].sum() / bias.impressions.sum())
    if bias.identified.sum() < 2:
        yield "warning", "Positions: no title was shown at two positions, so CTR cannot be corrected for position."
        return
    top, bottom = int(np.argmax(bias.theta)), int(np.argmin(bias.theta))
    yield (
        "ok",
        (
            f"Positions: yes, position {bias.position[top]} is looked at {bias.theta[top] / bias.theta[bottom]:.1f} "
            f"times as often as position {bias.position[bottom]}; clicks are weighted accordingly."
        ),
    )
    share = logs.totals.position_impressions / logs.totals.impressions
    if tied < 0.95 or share < 0.95:
        yield (
            "warning",
            (
                f"Positions are known for {share:.0%} of the impressions, and {tied:.0%} of these are tied together by "
                "titles shown at several positions; the rest is not corrected."
            ),
        )


def reading(logs: LogData, facts: Facts) -> Lines:
    """List the decisions made while reading the logs."""
    for note in logs.notes:
        yield "warning", note


def time(logs: LogData, facts: Facts) -> Lines:
    """Check if items can be split by time, and if titles of one item were shown side by side."""
    if logs.arms.first_seen is not None:
        yield "ok", "Time: yes, items can be split by when they were first seen (time split)."
    elif logs.totals.timestamp_impressions:
        yield "warning", "Time: some titles have no timestamp, so items cannot be split by time."
    else:
        yield "ok", "Time: not logged, items are split at random."
    told = logs.periods is not None and logs.periods.tied_share > _MOSTLY_TIED
    if logs.periods is not None and told and np.ptp(logs.periods.level) > _LEVEL_CHANGE:
        low, high = float(logs.periods.level.min()), float(logs.periods.level.max())
        yield (
            "ok",
            (
                f"Season: titles that were shown all along got {low:.0%} to {high:.0%} of their average clicks, from "
                f"one of {len(logs.periods.level)} times to another; titles are compared after removing this."
            ),
        )
    yield from succession(facts.alone_share, corrected=told)


def succession(alone: float | None, *, corrected: bool) -> Lines:
    """Check if titles replaced one another (``alone`` as in `reward.logs.periods.alone_share`)."""
    if alone is None or alone <= OFTEN_ALONE:
        return
    all_alike = (
        "is corrected for"
        if corrected
        else "could not be estimated: that takes a time in every row, and titles shown before and after"
    )
    yield (
        "warning",
        (
            f"Titles replaced one another: {alone:.0%} of the impressions of items with several titles fell in times "
            "when no other title of the item was shown. Anything else that changed for the item (price, place on the "
            f"page, age) counts as an effect of the title; changes in the clicks of all items (season) {all_alike}. "
            "Show titles of one item side by side, at random."
        ),
        "doubt",
        "replaced_titles",
    )


def titles(logs: LogData, facts: Facts) -> Lines:
    """Check if titles break text rules, or belong to several items."""
    if logs.padded_titles:
        yield "ok", f"Titles with blanks at their ends, which were taken off: {logs.padded_titles:,}."
    for problem in facts.title_problems:
        yield (
            "warning",
            f"Titles with {problem.rule}: {problem.titles:,}, for example {problem.example[:60]!r}. {problem.advice}",
        )
    if facts.shared_titles:
        severity: Severity = "warning" if facts.largest_tied_share > _MANY_TIED else "ok"
        yield (
            severity,
            (
                f"Title texts of several items: {facts.shared_titles:,}; the largest group of items tied by shared "
                f"titles holds {facts.largest_tied_share:.1%} of them and goes to one side of the split whole."
            ),
        )


def context(logs: LogData, facts: Facts) -> Lines:
    """Name the columns that describe the items, and values that may stand for missing ones."""
    yield from say_marks(logs.arms)
    if logs.context_columns:
        yield "ok", f"Context of the items: {_listed(logs.context_columns)}."
    else:
        yield "warning", "No column describes the items: titles can be scored, but a policy has nothing to write from."
    reasons: dict[str, list[str]] = {}
    for column, why in logs.dropped_columns.items():
        reasons.setdefault(why, []).append(column)
    for why, columns in reasons.items():
        yield "warning" if why in LEAKS else "ok", f"Not context of the items: {_listed(columns)} ({why})."
    for column in (*logs.context_columns, *logs.dropped_columns):
        meant = looks_like(column)
        if meant is not None and meant not in logs.columns:
            yield "warning", f"Column '{column}' looks like {meant}. If it is: --columns {meant}={column}"


def sides(arms: Arms, judge_share: float, test_share: float) -> Iterator[tuple[Severity, str, str]]:
    """Check if the items can be split as asked: (severity, topic, sentence); nothing where they can."""
    try:
        split_items(arms, judge_share=judge_share, test_share=test_share, seed=0)
    except SplitError as error:
        yield "stop", "splits", str(error)


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
