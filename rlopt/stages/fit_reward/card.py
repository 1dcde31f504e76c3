"""The model card of the reward and its figures, as ``fit-reward`` writes them beside the model."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from reward.arms import Arms
from reward.evidence.metrics import Interval
from reward.logs.splits import Splits
from reward.model.reward_model import RewardModel
from rlopt.report import figures as draw
from rlopt.report.cards import reward_card
from rlopt.run import package_versions
from rlopt.stages.common.evidence import FitEvidence, change_text, effects_note

_MEANING = {
    "items": "held-out items with titles of different rates; in brackets, 95% intervals over items",
    "arms": "titles of all held-out items",
    "pairs": "pairs of titles of one item whose observed click rates differ",
    "significant_pairs": "pairs whose rates differ beyond chance (95%)",
    "pair_accuracy": "share of the pairs that it puts in the observed order; 0.5 is a coin, higher is better",
    "pair_accuracy_significant": "the same of the significant pairs",
    "noise_ceiling": "about the pair accuracy of a perfect model, which random clicks keep below 1",
    "effect_slope": "observed share of the predicted difference between an item's titles; below 1 is an overstatement",
    "picked_lift": "click rate of the titles it would pick over that of the average title, minus 1; higher is better",
    "best_lift": "the same of the titles with the highest observed rate, luck included: no model reaches it",
    "hit_rate": "share of the items whose picked title has the highest observed rate; higher is better",
    "hit_chance": "the same of a blind pick",
    "calibration_error": "mean distance of predicted and observed clicks per impression; lower is better",
    "normalised_entropy": "log loss, where always saying the base rate is 1; lower is better",
    "interval_coverage": "share of the titles whose clicks lie in their 90% interval; 0.9 is right",
    "base_rate": "clicks per impression of the held-out titles",
    "overdispersion": "variance of clicks, where chance alone is 1; intervals are wider by its root",
    "conversion_calibration_error": "mean distance of predicted and observed conversions per click; lower is better",
    "conversion_rate": "conversions per click of the held-out titles",
    "randomised": "true if titles were shown at random or by propensities that agree with the traffic",
    "effects_explained": "share of the variance of its title effects that readable properties account for, 0 to 1",
}
"""Figure of the evidence -> what it is, its unit and which direction is good."""


def write_card(
    folder: Path,
    model: RewardModel,
    learned: Arms,
    splits: Splits,
    evidence: FitEvidence | None,
    settings: Mapping[str, Any],
    warnings: Sequence[str],
) -> None:
    """Write ``README.md`` and the figures it shows into ``folder``, which exists.

    Parameters
    ----------
    folder
        The model's folder.
    model, learned, splits, evidence
        The models, their arms, the sides of all items, and the evidence
        (`rlopt.stages.common.evidence.measure`).
    settings
        Settings of the stage.
    warnings
        Warnings of the log doctor.
    """
    card = reward_card(
        n_items=len(learned.items),
        n_arms=len(learned),
        n_impressions=float(learned.impressions.sum()),
        split={
            "train": len(learned.items),
            "monitor": len(splits.train) - len(learned.items),
            "judge": len(splits.judge),
            "test": len(splits.test),
        },
        conversions=model.conversion is not None,
        warnings=warnings,
        figures=_figures(evidence),
        effects=_effects(evidence),
        note=effects_note(evidence),
        images=_draw(folder, evidence),
        settings=settings,
        versions=package_versions(),
        observational=model.observational,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def _figures(evidence: FitEvidence | None) -> dict[str, str | float | int | None]:
    """The evidence as rows of the model card: its name with what it means, and its value with the 95% interval."""
    out: dict[str, str | float | int | None] = {}
    for name in [field.name for field in fields(evidence)] if evidence else ():
        value = getattr(evidence, name)
        label = name.replace("_", " ")
        if name in _MEANING:
            label += f": {_MEANING[name]}"
        if isinstance(value, Interval):
            out[label] = f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
        elif not isinstance(value, (dict, tuple)):
            out[label] = value
    return out


def _effects(evidence: FitEvidence | None) -> dict[str, str]:
    """The readable effects as rows of the model card."""
    return {
        effect.property: f"{change_text(effect)}, in {effect.share:.0%} of the titles"
        for effect in (evidence.effects if evidence else ())
    }


def _draw(folder: Path, evidence: FitEvidence | None) -> dict[str, str]:
    """Write the figures of the evidence into the model's folder: what each shows -> its file name."""
    out: dict[str, str] = {}
    if evidence is None:
        return out
    effects = [draw.EffectBar(e.property, e.change, e.low, e.high) for e in evidence.effects]
    bins, points = evidence.reliability, evidence.learning_curve
    drawn = {
        "What correlates with clicks": ("effects.svg", draw.effect_bars(effects) if effects else ""),
        "Predicted and observed rate": (
            "reliability.svg",
            draw.reliability_curve(
                np.array([b.predicted for b in bins]),
                np.array([_ends(b.observed) for b in bins]),
            )
            if bins
            else "",
        ),
        "Pair accuracy by the items learned from (linear part)": (
            "learning_curve.svg",
            draw.items_curve(
                np.array([p.items for p in points], dtype=np.float64),
                np.array([_ends(p.pair_accuracy) for p in points]),
                evidence.noise_ceiling,
            )
            if points
            else "",
        ),
    }
    for caption, (name, svg) in drawn.items():
        if svg:
            (folder / name).write_text(svg, encoding="utf-8")
            out[caption] = name
    return out


def _ends(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high
