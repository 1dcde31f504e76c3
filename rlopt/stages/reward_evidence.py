"""How good the reward is on items it has not seen: what ``fit-reward`` prints, saves and puts on the model card."""

from dataclasses import asdict
from typing import Any

import numpy as np

from reward.arms import Arms
from reward.metrics import Interval, bootstrap, calibration_error, noise_ceiling, tally
from reward.model import RewardModel, click_rows
from reward.splits import Splits

Evidence = dict[str, Any]


def measure(model: RewardModel, arms: Arms, splits: Splits, seed: int) -> Evidence:
    """Measure the model on the judge's and the test items; empty where none of them has two titles that differ.

    Nothing is chosen by these figures, so that offline-eval may still be asked about the same items.

    Parameters
    ----------
    model
        Fitted on the train items.
    arms
        All arms.
    splits
        The sides.
    seed
        Of the bootstrap.

    Returns
    -------
    Evidence
        ``pair_accuracy`` (all pairs of titles of one item), ``pair_accuracy_significant`` (those whose rates differ
        beyond chance after overdispersion), ``picked_lift`` (CTR of the title the model would pick over the item's
        average title) and ``hit_rate``, each with a 95 % interval by an item bootstrap; ``noise_ceiling``,
        ``calibration_error`` (absolute), ``overdispersion``, ``items`` and ``pairs``.
    """
    held = arms.of_items({*splits.judge, *splits.test})
    rows = click_rows(held)
    predicted = model.predict(held.arm_items, [str(title) for title in held.title])
    overdispersion = model.click.basis.noise.overdispersion
    tallies = tally(rows, predicted.effect, overdispersion)
    if not tallies.pairs.sum():
        return {}
    ratios = {
        "pair_accuracy": (tallies.right, tallies.pairs),
        "pair_accuracy_significant": (tallies.right_significant, tallies.significant),
        "picked_lift": (tallies.picked - tallies.mean, tallies.mean),
        "hit_rate": (tallies.hit, np.ones_like(tallies.hit)),
    }
    intervals = bootstrap(np.array(list(ratios.values())), tallies, seed)
    return {
        **{name: asdict(interval) for name, interval in zip(ratios, intervals, strict=True)},
        "noise_ceiling": noise_ceiling(rows, seed),
        "calibration_error": calibration_error(predicted.p_click, rows),
        "overdispersion": overdispersion,
        "items": int(np.count_nonzero(tallies.pairs)),
        "pairs": int(tallies.pairs.sum()),
        "significant_pairs": int(tallies.significant.sum()),
    }


def evidence_lines(evidence: Evidence) -> list[str]:
    """The evidence in words, for a person."""
    if not evidence:
        return ["No item was held out, so nothing is known of how good this reward is (--judge-share, --test-share)."]
    lift, every, clear = (
        Interval(**evidence[n]) for n in ("picked_lift", "pair_accuracy", "pair_accuracy_significant")
    )
    lines = [
        f"On {evidence['items']:,} items it has not seen:",
        f"  of two titles of an item it finds the better one in {every.value:.1%} of {evidence['pairs']:,} pairs "
        f"[{every.low:.1%}, {every.high:.1%}]; two halves of the clicks agree in {evidence['noise_ceiling']:.1%}",
    ]
    if evidence["significant_pairs"]:
        lines.append(
            f"  where they differ beyond chance: {clear.value:.1%} of {evidence['significant_pairs']:,} pairs "
            f"[{clear.low:.1%}, {clear.high:.1%}]"
        )
    lines += [
        f"  CTR of the title it would pick: {lift.value:+.1%} over the average title "
        f"[{lift.low:+.1%}, {lift.high:+.1%}]",
        f"  calibration error of P(click): {evidence['calibration_error']:.2%} (absolute)",
    ]
    return lines


def card_figures(evidence: Evidence) -> dict[str, str | float | int]:
    """The evidence as rows of the model card."""
    out: dict[str, str | float | int] = {}
    for name, value in evidence.items():
        label = name.replace("_", " ")
        if isinstance(value, dict):
            out[label] = f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
        else:
            out[label] = value
    return out
