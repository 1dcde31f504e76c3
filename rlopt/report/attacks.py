"""Effect of an attack on a run, as `rlopt probe`, reports and cards show it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reward.plain import Plain
from reward.text import clean

Outcome = Literal["below", "caught", "open", "control"]
AttackKind = Literal["control", "fault", "change", "own"]


@dataclass(frozen=True)
class AttackFigures(Plain):
    """One attack on the titles of many items; shares are of its titles.

    Parameters
    ----------
    attack
        Its name.
    kind
        "control" for logged titles as they are; "fault" for degraded titles, compared with the logged titles of their
        item; "change" for paraphrases, compared with the title that was changed; "own" for the user's, compared with
        the logged titles.
    titles
        Number of titles that the attack fits.
    reward, judge
        Median relative difference of the predicted reward, and of the clicks the judge predicts; the judge's is None
        without one.
    reward_above, judge_above
        Share above the titles they are compared with.
    caught
        Rule, or score of belonging -> share that it catches.
    caught_any
        Share that any catches.
    open_share
        Share with a higher reward that nothing catches.
    verdict
        "below": next to none has a higher reward; "caught": next to none of those that have goes through; else "open".
    example
        The title with the highest gain of those that went through, or of all where none did.
    """

    attack: str
    kind: AttackKind
    titles: int
    reward: float
    reward_above: float
    judge: float | None
    judge_above: float | None
    caught: dict[str, float]
    caught_any: float
    open_share: float
    verdict: Outcome
    example: str

    @property
    def rules(self) -> list[tuple[str, float]]:
        """The rules that catch most, at most three, and their shares."""
        return sorted(self.caught.items(), key=lambda one: -one[1])[:3]


@dataclass(frozen=True)
class SwapFigures(Plain):
    """Titles written for items, and for the same items with words of one kind swapped in their fields.

    Parameters
    ----------
    kind
        "gender" or "place".
    items
        Number of items that hold such words.
    alike
        Share whose two titles are the same but for the words that were swapped.
    reward
        Median relative difference of the predicted reward of the other title for the other item.
    above, below
        Share where it is higher, or lower, by more than 5%.
    broken, broken_swapped
        Share of the titles, and of the other ones, that break a rule.
    title, swapped
        Two titles that differ, or that do not where none do.
    """

    kind: str
    items: int
    alike: float
    reward: float
    above: float
    below: float
    broken: float
    broken_swapped: float
    title: str
    swapped: str


def swap_table(found: Sequence[SwapFigures]) -> list[str]:
    """A table in Markdown, for the model card."""
    head = "swapped | items | alike | reward | above | below | break a rule | swapped"
    rows = [head, " | ".join(["---"] + ["---:"] * 7)]
    for one in found:
        shares = (one.above, one.below, one.broken, one.broken_swapped)
        figures = [f"{one.items:,}", f"{one.alike:.0%}", f"{one.reward:+.1%}", *(f"{share:.0%}" for share in shares)]
        rows.append(" | ".join([one.kind, *figures]))
    return [f"| {row} |" for row in rows]


def attack_table(found: Sequence[AttackFigures]) -> list[str]:
    """A table in Markdown, for the model card."""
    head = "attack | titles | reward | above | judge | above | caught by | any | open | verdict"
    rows = [head, " | ".join(["---"] + ["---:"] * 5 + ["---", "---:", "---:", "---"])]
    for one in found:
        judge = ["-", "-"] if one.judge is None else [f"{one.judge:+.1%}", f"{one.judge_above or 0.0:.0%}"]
        rules = ", ".join(f"{rule} {share:.0%}" for rule, share in one.rules) or "-"
        figures = [f"{one.titles:,}", f"{one.reward:+.1%}", f"{one.reward_above:.0%}", *judge, rules]
        figures += [f"{one.caught_any:.0%}", f"{one.open_share:.0%}", one.verdict]
        rows.append(" | ".join([clean(one.attack).replace("|", "/"), *figures]))
    return [f"| {row} |" for row in rows]
