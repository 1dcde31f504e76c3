"""The algorithms of ``rlopt ppo``: settings, commands, comparisons, cards and texts are made from this one table."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal


@dataclass(frozen=True)
class Algorithm:
    """One way to improve the supervised policy against the reward.

    Parameters
    ----------
    name
        As in ``--algorithm``, and the folder of the run that it writes.
    label
        Name for people.
    trainer
        ``module:class``; looked up when it is needed, since trl takes seconds to load.
    generations
        Titles an item in a batch where none are asked for.
    needs_group
        True where a title's baseline is the other titles of its item, so that there must be two at least.
    """

    name: str
    label: str
    trainer: str
    generations: int
    needs_group: bool

    @property
    def command(self) -> str:
        """Command line that runs it."""
        return "rlopt ppo" if self is DEFAULT else f"rlopt ppo --algorithm {self.name}"

    def load_trainer(self) -> Any:
        """The trainer's class."""
        module, name = self.trainer.split(":")
        return getattr(import_module(module), name)


DEFAULT = Algorithm("ppo", "PPO", "rlopt.training.ppo.trainer:PPOTrainer", generations=1, needs_group=False)
ALGORITHMS = {
    algorithm.name: algorithm
    for algorithm in (
        DEFAULT,
        Algorithm("grpo", "GRPO", "rlopt.training.ppo.grpo_rloo:TitleGRPOTrainer", generations=8, needs_group=True),
        Algorithm("rloo", "RLOO", "rlopt.training.ppo.grpo_rloo:TitleRLOOTrainer", generations=8, needs_group=True),
    )
}
SFT = "sft"
POLICIES = (DEFAULT.name, SFT, *(name for name in ALGORITHMS if name != DEFAULT.name))  # those that a run may hold

if TYPE_CHECKING:
    AlgorithmName = str
else:
    AlgorithmName = Literal[tuple(ALGORITHMS)]
