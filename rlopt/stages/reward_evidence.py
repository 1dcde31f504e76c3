"""How good the reward is on items it has not seen: what ``fit-reward`` prints, saves and puts on the model card."""

from typing import Any

from reward.arms import Arms
from reward.evidence import evidence
from reward.metrics import Interval
from reward.model import RewardModel
from reward.splits import Splits

Evidence = dict[str, Any]


def measure(model: RewardModel, arms: Arms, splits: Splits, seed: int) -> Evidence:
    """`reward.evidence.evidence` on the judge's and the test items, as JSON data; empty where it can say nothing.

    Nothing is chosen by these figures, so that offline-eval may still be asked about the same items.
    """
    found = evidence(model, arms.of_items({*splits.judge, *splits.test}), seed)
    return {} if found is None else found.to_dict()


def evidence_lines(figures: Evidence) -> list[str]:
    """The evidence in words, for a person."""
    if not figures:
        return ["No item was held out, so nothing is known of how good this reward is (--judge-share, --test-share)."]
    lift, every = (Interval(**figures[name]) for name in ("picked_lift", "pair_accuracy"))
    lines = [
        f"On {figures['items']:,} items it has not seen:",
        f"  of two titles of an item it finds the better one in {every.value:.1%} of {figures['pairs']:,} pairs "
        f"[{every.low:.1%}, {every.high:.1%}]; two halves of the clicks agree in {figures['noise_ceiling']:.1%}",
    ]
    if figures["pair_accuracy_significant"] is not None:
        clear = Interval(**figures["pair_accuracy_significant"])
        lines.append(
            f"  where they differ beyond chance: {clear.value:.1%} of {figures['significant_pairs']:,} pairs "
            f"[{clear.low:.1%}, {clear.high:.1%}]"
        )
    lines += [
        f"  CTR of the title it would pick: {lift.value:+.1%} over the average title "
        f"[{lift.low:+.1%}, {lift.high:+.1%}]",
        f"  calibration error of P(click): {figures['calibration_error']:.2%} (absolute)",
    ]
    return lines


def card_figures(figures: Evidence) -> dict[str, str | float | int | None]:
    """The evidence as rows of the model card."""
    out: dict[str, str | float | int | None] = {}
    for name, value in figures.items():
        label = name.replace("_", " ")
        if isinstance(value, dict):
            out[label] = f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
        else:
            out[label] = value
    return out
