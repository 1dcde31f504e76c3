"""The rules a run's titles are checked against, in training, in generation and in evaluation alike."""

from reward.arms import Arms
from reward.features.lexicon import KINDS
from rlopt.config import RulesConfig
from rlopt.policy.checked_claims import checked_claims
from rlopt.policy.constraints import Constraints
from rlopt.progress import note


def constraints_for(arms: Arms, rules: RulesConfig) -> Constraints:
    """The rules for the run's items.

    Parameters
    ----------
    arms
        Train arms, whose titles say which words any title may use, and which claims their items' fields can bear out.
    rules
        The settings.
    """
    lexicon = checked_claims(arms.pairs, rules.support)
    free = [kind for kind in KINDS if lexicon is None or kind not in lexicon.kinds]
    if free and rules.support is None:
        note(
            f"Not checked against the items, because many logged titles state what the fields do not: {', '.join(free)}"
        )
    return Constraints.of(rules, lexicon)
