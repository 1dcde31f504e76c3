"""The rules a run's titles are checked against, in training and in evaluation alike."""

from reward.arms import Arms
from reward.features.lexicon import Lexicon
from rlopt.config import RulesConfig
from rlopt.policy.constraints import Constraints
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.slots import spelled_by_fields
from rlopt.policy.title_policy import TitleWriter


def constraints_for(policy: TitleWriter | None, arms: Arms, rules: RulesConfig) -> Constraints:
    """The rules for these items: words need support where items are described by fields, not by free text.

    Parameters
    ----------
    policy
        Who writes the titles; its renderer tells fields from free text. None: the logged titles tell.
    arms
        Train arms, whose titles say which words any title may use.
    rules
        The settings.
    """
    pairs = list(zip(arms.arm_items, map(str, arms.title), strict=True))
    fields = isinstance(policy.renderer, SlotRenderer) if policy is not None else spelled_by_fields(pairs)
    lexicon = Lexicon.learn(pairs) if fields else None
    return Constraints.of(rules, lexicon)
