"""Cautious value of a title: a lower confidence bound of its reward."""

from typing import Protocol

import numpy as np

from ..arrays import FloatArray


class Prediction(Protocol):
    """Fields of a `reward.model.reward_model.RewardPrediction` that the bound needs."""

    @property
    def reward(self) -> FloatArray:
        """Expected value per impression, shape (n,)."""

    @property
    def effect_std(self) -> FloatArray:
        """Uncertainty of the title's effect on the log scale, shape (n,)."""


def cautious_reward(predicted: Prediction, risk_aversion: float) -> FloatArray:
    """Reward with the title's effect lowered by ``risk_aversion`` of its standard deviations, shape (n,).

    Only what is not known about the *title* counts: what is not known about the item is the same whatever it says.
    """
    lowered: FloatArray = predicted.reward * np.exp(-risk_aversion * predicted.effect_std)
    return lowered
