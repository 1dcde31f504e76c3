"""The rules a run's titles are checked against, in training and in evaluation alike."""

from reward.arms import Arms
from reward.features.lexicon import Lexicon
from rlopt.config import RulesConfig
from rlopt.policy.constraints import Constraints
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.title_policy import TitlePolicy


def constraints_for(policy: TitlePolicy, arms: Arms, rules: RulesConfig) -> Constraints:
    """The rules for these items: words need support where items are described by fields, not by free text.

    Parameters
    ----------
    policy
        Who writes the titles; its renderer tells fields from free text.
    arms
        Train arms, whose titles say which words any title may use.
    rules
        The settings.
    """
    slots = isinstance(policy.renderer, SlotRenderer)
    lexicon = Lexicon.learn(zip(arms.arm_items, arms.title, strict=True)) if slots else None
    return Constraints.of(rules, lexicon)
