"""Settings of PPO and its rivals: the stage's own, and those derived from a run and its machine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

from reward.arrays import FloatArray
from rlopt.config import PpoConfig
from rlopt.training.arguments import TrainSettings


@dataclass(frozen=True)
class Held:
    """References of a training that continues, both frozen.

    Parameters
    ----------
    last
        The policy it continues from.
    reference
        The SFT policy: with adapters, trl would take the model without them, which is ``last``, for the reference.
    """

    last: PreTrainedModel
    reference: PreTrainedModel


ScoreSoFar = Callable[[Sequence[int], Sequence[str]], FloatArray]  # of unfinished titles, for the critic


@dataclass(frozen=True, kw_only=True)
class PpoSettings(TrainSettings):
    """Settings of `rlopt.training.ppo.learn.improve`.

    Parameters
    ----------
    config
        The settings of the stage; the fields here and of `TrainSettings` fill in what they leave open.
    generations
        Titles an item in a batch.
    critic_warmup
        Number of initial updates in which only the critic learns.
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
