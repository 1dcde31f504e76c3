"""``rlopt explain``: why the reward model thinks of one title what it does."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reward.arms import Arms
from reward.evidence.explain import SUPPORTED, Explanation, Logged, Outside, TopicChange, explain
from reward.items import Item
from reward.plain import JsonObject
from rlopt.errors import RunError
from rlopt.run import Run
from rlopt.stages.common.evidence import EVIDENCE, effects_note, read_evidence
from rlopt.stages.common.opened import OpenedRun
from rlopt.wording import joined_lines

_PARTS = 10  # topics printed; --json has all


@dataclass(frozen=True)
class ExplainResult:
    """The explanation, and whether its parts may be taken for causes."""

    explanation: Explanation
    note: str

    def to_dict(self) -> JsonObject:
        """Plain JSON data."""
        return {**self.explanation.to_dict(), "note": self.note}

    def to_text(self) -> str:
        """Text for a person."""
        found = self.explanation
        lines = [
            f"{found.title!r} for item {found.item_id}"
            + ("" if found.known_item else " (not among the items the model learned from)"),
            f"  P(click) {found.p_click:.2%} [{found.low:.2%}, {found.high:.2%}]"
            + ("" if found.p_conversion is None else f", P(conversion | click) {found.p_conversion:.2%}")
            + f"; reward {found.reward:.4g} +- {found.reward_std:.2g}",
            f"Against {found.compared_with}: {found.change:+.0%} clicks. Of that",
            *_part_lines(found.parts[:_PARTS]),
            *([f"  {self.note}"] if self.note else []),
            *_support_lines(found),
        ]
        if found.unsupported:
            lines.append(f"Words the item does not state: {', '.join(found.unsupported)}")
        if found.unknown:
            lines.append(f"Words no logged title holds: {', '.join(found.unknown)}")
        if found.nearest:
            lines.append("Nearest logged titles of the item:")
        lines += [
            f"  {near.similarity:4.0%} alike  {near.clicks:,.0f} clicks of {near.impressions:,.0f}  {near.title}"
            for near in found.nearest
        ]
        return joined_lines(lines)


def explain_title(run: Run, title: str, item_id: str) -> ExplainResult:
    """Explain what the run's reward model predicts for one title.

    Parameters
    ----------
    run
        A run with a finished ``fit-reward``.
    title
        Any text.
    item_id
        An item of the logs, whichever side of the split it is on.

    Raises
    ------
    StageOrderError
        If the run has no reward model.
    RunError
        If the logs hold no such item; the message names the nearest ones.
    """
    opened = OpenedRun(run)
    item, logged = _item_of(opened.arms, item_id)
    found = explain(opened.reward, item, title, logged)
    return ExplainResult(found, effects_note(read_evidence(run / "reward" / EVIDENCE)))


def _item_of(arms: Arms, item_id: str) -> tuple[Item, Logged]:
    """The item and its logged titles with their counts."""
    place = {item.item_id: i for i, item in enumerate(arms.items)}
    if item_id not in place:
        near = difflib.get_close_matches(item_id, list(place), n=3, cutoff=0.5) or list(place)[:3]
        raise RunError(
            f"The run's logs hold no item {item_id!r}. Nearest of {len(place):,}: {', '.join(near)}. "
            "Titles of new items can be scored with rlopt score."
        )
    rows = np.flatnonzero(arms.item_index == place[item_id])
    titles = [str(title) for title in arms.title[rows]]
    return arms.items[place[item_id]], Logged(titles, arms.impressions[rows].tolist(), arms.clicks[rows].tolist())


def _part_lines(parts: Sequence[TopicChange]) -> list[str]:
    width = max((len(part.topic) for part in parts), default=0)
    return [f"  {part.topic:<{width}}  {part.change:+6.1%}{_interval(part)}" for part in parts]


def _interval(part: TopicChange) -> str:
    return "" if part.low is None or part.high is None else f" [{part.low:+.1%}, {part.high:+.1%}]"


def _support_lines(found: Explanation) -> list[str]:
    if not found.outside:
        return [f"Support {found.support:.2f}: similar to logged titles in every respect checked."]
    verdict = "unlike anything logged" if found.support < SUPPORTED else "at the edge of the logged titles"
    return [
        f"Support {found.support:.2f}: {verdict}. The prediction is a cautious guess. Outside the logged range:",
        *(f"  {reason.feature}: {reason.value:.3g} ({_range(reason)})" for reason in found.outside),
    ]


def _range(reason: Outside) -> str:
    if reason.low is None:
        return f"logged titles: at most {reason.high:.3g}"
    return f"logged titles: {reason.low:.3g} to {reason.high:.3g}"
