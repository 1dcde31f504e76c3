"""What ``explore`` tells."""

from dataclasses import dataclass

from reward.plain import Plain
from rlopt.exploring.promise import Promise
from rlopt.wording import counted


@dataclass(frozen=True)
class ExploreResult(Plain):
    """A written plan.

    Parameters
    ----------
    output
        The file.
    explored, decided, left_alone
        Items whose titles are shown at random; whose best title is known well enough; that stay as they are.
    titles
        Titles of the explored ones.
    impressions
        That the plan takes until its end.
    impressions_seen, clicks_seen
        Of ``--continue``.
    expected_loss
        Clicks that exploring is expected to cost against today's titles, as a share of all items' clicks in that time;
        below 0 where the titles shown are expected to be better.
    seed
        Of the plan, and of the rule of assignment.
    rule
        Who sees which title.
    promise
        What the plan will be able to tell; None where nothing is explored.
    """

    output: str
    explored: int
    decided: int
    left_alone: int
    titles: int
    impressions: float
    impressions_seen: float
    clicks_seen: float
    expected_loss: float
    seed: int
    rule: str
    promise: Promise | None

    def to_text(self) -> str:
        """For a person."""
        lines = [
            f"{self.output}: {counted(self.titles, 'title')} of {counted(self.explored, 'item')} to show at random in "
            f"{self.impressions:,.0f} impressions. Decided: {counted(self.decided, 'item')}; staying as they are: "
            f"{self.left_alone:,}.",
        ]
        if self.impressions_seen:
            lines.append(f"Learned from {self.clicks_seen:,.0f} clicks of {self.impressions_seen:,.0f} impressions.")
        lines.append(
            f"While it lasts, all items together are expected to have {-self.expected_loss:+.2%} clicks over today's "
            "titles."
        )
        if (promise := self.promise) is not None:
            found = "no item is likely to have one" if promise.finds_notable is None else f"{promise.finds_notable:.0%}"
            lines += [
                "Carried out on titles as the reward believes them to be (simulated):",
                f"  the best title known then has {promise.lift_after:+.1%} clicks over today's; chosen now it would "
                f"have {promise.lift_now:+.1%}",
                f"  intervals between it and others shrink from +-{100 * promise.half_width_now:.0f} to "
                f"+-{100 * promise.half_width_after:.0f} points, and hold the truth in {promise.coverage:.0%}",
                f"  of items with a title at least 5% above today's, one is proved better: {found}",
            ]
        lines.append(f"Who sees what (seed {self.seed}): {self.rule}.")
        return "\n".join(lines)
