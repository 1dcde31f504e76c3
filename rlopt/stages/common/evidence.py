"""Evidence on the reward, on unseen items: what ``fit-reward`` prints, saves and puts on the model card."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from reward.arms import Arms
from reward.assignment import Assignment
from reward.doctor.diagnosis import sample_ratio
from reward.evidence.contributions import contributions, gain_shares, sizes
from reward.evidence.held_out import HeldOutFigures, held_out_figures
from reward.evidence.learning_curve import CurvePoint, LearningCurve
from reward.evidence.metrics import Interval
from reward.evidence.readable import Effect, readable_effects
from reward.logs.splits import Splits
from reward.model.reward_model import RewardModel
from reward.saved import read_text
from rlopt.files import to_json
from rlopt.threads import available

EVIDENCE = "evidence.json"  # in the folder of the reward

_SHAP_TITLES = 1500  # titles whose contributions are averaged
_PRINTED = 8  # effects on the screen; the card has all
RANDOMISED = (
    "Titles were shown by logged propensities that the traffic agrees with, so differences between titles are causes; "
    "which of their properties is the cause is inferred from titles that differ in it."
)
ASSOCIATIONS = (
    "These are associations: titles were not shown at random (no logged propensities, or traffic that disagrees with "
    "them), so what correlates with clicks need not cause them."
)


@dataclass(frozen=True)
class TopicSize:
    """Share of the title effect that is due to a topic.

    Parameters
    ----------
    contribution_std
        Standard deviation of its contributions (SHAP) between an item's titles, in log-odds.
    gain_share
        Its share of what the trees' splits gain.
    """

    contribution_std: float
    gain_share: float


@dataclass(frozen=True)
class FitEvidence(HeldOutFigures):
    """Content of ``evidence.json``: the figures on held-out items, and the topics the model depends on.

    Parameters
    ----------
    randomised
        True if titles were shown by logged propensities that the traffic agrees with: effects are then causal.
    effects, effects_explained
        As in `reward.evidence.readable.ReadableEffects`.
    topics
        Topic -> its size, largest first.
    learning_curve
        Pair accuracy by the items learned from; empty where none was drawn.
    """

    randomised: bool
    effects: tuple[Effect, ...]
    effects_explained: float
    topics: dict[str, TopicSize]
    learning_curve: tuple[CurvePoint, ...]


def measure(
    model: RewardModel,
    arms: Arms,
    splits: Splits,
    seed: int,
    curve: LearningCurve | None = None,
    assignment: Assignment = "unknown",
) -> FitEvidence | None:
    """The evidence on the judge's and the test items; None where it can say nothing.

    Nothing is chosen by these figures, so that offline-eval may still be asked about the same items.

    Parameters
    ----------
    model
        The reward, fitted on the train items.
    arms, splits
        The logs.
    seed
        Of the bootstraps.
    curve
        The learning curve that watched the fit.
    assignment
        Assignment of titles to impressions.
    """
    held_out = arms.of_items({*splits.judge, *splits.test})
    found = held_out_figures(model, held_out, seed)
    if found is None:
        return None
    effects = readable_effects(model.click, held_out, found.base_rate, threads=available())
    some = held_out.take(np.argsort(held_out.item_index, kind="stable")[:_SHAP_TITLES])
    block = model.block(some.arm_items, [str(title) for title in some.title])
    parts = contributions(model.click, block, threads=available())
    shap, gain = sizes(parts, some.item_index), gain_shares(model.click)
    return FitEvidence(
        **{field.name: getattr(found, field.name) for field in fields(found)},
        randomised=assignment == "randomized" or bool(arms.propensity_logged and sample_ratio(arms).agrees),
        effects=effects.effects,
        effects_explained=effects.explained,
        topics={
            topic: TopicSize(shap.get(topic, 0.0), gain.get(topic, 0.0))
            for topic in sorted({*shap, *gain}, key=lambda topic: (-shap.get(topic, 0.0), topic))
        },
        learning_curve=curve.points(model, held_out) if curve is not None else (),
    )


def evidence_text(found: FitEvidence | None) -> str:
    """Content of ``evidence.json``: an empty object where nothing could be said."""
    return to_json(found or {}, indent=2)


def read_evidence(path: Path) -> FitEvidence | None:
    """The evidence a fit saved; None where it could say nothing.

    Raises
    ------
    SavedError
        If the file is damaged.
    """
    text = read_text(path) if path.exists() else "{}"
    return None if text.strip() == "{}" else FitEvidence.from_json(text, path)


def evidence_lines(figures: FitEvidence | None) -> list[str]:
    """The evidence in words, for a person."""
    if figures is None:
        return ["No item was held out, so the quality of this reward is unknown (--judge-share, --test-share)."]
    lift, every, hit = figures.picked_lift, figures.pair_accuracy, figures.hit_rate
    lines = [
        f"On {figures.items:,} items it has not seen:",
        f"  of two titles of an item it finds the better one in {every.value:.1%} of {figures.pairs:,} pairs "
        f"[{every.low:.1%}, {every.high:.1%}], items weighted equally; {_ceiling(figures)}",
    ]
    if (clear := figures.pair_accuracy_significant) is not None:
        lines.append(
            f"  where they differ beyond chance: {clear.value:.1%} of {figures.significant_pairs:,} pairs "
            f"[{clear.low:.1%}, {clear.high:.1%}]"
        )
    lines += [
        f"  CTR of the title it would pick: {lift.value:+.1%} over the average title "
        f"[{lift.low:+.1%}, {lift.high:+.1%}]",
        f"  its pick is the item's best title in {hit.value:.1%} [{hit.low:.1%}, {hit.high:.1%}]; "
        f"a blind pick in {figures.hit_chance:.1%}",
        f"  calibration error of P(click): {figures.calibration_error:.2%} (absolute, at {figures.base_rate:.2%}"
        f" on average){_entropy(figures)}",
    ]
    if (slope := figures.effect_slope) is not None:
        lines.append(
            f"  for 1% more clicks that it predicts for one of an item's titles, {slope.value:.2f}% more were observed "
            f"[{slope.low:.2f}, {slope.high:.2f}]{_rescaled(slope)}"
        )
    if figures.interval_coverage is not None:
        lines.append(f"  its 90% intervals hold the clicks of {figures.interval_coverage:.1%} of the titles")
    if figures.learning_curve:
        steps = ", ".join(f"{point.items:,}: {point.pair_accuracy.value:.1%}" for point in figures.learning_curve)
        lines.append(f"  pairs by the items learned from (linear part): {steps}")
    return lines + _effect_lines(figures)


def _rescaled(slope: Interval) -> str:
    return ": rlopt score shrinks lifts by this factor" if slope.value < 1 else ""


def _ceiling(figures: FitEvidence) -> str:
    ceiling = figures.noise_ceiling
    if ceiling is None:
        return "items or clicks are too few to estimate what a perfect model would reach"
    return f"a perfect model would reach about {ceiling:.0%}"


def _entropy(figures: FitEvidence) -> str:
    entropy = figures.normalised_entropy
    return "" if entropy is None else f"; normalised entropy {entropy:.3f}"


def _effect_lines(figures: FitEvidence) -> list[str]:
    effects = figures.effects[:_PRINTED]
    if not effects:
        return []
    width = max(len(effect.property) for effect in effects)
    rows = [f"  {effect.property:<{width}}  {change_text(effect)}" for effect in effects]
    return ["What correlates with clicks, other things being equal:", *rows, f"  {effects_note(figures)}"]


def change_text(effect: Effect) -> str:
    """``+6% [+3, +9]``."""
    interval = ""
    if effect.low is not None and effect.high is not None:
        interval = f" [{100 * effect.low:+.0f}, {100 * effect.high:+.0f}]"
    return f"{100 * effect.change:+.0f}%{interval}"


def effects_note(figures: FitEvidence | None) -> str:
    """Note on the effects: causal, or associations only."""
    if figures is None:
        return ""
    return RANDOMISED if figures.randomised else ASSOCIATIONS
