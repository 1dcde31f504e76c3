"""What PPO and its rivals need to know: the stage's settings, and what a run and its machine make of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

from reward.arrays import FloatArray
from rlopt.config import PpoConfig
from rlopt.training.arguments import TrainSettings


@dataclass(frozen=True)
class Held:
    """What a training that goes on is held to, both frozen.

    Parameters
    ----------
    last
        The policy it goes on from.
    reference
        The SFT policy: with adapters, trl would take the model without them, which is ``last``, for the reference.
    """

    last: PreTrainedModel
    reference: PreTrainedModel


ScoreSoFar = Callable[[Sequence[int], Sequence[str]], FloatArray]  # of unfinished titles, for the critic


@dataclass(frozen=True, kw_only=True)
class PpoSettings(TrainSettings):
    """What `rlopt.training.ppo.learn.improve` needs to know.

    Parameters
    ----------
    config
        The settings of the stage; what they leave open, the fields here and of `TrainSettings` say.
    generations
        Titles an item in a batch.
    critic_warmup
        First updates, in which only the critic learns.
    """

    config: PpoConfig
    generations: int
    critic_warmup: int

    @property
    def updates_a_rollout(self) -> int:
        """Updates that learn from one batch of rollouts."""
        return self.config.epochs * self.config.minibatches

    @property
    def titles_a_rollout(self) -> int:
        """Titles that are written at once, over all processes."""
        return self.config.minibatches * self.batch_size
