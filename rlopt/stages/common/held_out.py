"""The test items, which no training has seen: what is refused before anyone is evaluated on them, and their arms."""

from collections.abc import Sequence

import numpy as np

from reward.arms import Arms
from reward.logs.splits import Splits
from rlopt.errors import EvaluationError
from rlopt.progress import note
from rlopt.wording import counted


def check_splits(splits: Splits) -> None:
    """Refuse splits that would make the answer meaningless: a side is empty, or an item is on two.

    Raises
    ------
    EvaluationError
        Says which side.
    """
    for side, items in (("judge", splits.judge), ("test", splits.test)):
        if not items:
            raise EvaluationError(
                f"This run has no {side} items (fit-reward --{side}-share 0), and a policy looks good to whatever it "
                f"was trained on. Run again: rlopt fit-reward LOGS --{side}-share 0.2"
            )
    sides = {"train": set(splits.train), "judge": set(splits.judge), "test": set(splits.test)}
    for first, second in (("train", "test"), ("train", "judge"), ("judge", "test")):
        if shared := sorted(sides[first] & sides[second]):
            raise EvaluationError(
                f"The {first} and the {second} side share {counted(len(shared), 'item')} (first: {shared[0]!r:.60}), "
                "so that the policy would be evaluated on what it learned from. Run rlopt fit-reward again."
            )


def shown_arms(arms: Arms, chosen: Sequence[str], max_items: int, random: np.random.Generator) -> Arms:
    """The logged arms of these test items that were shown; at most ``max_items`` items, drawn at random.

    Raises
    ------
    EvaluationError
        They have no click.
    """
    n_items = len(chosen)
    if n_items > max_items:
        picked = np.sort(random.permutation(len(chosen))[:max_items])
        chosen = [chosen[i] for i in picked]
        note(f"Evaluating on {max_items} of {n_items} test items (max_items)")
    test = arms.of_items(set(chosen))
    shown = test.take(test.exposure > 0)
    if shown.clicks.sum() <= 0:
        raise EvaluationError(
            f"The {len(chosen)} test items have no click at all, and a lift over a click rate of zero is not defined. "
            "Give fit-reward more logs."
        )
    return shown
