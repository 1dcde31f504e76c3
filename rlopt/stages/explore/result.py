"""Result of ``explore``."""

from dataclasses import dataclass

from reward.plain import Plain
from rlopt.exploring.promise import Promise
from rlopt.exploring.tested import LeadersLift
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
        Impressions until the plan's end.
    impressions_seen, clicks_seen
        Of ``--continue``.
    expected_loss
        Clicks that exploring is expected to cost against today's titles, as a share of all items' clicks in that time;
        below 0 where the titles shown are expected to be better.
    leaders
        Earnings of the plans so far: see `rlopt.exploring.tested.leaders_lift`.
    proved
        Items whose best title known beats today's by clicks alone (``tested_low`` of the plan is above 0).
    seed
        Of the plan, and of the rule of assignment.
    rule
        Rule of assignment.
    promise
        Power of the plan; None where nothing is explored.
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
    leaders: LeadersLift | None
    proved: int
    seed: int
    rule: str
    promise: Promise | None

    def to_text(self) -> str:
        """Text for a person."""
        lines = [
            f"{self.output}: {counted(self.titles, 'title')} of {counted(self.explored, 'item')} to show at random in "
            f"{self.impressions:,.0f} impressions. Decided: {counted(self.decided, 'item')}; staying as they are: "
            f"{self.left_alone:,}.",
        ]
        if self.impressions_seen:
            lines.append(f"Learned from {self.clicks_seen:,.0f} clicks of {self.impressions_seen:,.0f} impressions.")
        if (leaders := self.leaders) is not None:
            lines.append(
                f"Titles that each plan favoured had {leaders.lift:+.1%} clicks over today's in its batch (95% "
                f"interval {leaders.low:+.1%} to {leaders.high:+.1%}, {counted(leaders.items, 'item')}). Proved by "
                f"clicks alone: in {counted(self.proved, 'item')} the best title beats today's."
            )
        lines.append(
            f"Expected clicks while it lasts, over all items, relative to today's titles: {-self.expected_loss:+.2%}."
        )
        if (promise := self.promise) is not None:
            found = "no item is likely to have one" if promise.finds_notable is None else f"{promise.finds_notable:.0%}"
            lines += [
                "Simulated on title effects drawn from the posterior:",
                f"  the best title known then has {promise.lift_after:+.1%} clicks over today's; chosen now it would "
                f"have {promise.lift_now:+.1%}",
                f"  intervals between it and others shrink from +-{100 * promise.half_width_now:.0f} to "
                f"+-{100 * promise.half_width_after:.0f} points, and hold the truth in {promise.coverage:.0%}",
                f"  of items with a title at least 5% above today's, one is proved better: {found}",
            ]
        lines.append(f"Who sees what (seed {self.seed}): {self.rule}.")
        return "\n".join(lines)
