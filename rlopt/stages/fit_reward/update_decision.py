"""Choice of the reward model that an update keeps, with its reason and the sentence for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from reward.arms import Arms
from reward.evidence.contest import MIN_ITEMS, Contest, contest
from reward.evidence.metrics import Interval
from reward.logs.splits import Splits
from reward.model.reward_model import RewardModel
from rlopt.stages.fit_reward.history import Event


@dataclass(frozen=True)
class Decision:
    """Model that is kept, and why."""

    kept: str
    why: str
    contest: Contest | None

    @property
    def event(self) -> Event:
        """Name of the event in the history."""
        return "update" if self.kept == "new" else "trial"


def compare(old: RewardModel, new: RewardModel, parts: Sequence[Arms], splits: Splits, seed: int) -> Decision:
    """Both models on the judge items in the newest log; the test items, for offline-eval, choose nothing.

    If the judge items are too few to tell, the new model is kept.
    """
    ends = [float(part.last_seen.max()) for part in parts if part.last_seen is not None and len(part)]
    newest = parts[ends.index(max(ends))] if len(ends) == len(parts) else parts[-1]
    found = contest(old, new, newest.of_items(splits.judge), seed) if splits.judge else None
    if found is None:
        why = "the newest log has no item of the judge side with two titles to compare the models on"
        return Decision("new", why if splits.judge else "there is no judge side to compare the models on", None)
    accuracy, gain = found.pair_accuracy, found.log_likelihood
    figures = (
        f"pair accuracy {_percent(accuracy)} points, log-likelihood {gain.value:+.4f} "
        f"[{gain.low:+.4f}, {gain.high:+.4f}] a click"
    )
    if not found.tells:
        few = f"there are too few held-out items to tell which is better: {found.items:,} on the judge side"
        return Decision("new", f"{few}, and {MIN_ITEMS} are needed ({figures})", found)
    if found.new_is_worse:
        return Decision(
            "old", f"the new one is worse beyond chance on {found.items:,} held-out items ({figures})", found
        )
    better = accuracy.low > 0 or gain.low > 0
    word = "better beyond chance" if better else "not worse beyond chance, and stands on more and newer clicks"
    return Decision("new", f"it is {word} on {found.items:,} held-out items ({figures})", found)


def _percent(interval: Interval) -> str:
    return f"{100 * interval.value:+.2f} [{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]"


def contest_lines(found: Contest) -> list[str]:
    """The comparison in words, for a person."""
    names = {"pair_accuracy": ("pair accuracy", ".1%"), "picked_lift": ("CTR of the picked title", "+.1%")}
    names |= {"log_likelihood": ("log-likelihood a click", ".4f")}
    lines = [f"On {found.items:,} held-out items (judge side) of the newest log ({found.impressions:,} impressions):"]
    for name, (label, form) in names.items():
        gap: Interval = getattr(found, name)
        lines.append(
            f"  {label}: old {found.old[name]:{form}}, new {found.new[name]:{form}}, difference "
            f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
        )
    return lines
