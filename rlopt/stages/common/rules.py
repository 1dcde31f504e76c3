"""The rules a run's titles are checked against, in training, in generation and in evaluation alike."""

import hashlib
from pathlib import Path

from reward.arms import Arms
from reward.features.facts import Facts
from reward.features.lexicon import KINDS
from reward.features.promises import PromiseList
from reward.text import same_text_key
from rlopt.config import RulesConfig, load
from rlopt.errors import ConfigError
from rlopt.files import fingerprints, to_json
from rlopt.policy.checked_claims import checked_claims
from rlopt.policy.constraints import Constraints
from rlopt.policy.sound_targets import Pairs
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
    facts = read_facts(rules)
    _say_what_facts_miss(arms, facts)
    lexicon = checked_claims(arms.pairs, rules.support, promises_of(rules), facts)
    free = [kind for kind in KINDS if lexicon is None or kind not in lexicon.kinds]
    if free and rules.support is None:
        note(
            f"Not checked against the items, because many logged titles state what the fields do not: {', '.join(free)}"
        )
    return Constraints.of(rules, lexicon, facts)


def rules_for_targets(pairs: Pairs, rules: RulesConfig) -> Constraints:
    """Rules for logged titles that a policy may learn from: claims, promises, formatting."""
    facts = read_facts(rules)
    return Constraints(checked_claims(pairs, rules.support, promises_of(rules), facts), formatting=True, facts=facts)


def rules_inputs(rules: RulesConfig) -> dict[str, str]:
    """Inputs of a training beside its settings: the run's rules, where they are not the default ones."""
    if rules == RulesConfig(seed=rules.seed):
        return {}
    said = to_json(rules.model_dump(mode="json", exclude={"seed"}))
    digest = hashlib.blake2b(said.encode(), digest_size=16).hexdigest()
    return {"constraints": digest, **fingerprints(rules.files())}


def promises_of(rules: RulesConfig) -> PromiseList:
    """The promises that the settings name, or those that come with rlopt."""
    return PromiseList.shipped() if rules.promises is None else PromiseList.collect(rules.promises)


def read_facts(rules: RulesConfig) -> Facts:
    """The shop's facts; none without a file."""
    return Facts() if rules.facts is None else Facts.read(rules.facts)


def _say_what_facts_miss(arms: Arms, facts: Facts) -> None:
    """Fields that the facts ask for and no item has: mostly a slip of the pen."""
    known = {same_text_key(name) for item in arms.items for name in item.fields}
    if unknown := sorted(facts.fields - known):
        note(
            f"The facts file names fields that no train item has, so those facts hold for no item: {', '.join(unknown)}"
        )


def check_rules(run: Run, preset: Path | None) -> None:
    """Refuse a YAML file whose ``constraints`` section is not the run's: its stages share one set of rules.

    Raises
    ------
    ConfigError
        If it differs, or the file cannot be read.
    """
    of_run = run.preset()
    if preset is not None and load(RulesConfig, preset, preset=of_run) != load(RulesConfig, preset=of_run):
        raise ConfigError(
            f"{preset} has other constraints than run {run.path}, whose stages share those of fit-reward. To change "
            f"them for all: rlopt fit-reward LOGS --config {preset} --run {run.path} (same logs: nothing is fitted)"
        )
