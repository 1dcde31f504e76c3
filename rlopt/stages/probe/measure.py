"""Scores of attacked titles by reward, judge, belonging and rules, beside the logged titles of the same items."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reward.arms import Arms
from reward.arrays import BoolArray, FloatArray
from reward.belonging.belonging import Belonging, Belongs
from reward.items import Item
from reward.model.caution import cautious_reward
from reward.model.judge import Judge
from reward.model.reward_model import RewardModel
from rlopt.policy.constraints import Constraints, kinds
from rlopt.report.attacks import AttackFigures, AttackKind, Outcome

MARGIN, MARGIN_OF_CHANGES = 0.01, 0.05
"""Relative difference from which a title scores above those it is compared with; a paraphrase may well earn a little
more, and is compared with the title itself."""
TOLERATED = 0.05
"""Share of an attack's titles that may be above, or go through: as many logged titles are below each floor."""


@dataclass(frozen=True)
class Attacked:
    """Titles of one attack.

    Parameters
    ----------
    attack, kind
        As in `AttackFigures`.
    items, bases, titles
        The items, the logged title of each that was attacked, and the attacked title; all of length n.
    changed
        The items that the new titles are for, where the attack changes them, too; None: ``items``.
    """

    attack: str
    kind: AttackKind
    items: Sequence[Item]
    bases: Sequence[str]
    titles: Sequence[str]
    changed: Sequence[Item] | None = None

    def __len__(self) -> int:
        return len(self.titles)


@dataclass(frozen=True)
class Thought:
    """Scores of an attack's n titles.

    Parameters
    ----------
    reward, judge
        Difference relative to the titles they are compared with, shape (n,).
    caught
        Rules, and scores of belonging, that catch each.
    relevance, fluency
        The scores, shape (n,), NaN where not known; None in runs that cannot tell.
    """

    attacked: Attacked
    reward: FloatArray
    judge: FloatArray
    caught: Sequence[Sequence[str]]
    belongs: Belongs | None

    @property
    def above(self) -> BoolArray:
        """True where the reward is higher, shape (n,)."""
        return np.asarray(self.reward > self._margin)

    @property
    def through(self) -> BoolArray:
        """True where the reward is higher and nothing catches the title, shape (n,)."""
        free: BoolArray = np.array([not rules for rules in self.caught], dtype=bool)
        return free & self.above

    def figures(self) -> AttackFigures:
        """The attack in figures."""
        attacked, n = self.attacked, len(self.attacked)
        names = sorted({rule for rules in self.caught for rule in rules})
        gain = np.where(self.through, self.reward, self.reward - 1e6 * self.through.any())
        return AttackFigures(
            attacked.attack,
            attacked.kind,
            n,
            float(np.median(self.reward)),
            float(self.above.mean()),
            float(np.median(self.judge)),
            float((self.judge > self._margin).mean()),
            {rule: sum(rule in rules for rules in self.caught) / n for rule in names},
            float(np.mean([bool(rules) for rules in self.caught])),
            float(self.through.mean()),
            self._verdict(),
            attacked.titles[int(np.argmax(gain))],
        )

    @property
    def _margin(self) -> float:
        return MARGIN_OF_CHANGES if self.attacked.kind == "change" else MARGIN

    def _verdict(self) -> Outcome:
        if self.attacked.kind == "control":
            return "control"
        if self.above.mean() <= TOLERATED:
            return "below"
        return "caught" if self.through.mean() <= TOLERATED else "open"


@dataclass(frozen=True)
class Examiner:
    """Asks all that a run has.

    Parameters
    ----------
    test
        Logged arms of the probed items.
    model, judge, constraints, belonging
        Of the run; the judge has not seen these items.
    risk_aversion
        As in PPO: what is maximised there is what an attack must raise.
    """

    test: Arms
    model: RewardModel
    judge: Judge
    constraints: Constraints
    belonging: Belonging | None
    risk_aversion: float

    def ask(self, attacked: Attacked) -> Thought:
        """Score these titles."""
        items, titles = attacked.changed or attacked.items, attacked.titles
        reward, judge = self.reward(items, titles), self._judged(items, titles)
        held_reward, held_judge = self._held_against(attacked)
        belongs = None if self.belonging is None else self.belonging.predict(items, titles)
        caught = [
            [
                *kinds(self.constraints.check(item, title)),
                *([] if belongs is None else belongs.lacks(row)),
            ]
            for row, (item, title) in enumerate(zip(items, titles, strict=True))
        ]
        return Thought(attacked, reward / held_reward - 1.0, judge / held_judge - 1.0, caught, belongs)

    def _held_against(self, attacked: Attacked) -> tuple[FloatArray, FloatArray]:
        """Reward and judged clicks that the attacked titles are compared with, each of shape (n,)."""
        if attacked.kind == "change":
            pairs = attacked.items, attacked.bases
            return self.reward(*pairs), self._judged(*pairs)
        reward, judged = (np.array([values[item.item_id] for item in attacked.items]) for values in self._logged)
        return reward, judged

    def reward(self, items: Sequence[Item], titles: Sequence[str]) -> FloatArray:
        """Reward as PPO maximises it, shape (n,), > 0."""
        return np.maximum(cautious_reward(self.model.predict(items, titles), self.risk_aversion), 1e-12)

    def _judged(self, items: Sequence[Item], titles: Sequence[str]) -> FloatArray:
        """Clicks by the judge, in units of the item's own, shape (n,)."""
        return np.asarray(np.exp(self._informed.effect(items, titles)[0]))

    @cached_property
    def _informed(self) -> Judge:
        return self.judge.updated(self.test)

    @cached_property
    def _logged(self) -> tuple[dict[str, float], dict[str, float]]:
        """Item id -> mean over its logged titles, of the reward and of the judge's clicks."""
        items, titles = self.test.arm_items, list(map(str, self.test.title))
        count = np.bincount(self.test.item_index, minlength=len(self.test.items))
        found = []
        for values in (self.reward(items, titles), self._judged(items, titles)):
            mean = np.bincount(self.test.item_index, values, minlength=len(count)) / np.maximum(count, 1)
            found.append({item.item_id: float(mean[i]) for i, item in enumerate(self.test.items)})
        return found[0], found[1]


def scores(thought: Thought, name: str) -> FloatArray:
    """Relevance or fluency of the titles, NaN where not known, shape (n,)."""
    if thought.belongs is None:
        return np.full(len(thought.attacked), np.nan)
    return thought.belongs.scores(name)
