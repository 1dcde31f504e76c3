"""``rlopt fit-reward``: the stage, its update, and their parts."""

from .result import FitRewardResult
from .stage import fit_reward

__all__ = ["FitRewardResult", "fit_reward"]
