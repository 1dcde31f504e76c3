"""Case of one evaluation: the test items, and all titles that are evaluated for them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reward.arms import Arms
from reward.arrays import BoolArray
from reward.text import same_text_key
from rlopt.config import EvalConfig
from rlopt.ope.rated_shares import RatedShare
from rlopt.stages.common.evaluated import Evaluated
from rlopt.stages.common.titles import Written


@dataclass(frozen=True)
class Case:
    """Case of one evaluation.

    Parameters
    ----------
    test
        Logged arms of the test items.
    evaluated
        Policy -> its titles, evaluated; "logged" among them.
    new
        The policy that is evaluated.
    config
        Settings of the stage.
    from_run
        True if ``new`` is a policy of the run, whose baseline is the SFT policy, too.
    rated
        Answers of people about its titles.
    """

    test: Arms
    evaluated: Mapping[str, Evaluated]
    new: str
    config: EvalConfig
    from_run: bool = True
    rated: tuple[RatedShare, ...] = ()

    @property
    def mine(self) -> Evaluated:
        """The titles that are evaluated."""
        return self.evaluated[self.new]

    @property
    def logged(self) -> Evaluated:
        """The logged titles, in the order of ``test``."""
        return self.evaluated["logged"]

    @property
    def sft(self) -> Evaluated | None:
        """The SFT policy's titles; None without one to compare with."""
        return None if self.new == "sft" else self.evaluated.get("sft")


def novel(written: Written, logged: Written) -> BoolArray:
    """True for titles the logs never showed for their item, shape (n,)."""
    known = {(int(item), same_text_key(title)) for item, title in zip(logged.item, logged.title, strict=True)}
    pairs = zip(written.item, written.title, strict=True)
    return np.array([(int(item), same_text_key(title)) not in known for item, title in pairs], dtype=bool)
