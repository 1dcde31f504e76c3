"""A fitted run as the stages use it: its logs, models, rules and policies, each loaded once, when first asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from rlopt.config import RulesConfig, load
from rlopt.progress import note
from rlopt.run import BELONGING, ENCODINGS, Run
from rlopt.stages.common.policies import load_policy, policy_folder
from rlopt.wording import listed

OBSERVATIONAL = (
    "This run's reward is observational: it compares titles of different items, and what correlates with clicks need "
    "not cause them (docs/one-title.md)."
)
"""Warning of every command that uses such a reward."""

if TYPE_CHECKING:  # slow modules are imported where they are needed
    from reward.arms import Arms
    from reward.belonging.belonging import Belonging
    from reward.items import Item
    from reward.logs.splits import Splits
    from reward.model.judge import Judge
    from reward.model.reward_model import RewardModel
    from rlopt.policy.constraints import Constraints
    from rlopt.policy.title_policy import TitlePolicy
    from rlopt.stages.common.truth import Truth


class OpenedRun:
    """The models, logs, rules and policies of a run.

    Parameters
    ----------
    run
        A run with a finished ``fit-reward``.
    stages
        Further stages that have to be done.
    rewarded
        False: a run that has learned from titles alone will do, see `rlopt.run.Run.rewarded`.

    Raises
    ------
    StageOrderError
        If one is not.
    """

    def __init__(self, run: Run, *stages: str, rewarded: bool = True) -> None:
        if rewarded:
            run.require("fit-reward", *stages)
        else:
            run.require_titles()
        self.run = run

    @cached_property
    def arms(self) -> "Arms":
        """The aggregated logs."""
        return self.run.arms()

    @cached_property
    def splits(self) -> "Splits":
        """Splits of the items: train, judge, test."""
        return self.run.splits()

    @cached_property
    def train_arms(self) -> "Arms":
        """The logs of the train items."""
        return self.arms.of_items(self.splits.train)

    @cached_property
    def _known_items(self) -> "dict[str, Item]":
        return {item.item_id: item for item in self.arms.items}

    @cached_property
    def learned_fields(self) -> frozenset[str]:
        """Names of the fields that the logs had for any item."""
        return frozenset(name for item in self.arms.items for name in item.fields)

    @cached_property
    def _named(self) -> set[str]:
        return set()

    def describes(self, items: "Iterable[Item]") -> bool:
        """True if any item has a field that the run has learned from."""
        return any(not self.learned_fields.isdisjoint(item.fields) for item in items)

    def with_known_fields(self, items: "Sequence[Item]") -> "list[Item]":
        """The items, completed by the logs' fields and current titles; their own values win.

        Fields that the run never learned from are left out, and each is named once: they would bear out any word.
        """
        made: dict[int, Item] = {}  # an item that many titles share is made once
        strangers: dict[str, None] = {}
        for item in items:
            if id(item) not in made:
                logged = self._known_items.get(item.item_id)
                before = logged or replace(item, fields={})
                own = {name: values for name, values in item.fields.items() if name in self.learned_fields}
                strangers |= dict.fromkeys(name for name in item.fields if name not in own)
                title = item.current_title or before.current_title
                made[id(item)] = replace(item, fields={**before.fields, **own}, current_title=title)
        self._say_left_out([name for name in strangers if name not in self._named])
        return [made[id(item)] for item in items]

    def _say_left_out(self, names: "Sequence[str]") -> None:
        if not names:
            return
        self._named.update(names)
        one = len(names) == 1
        note(
            f"{listed(names)} {'is' if one else 'are'} left out: the run's logs have no such "
            f"{'field, so nothing was learned from it' if one else 'fields, so nothing was learned from them'}"
        )

    @property
    def observational(self) -> bool:
        """True if reward and judge compare titles of different items (``fit-reward --observational``)."""
        return self.run.rewarded and bool(self.run.record("fit-reward")["config"].get("observational"))

    @cached_property
    def reward(self) -> "RewardModel":
        """The reward model.

        Raises
        ------
        StageOrderError
            If the run has learned from titles alone.
        ModelError
            If it cannot be read; so do `judge` and `monitor`.
        """
        from reward.model.reward_model import RewardModel

        self.run.require("fit-reward")
        if self.observational:
            note(OBSERVATIONAL)
        return RewardModel.load(self.run / "reward", encodings=self.run / ENCODINGS)

    @cached_property
    def trust(self) -> "tuple[float, float]":
        """Factor for the reward's predicted differences, and its standard error."""
        from reward.evidence.slope import trust
        from rlopt.stages.common.evidence import EVIDENCE, read_evidence

        evidence = read_evidence(self.run / "reward" / EVIDENCE)
        return trust(evidence.effect_slope if evidence else None)

    @cached_property
    def judge(self) -> "Judge":
        """The judge."""
        from reward.model.judge import Judge

        return Judge.load(self.run / "judge", encodings=self.run / ENCODINGS)

    @cached_property
    def monitor(self) -> "RewardModel | None":
        """The monitor, None where the run has none."""
        from reward.model.reward_model import RewardModel
        from rlopt.stages.common.monitor import MONITOR

        folder = self.run / MONITOR
        if not folder.is_dir() or not any(folder.iterdir()):
            return None
        return RewardModel.load(folder, encodings=self.run / ENCODINGS)

    @cached_property
    def belonging(self) -> "Belonging | None":
        """Model of belonging, which knows all logged titles; None where the run has none.

        Raises
        ------
        ModelError
            If it cannot be read.
        """
        from reward.belonging.belonging import Belonging
        from reward.saved_models import POLICY_ENCODER

        folder = self.run / BELONGING
        if not Belonging.kept_in(folder):
            return None
        policy, cache = self.run / POLICY_ENCODER, self.run / ENCODINGS
        encoder = self.reward.encoder if self.run.rewarded else None
        found = Belonging.load(folder, encoder=encoder, policy=policy, encodings=cache)
        return found.with_titles(self.arms.items, list(self.arms.title), self.arms.item_index)

    @cached_property
    def rules(self) -> RulesConfig:
        """The settings of the rules that training and evaluation share."""
        return load(RulesConfig, preset=self.run.preset())

    @cached_property
    def constraints(self) -> "Constraints":
        """These rules, with what the logs of the train items bear out."""
        return self.constraints_of(self.rules)

    def constraints_of(self, rules: RulesConfig) -> "Constraints":
        """Constraints with other rules than the run's, and the claims that the logs of the train items support."""
        from rlopt.stages.common.rules import constraints_for

        return constraints_for(self.train_arms, rules)

    @cached_property
    def truth(self) -> "Truth | None":
        """True clicks per impression, None for real logs."""
        from rlopt.stages.common.truth import truth_of

        return truth_of(self.run)

    def policy(self, policy: str) -> "TitlePolicy":
        """The run's policy of that name or that of a folder, loaded again each time.

        Raises
        ------
        StageOrderError
            If the run has no such policy yet.
        PolicyError
            If there is none, or it cannot be read.
        """
        return load_policy(policy_folder(self.run, policy))
