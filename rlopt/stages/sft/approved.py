"""Examples for SFT from people: titles that they approved or wrote."""

from reward.items import Item
from rlopt.policy.sound_targets import Pairs
from rlopt.progress import note
from rlopt.reviewing.decided import Reviews
from rlopt.stages.common.opened import OpenedRun
from rlopt.wording import counted


def approved_pairs(opened: OpenedRun, reviews: Reviews) -> Pairs:
    """(item, title) pairs that people approved, with the fields that the run knows, where they change the title.

    Items of the judge and the test side are left out: offline-eval asks about them, and whoever has read an answer
    cannot be examined on it.
    """
    asked = {*opened.splits.judge, *opened.splits.test}
    chosen = [one for one in reviews.approved if one.item_id not in asked]
    if left_out := len(reviews.approved) - len(chosen):
        note(f"{counted(left_out, 'approved title is', 'approved titles are')} left out: of judge and test items")
    items = opened.with_known_fields([Item(one.item_id, one.facts) for one in chosen])
    pairs = zip(items, [one.title for one in chosen], strict=True)
    return [(item, title) for item, title in pairs if title != item.current_title]
