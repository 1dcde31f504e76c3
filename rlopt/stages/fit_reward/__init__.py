"""``rlopt fit-reward``: the stage, its update, and their parts."""

from .stage import FitRewardResult, fit_reward

__all__ = ["FitRewardResult", "fit_reward"]
