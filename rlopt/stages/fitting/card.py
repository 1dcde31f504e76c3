"""The model card of the reward and its figures, as ``fit-reward`` writes them beside the model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reward.arms import Arms
from reward.logs.splits import Splits
from reward.model.reward_model import RewardModel
from rlopt.report import figures as draw
from rlopt.report.cards import reward_card
from rlopt.run import package_versions
from rlopt.stages.fitting.evidence import Evidence, change_text, effects_note


def write_card(
    folder: Path,
    model: RewardModel,
    learned: Arms,
    splits: Splits,
    evidence: Evidence,
    settings: Mapping[str, Any],
    warnings: Sequence[str],
) -> None:
    """Write ``README.md`` and the figures it shows into ``folder``, which exists.

    Parameters
    ----------
    folder
        The model's folder.
    model, learned, splits, evidence
        What was fitted, on which arms, the sides of all items, and how good it is (`reward_evidence.measure`).
    settings
        Settings of the stage.
    warnings
        What the log doctor warns of.
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
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def _figures(figures: Evidence) -> dict[str, str | float | int | None]:
    """The evidence as rows of the model card."""
    out: dict[str, str | float | int | None] = {}
    for name, value in figures.items():
        label = name.replace("_", " ")
        if isinstance(value, dict) and set(value) == {"value", "low", "high"}:
            out[label] = f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
        elif not isinstance(value, (dict, list, tuple)):
            out[label] = value
    return out


def _effects(figures: Evidence) -> dict[str, str]:
    """The readable effects as rows of the model card."""
    return {
        effect["property"]: f"{change_text(effect)}, in {effect['share']:.0%} of the titles"
        for effect in figures.get("effects", ())
    }


def _draw(folder: Path, figures: Evidence) -> dict[str, str]:
    """Write the figures of the evidence into the model's folder: what each shows -> its file name."""
    out: dict[str, str] = {}
    if not figures:
        return out
    effects = [draw.Bar(e["property"], e["change"], e["low"], e["high"]) for e in figures["effects"]]
    bins = figures["reliability"]
    points = figures["learning_curve"]
    drawn = {
        "What goes with clicks": ("effects.svg", draw.effect_bars(effects) if effects else ""),
        "Predicted and observed rate": (
            "reliability.svg",
            draw.reliability_curve(
                np.array([b["predicted"] for b in bins]),
                np.array([[b["observed"][end] for end in ("value", "low", "high")] for b in bins]),
            )
            if bins
            else "",
        ),
        "Pair accuracy by the items learned from (linear part)": (
            "learning_curve.svg",
            draw.items_curve(
                np.array([p["items"] for p in points], dtype=np.float64),
                np.array([[p["pair_accuracy"][end] for end in ("value", "low", "high")] for p in points]),
                figures["noise_ceiling"],
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
