"""The rules a run's titles are checked against, in training, in generation and in evaluation alike."""

from pathlib import Path

from reward.arms import Arms
from reward.features.lexicon import KINDS
from rlopt.config import RulesConfig, load
from rlopt.errors import ConfigError
from rlopt.policy.checked_claims import checked_claims
from rlopt.policy.constraints import Constraints
from rlopt.progress import note
from rlopt.run import Run


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


def check_rules(run: Run, preset: Path | None) -> None:
    """Refuse a YAML file whose ``constraints`` section is not the run's: its stages share one set of rules.

    Raises
    ------
    ConfigError
        Where it differs, or the file cannot be read.
    """
    of_run = run.preset()
    if preset is not None and load(RulesConfig, preset, preset=of_run) != load(RulesConfig, preset=of_run):
        raise ConfigError(
            f"{preset} has other constraints than run {run.path}, whose stages share those of fit-reward. To change "
            f"them for all: rlopt fit-reward LOGS --config {preset} --run {run.path} (same logs: nothing is fitted)"
        )
